"""Serves small HTTP pages from a thread while the sandbox's event loop answers them."""

import asyncio
import json
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from wgtwo_pipeline.errors import ConfigurationError

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 1 << 20


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


class WebServer:
    """Listens from construction on; each request is answered by `handle`, called in the running event loop."""

    def __init__(self, address: str, handle: Callable[[Request], Answer], option: str) -> None:
        host, _, port = address.rpartition(":")
        loop = asyncio.get_running_loop()

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
                    request = Request(self.command, url.path, query, headers, body)
                    answer = asyncio.run_coroutine_threadsafe(_call(handle, request), loop).result()
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

    async def stop(self) -> None:
        """Stops listening."""
        await asyncio.to_thread(self._server.shutdown)
        self._server.server_close()


async def _call(handle: Callable[[Request], Answer], request: Request) -> Answer:
    try:
        return handle(request)
    except Exception:
        logger.exception("the sandbox could not answer %s %s", request.method, request.path)
        return json_answer({"error": "the sandbox failed: see its log"}, 500)
