"""What one connection has to send, as far as the server's windows allow it (RFC 9113, 5.2 and 6.9)."""

from typing import Final

from wgtwo_pipeline.service.http2 import frames
from wgtwo_pipeline.service.http2.frames import ErrorCode, ProtocolError, frame

FIRST_WINDOW: Final = 65_535
"""A connection's, and a stream's as long as no SETTINGS say otherwise."""
MOST_REPLIES: Final = 10_000
"""With so many replies to PING, SETTINGS and the like that could not be sent, a server is taken for hostile."""

_MOST_UNSENT: Final = 16


class _Unsent:
    """What the server has no room for yet, of one request."""

    def __init__(self, body: bytes, window: int) -> None:
        self.rest, self.window = memoryview(body), window


class Outbox:
    """Frames in the order in which they have to be sent; bodies that do not fit into the windows wait."""

    def __init__(self) -> None:
        self._out: list[bytes] = [frames.PREFACE]
        self._replies = 0
        self._window = self._first_window = FIRST_WINDOW
        self._unsent: dict[int, _Unsent] = {}

    @property
    def full(self) -> bool:
        """Whether so many requests wait for room that others had better wait before they begin."""
        return len(self._unsent) >= _MOST_UNSENT

    def take(self) -> bytes:
        """All that may be sent now."""
        data = b"".join(self._out)
        self._out.clear()
        self._replies = 0
        return data

    def add(self, data: bytes) -> None:
        """A frame without data."""
        self._out.append(data)

    def reply(self, data: bytes) -> None:
        """A frame that the server has caused. Raises ProtocolError where it does not take what it causes (10.5)."""
        self._replies += 1
        if self._replies > MOST_REPLIES:
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "it asks faster than it lets us answer")
        self._out.append(data)

    def request(self, number: int, block: bytes, body: bytes) -> None:
        """A whole request: its headers at once, and its body as fast as the server has room."""
        size = len(body)
        if size <= self._window and size <= self._first_window and size <= frames.BYTES >= len(block):
            self._window -= size
            headers = frames.HEAD.pack(0, len(block), frames.HEADERS, frames.END_HEADERS, number)
            data = frames.HEAD.pack(0, size, frames.DATA, frames.END_STREAM, number)
            self._out.append(b"".join((headers, block, data, body)))
            return
        for at in range(0, len(block), frames.BYTES):
            kind = frames.CONTINUATION if at else frames.HEADERS
            flags = frames.END_HEADERS if at + frames.BYTES >= len(block) else 0
            self._out.append(frame(kind, flags, number, block[at : at + frames.BYTES]))
        self._unsent[number] = _Unsent(body, self._first_window)
        self.send_more()

    def drop(self, number: int) -> bool:
        """Sends no more of a stream's body; returns whether there was more."""
        return self._unsent.pop(number, None) is not None

    def widen(self, more: int) -> None:
        """The connection's window. Raises ProtocolError where it gets wider than windows are (6.9.1)."""
        self._window = _wider(self._window, more)
        self.send_more()

    def widen_stream(self, number: int, more: int) -> bool:
        """A stream's, which is of interest as long as there is more to send; False where it gets too wide."""
        unsent = self._unsent.get(number)
        if unsent is not None:
            if unsent.window + more > frames.MOST:
                return False
            unsent.window += more
            self.send_more()
        return True

    def resize_streams(self, window: int) -> None:
        """The first window of streams, in retrospect, too: theirs may get negative. Raises ProtocolError (6.9.2).

        Nothing is sent before `send_more`: a server reckons with what it has set once that is acknowledged (6.5.3).
        """
        if window > frames.MOST:
            raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, f"a first window of {window} bytes")
        for unsent in self._unsent.values():
            unsent.window = _wider(unsent.window, window - self._first_window)
        self._first_window = window

    def send_more(self) -> None:
        """Sends of the bodies what the windows allow, the oldest first."""
        for number, unsent in list(self._unsent.items()):
            while number in self._unsent:
                size = max(0, min(len(unsent.rest), self._window, unsent.window, frames.BYTES))
                last = size == len(unsent.rest)
                if not size and not last:
                    break
                self._window -= size
                unsent.window -= size
                flags = frames.END_STREAM if last else 0
                self._out.append(frame(frames.DATA, flags, number, bytes(unsent.rest[:size])))
                unsent.rest = unsent.rest[size:]
                if last:
                    del self._unsent[number]


def _wider(window: int, more: int) -> int:
    if window + more > frames.MOST:
        raise ProtocolError(ErrorCode.FLOW_CONTROL_ERROR, "a window wider than windows are")
    return window + more
