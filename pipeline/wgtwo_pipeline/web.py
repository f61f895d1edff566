"""Small pages and figures over HTTP, served from threads of their own."""

import ipaddress
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from wgtwo_pipeline.errors import ConfigurationError

_LOG = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 20
_PRIVATE: Final = (".svc", ".local", ".internal")
"""Ends of names that no public name server gives out (RFC 6762, ICANN's .internal, a cluster's own)."""


@dataclass(frozen=True)
class Request:
    """What was asked; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Answer:
    """What is answered."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


def json_answer(value: Any, status: int = 200) -> Answer:
    """The value as JSON, with a newline for those who read it in a terminal."""
    return Answer((json.dumps(value) + "\n").encode(), status)


def is_foreign(request: Request, *, takes_private_names: bool = False) -> bool:
    """Whether a browser sends this for a page that is not ours: another origin, or our address by a foreign name.

    `takes_private_names`: names that only the own network knows, such as a container's or a cluster's, are not
    foreign; nobody outside can give such a name to a page.
    """
    host = request.headers.get("host", "")
    name = urlsplit(f"//{host}").hostname or ""
    is_private = takes_private_names and bool(name) and ("." not in name or name.endswith(_PRIVATE))
    if name != "localhost" and not _is_address(name) and not is_private:
        return True
    origin = request.headers.get("origin")
    return origin is not None and urlsplit(origin).netloc != host


class WebServer:
    """Listens from construction on; each request is answered by `handle`, called in a thread of its own."""

    def __init__(self, address: str, handle: Callable[[Request], Answer], option: str) -> None:
        host, _, port = address.rpartition(":")

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def _answer(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                if length > MAX_BODY_BYTES:
                    self.close_connection = True
                    answer = json_answer({"error": f"a body has at most {MAX_BODY_BYTES} bytes"}, 413)
                else:
                    url = urlsplit(self.path)
                    query = {name: values[-1] for name, values in parse_qs(url.query).items()}
                    headers = {name.lower(): value for name, value in self.headers.items()}
                    body = self.rfile.read(length)
                    answer = _call(handle, Request(self.command, url.path, query, headers, body))
                self.send_response(answer.status)
                self.send_header("content-type", answer.content_type)
                self.send_header("content-length", str(len(answer.body)))
                self.send_header("cache-control", "no-store")
                for name, value in answer.headers:
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer.body)

            do_GET = do_POST = _answer  # noqa: N815 - http.server's names

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's name
                pass  # requests can hold secrets

        ThreadingHTTPServer.allow_reuse_address = True
        try:
            self._server = ThreadingHTTPServer((host.strip("[]"), int(port)), Handler)
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"cannot listen on {address}: give another {option}") from error
        self._server.daemon_threads = True
        self.address = f"{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stops listening. Blocks for a moment."""
        self._server.shutdown()
        self._server.server_close()


def _call(handle: Callable[[Request], Answer], request: Request) -> Answer:
    try:
        return handle(request)
    except Exception:
        _LOG.exception("cannot answer %s %s", request.method, request.path)
        return json_answer({"error": "this failed: see the log"}, 500)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
