"""How a connection to the event service comes about: a name, maybe a proxy, TLS unless it is to be plaintext."""

import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import Final

from wgtwo_pipeline.service import diagnose
from wgtwo_pipeline.service.proxy import Proxy, proxy_for
from wgtwo_pipeline.service.settings import Service, split_address

_CONNECT_SECONDS: Final = 10.0
_MOST_PROXY_BYTES: Final = 16_384


class Socket:
    """A connected socket that does not block."""

    def __init__(self, connected: socket.socket) -> None:
        connected.setblocking(False)
        self._socket = connected

    def fileno(self) -> int:
        """The descriptor; -1 once it is closed."""
        return self._socket.fileno()

    def receive(self, most: int) -> bytes:
        """At most so many bytes of what has come; none if nothing has. OSError at the end."""
        try:
            data = self._socket.recv(most)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return b""
        if not data:
            raise ConnectionError("the server has closed the connection")
        return data

    @property
    def pending(self) -> bool:
        """Whether more has come that `poll` does not know of: TLS may hold it."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def send(self, data: bytes) -> int:
        """How many bytes of it could be sent. OSError when the connection is over."""
        try:
            return self._socket.send(data)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return 0

    def close(self) -> None:
        """Without a word. Idempotent."""
        self._socket.close()


Connect = Callable[[], Socket]
"""Makes a connection; blocks for that long. OSError, in words, where there is none to be had."""


def connector(service: Service) -> Connect:
    """How to connect to this service. ConfigurationError if its CA file or the proxy cannot be used."""
    proxy = proxy_for(service.target)
    context = None
    if not service.plaintext:
        context = ssl.create_default_context(cadata=diagnose.authorities(service.ca_file))
        context.minimum_version = ssl.TLSVersion.TLSv1_2  # RFC 9113, 9.2
        context.set_alpn_protocols(["h2"])
    return lambda: _connect(service.target, proxy, context)


def _connect(target: str, proxy: Proxy | None, context: ssl.SSLContext | None) -> Socket:
    host, port = split_address(target)
    host = host.strip("[]")
    address = (host, port or 443) if proxy is None else (proxy.host, proxy.port)
    with contextlib.ExitStack() as undo:
        raw = undo.enter_context(socket.create_connection(address, _CONNECT_SECONDS))
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if proxy is not None:
            _tunnel(raw, target, proxy)
        if context is not None:
            raw = undo.enter_context(context.wrap_socket(raw, server_hostname=host))
            if raw.selected_alpn_protocol() != "h2":
                raise ConnectionError("the server does not offer HTTP/2 (ALPN)")
        connected = Socket(raw)
        undo.pop_all()
        return connected


def _tunnel(connected: socket.socket, target: str, proxy: Proxy) -> None:
    """CONNECT, as RFC 9110 has it (9.3.6)."""
    lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    connected.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):  # byte by byte: what follows comes from the server
        byte = connected.recv(1)
        if not byte or len(answer) > _MOST_PROXY_BYTES:
            raise ConnectionError("the proxy has closed the connection")
        answer += byte
    status = answer.split(b"\r\n", 1)[0].decode("latin-1")
    if status.split(" ")[1:2] != ["200"]:
        said = "".join(filter(str.isprintable, status))[:200]
        raise ConnectionError(f"the proxy {proxy.host}:{proxy.port} lets nobody through: {said}")
