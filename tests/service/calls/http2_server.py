"""An HTTP/2 server made by hand, that answers calls as no gRPC server would: what proxies and breakages look like."""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable

DATA, HEADERS, RST_STREAM, SETTINGS, GOAWAY = 0, 1, 3, 4, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes((kind, flags)) + struct.pack(">I", stream) + payload


def headers(stream: int, *fields: tuple[str, str], end: bool = False) -> bytes:
    """A HEADERS frame; every field is an HPACK literal that is not indexed."""
    block = b"".join(
        b"\x00" + bytes((len(name),)) + name.encode() + bytes((len(value),)) + value.encode()
        for name, value in fields
    )
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, block)


def answer(stream: int) -> bytes:
    """How gRPC answers with success and the message `fine`."""
    return b"".join(
        (
            headers(stream, (":status", "200"), ("content-type", "application/grpc")),
            frame(DATA, 0, stream, message(b"fine")),
            headers(stream, ("grpc-status", "0"), end=True),
        )
    )


def message(data: bytes) -> bytes:
    return struct.pack(">BI", 0, len(data)) + data


class Hangup(Exception):  # noqa: N818  # it is no error
    """What a script raises to end the connection; its argument is sent before."""


class Http2Server:
    """Answers each call with the bytes that `script` gives for its stream."""

    def __init__(self, script: Callable[[int], bytes]) -> None:
        self._script = script
        self.connections = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self._threads: list[threading.Thread] = []
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "Http2Server":
        self._start(self._accept)
        return self

    def __exit__(self, *error: object) -> None:
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        self._threads.append(threading.Thread(target=target, args=arguments))
        self._threads[-1].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                self.connections += 1
                self._sockets.append(client)
                self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError, EOFError), client, client.makefile("rb") as source:
            _read(source, len(_GREETING))
            client.sendall(frame(SETTINGS, 0, 0))
            while True:
                head = _read(source, 9)
                kind, flags = head[3], head[4]
                stream = struct.unpack(">I", head[5:])[0]
                _read(source, int.from_bytes(head[:3], "big"))
                if kind == SETTINGS and not flags & ACK:
                    client.sendall(frame(SETTINGS, ACK, 0))
                if kind in (HEADERS, DATA) and flags & END_STREAM:
                    try:
                        client.sendall(self._script(stream))
                    except Hangup as end:
                        client.sendall(b"".join(end.args))
                        client.shutdown(socket.SHUT_RDWR)
                        return


def _read(source, count: int) -> bytes:
    data = source.read(count)
    if len(data) < count:
        raise EOFError
    return data
