"""A server whose every byte a test decides, on real sockets: what the channel's thread has to cope with."""

import contextlib
import socket
import threading
import time

import hpack
from patience import PATIENCE_SECONDS
from wgtwo_pipeline.service.http2 import frames
from wgtwo_pipeline.service.http2.frames import PREFACE, frame

HEAD = ((":status", "200"), ("content-type", "application/grpc"))
TRAILERS = (("grpc-status", "0"),)


class Connection:
    """One client's. Frames that come are kept; what is answered, and when, is up to the test."""

    def __init__(self, client: socket.socket) -> None:
        self._client, self._encoder, self._decoder = client, hpack.Encoder(), hpack.Decoder()
        self._changed = threading.Condition()
        self.frames: list[tuple[int, int, int, bytes]] = []
        self.requests: dict[int, dict[str, str]] = {}
        self.closed = False
        threading.Thread(target=self._read, daemon=True).start()

    def say(self, *data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._client.sendall(b"".join(data))

    def headers(self, number: int, fields, end: bool = False) -> bytes:
        flags = frames.END_HEADERS | (frames.END_STREAM if end else 0)
        return frame(frames.HEADERS, flags, number, self._encoder.encode(fields))

    def answer(self, number: int, payload: bytes = b"fine") -> bytes:
        """A unary call's, with success."""
        message = len(payload).to_bytes(5, "big") + payload
        return b"".join(
            (
                self.headers(number, HEAD),
                frame(frames.DATA, 0, number, message),
                self.headers(number, TRAILERS, end=True),
            )
        )

    def await_(self, condition):
        """Waits until `condition(self)` gives something, and returns it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        with self._changed:
            while not (found := condition(self)):
                assert self._changed.wait(deadline - time.monotonic()), self.frames
            return found

    def await_requests(self, count: int = 1) -> list[int]:
        """The streams of so many requests that have come whole."""

        def whole(_):
            ended = [
                number
                for kind, flags, number, _ in self.frames
                if kind in (frames.DATA, frames.HEADERS) and flags & frames.END_STREAM
            ]
            return ended if len(ended) >= count else []

        return self.await_(whole)

    def count(self, kind: int) -> int:
        return sum(each[0] == kind for each in self.frames)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._client.shutdown(socket.SHUT_RDWR)
        self._client.close()

    def _read(self) -> None:
        with contextlib.suppress(OSError, EOFError), self._client.makefile("rb") as source:
            assert _exactly(source, len(PREFACE)) == PREFACE
            while True:
                high, low, kind, flags, number = frames.HEAD.unpack(_exactly(source, frames.HEAD.size))
                payload = _exactly(source, high << 16 | low)
                with self._changed:
                    if kind == frames.HEADERS:
                        self.requests[number] = dict(self._decoder.decode(payload))
                    self.frames.append((kind, flags, number, payload))
                    self._changed.notify_all()
        with self._changed:
            self.closed = True
            self._changed.notify_all()


class Hands:
    """Accepts connections; a test takes each with `next_connection`."""

    def __init__(self, greeting: bytes = frame(frames.SETTINGS, 0, 0, b"")) -> None:
        self.greeting = greeting
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._made: list[Connection] = []
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def next_connection(self) -> Connection:
        self._listener.settimeout(PATIENCE_SECONDS)
        client, _ = self._listener.accept()
        client.settimeout(None)
        self._made.append(Connection(client))
        self._made[-1].say(self.greeting)
        return self._made[-1]

    def close(self) -> None:
        self._listener.close()
        for connection in self._made:
            connection.close()


def _exactly(source, count: int) -> bytes:
    data = source.read(count)
    if len(data) < count:
        raise EOFError
    return data
