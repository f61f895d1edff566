"""Many small unary calls at once over a channel: an ack is one, so they are what bounds ingest."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Final, cast

from wgtwo_pipeline.service.channel import Channel, Connection
from wgtwo_pipeline.service.http2.connection import Exchange
from wgtwo_pipeline.service.http2.frames import ErrorCode
from wgtwo_pipeline.service.http2.headers import Fields, Section
from wgtwo_pipeline.service.statuses import PREFIX, message, reset_code, status
from wgtwo_pipeline.service.transport import CallResult, Done

MOST_RESPONSE_BYTES: Final = 4 << 20
"""Of a call's answer; gRPC's usual limit."""

_MOST_REFUSALS: Final = 3
_EMPTY: Final = message(b"")
_EMPTY_OK: Final = CallResult("OK", "", b"")


class Calls:
    """The calls of one `Client.start`: a `Work` of the channel. `done` gets the results in its thread, once."""

    def __init__(
        self, channel: Channel, fields: Fields, requests: Sequence[bytes], timeout_seconds: float, done: Done
    ) -> None:
        self.deadline = time.monotonic() + timeout_seconds
        self.last_fine: Section | None = None
        """Trailers that said OK, when some last did: mostly those of the next call, too."""
        self._channel, self._fields, self._done = channel, fields, done
        self._requests = [message(request) for request in requests]
        self._results: list[CallResult | None] = [None] * len(requests)
        self._left = len(requests)
        self._unsent = deque(range(len(requests)))
        self._open: dict[int, tuple[Connection, Exchange]] = {}
        self._refusals: dict[int, int] = {}
        self._sent_at = 0.0

    def open(self, connection: Connection) -> bool:
        """See `Work.open`."""
        self._sent_at = time.monotonic()
        http, unsent = connection.http, self._unsent
        for _ in range(min(len(unsent), http.free)):
            index = unsent.popleft()
            call = _Call(self, index)
            self._open[index] = connection, call
            http.request(self._fields, self._requests[index], call)
        return not unsent

    def fail(self, why: str) -> None:
        """See `Work.fail`."""
        self._end_with("UNAVAILABLE", why)

    def close(self) -> None:
        """See `Work.close`."""
        self._end_with("CANCELLED", "closed on this side")

    def expire(self) -> None:
        """See `Work.expire`. A connection that has brought nothing since may be dead, unsaid."""
        silent = {connection for connection, _ in self._open.values() if connection.heard_at < self._sent_at}
        self._end_with("DEADLINE_EXCEEDED", "no answer in time")
        for connection in silent:
            self._channel.suspect(connection)

    def settle(self, index: int, result: CallResult) -> None:
        """Notes how a call has ended."""
        del self._open[index]
        self._results[index] = result
        self._left -= 1
        if not self._left:
            self._end()

    def refused(self, index: int, why: str) -> None:
        """The server has not looked at a call: it is made again, a few times."""
        self._refusals[index] = self._refusals.get(index, 0) + 1
        if self._refusals[index] > _MOST_REFUSALS:
            self.settle(index, CallResult("UNAVAILABLE", why, None))
        else:
            del self._open[index]
            self._unsent.append(index)
            self._channel.again(self)

    def cancel(self, index: int) -> None:
        """Ends a call from this side."""
        connection, call = self._open[index]
        connection.http.cancel(call)

    def _end_with(self, code: str, why: str) -> None:
        """Every call that has not ended does so with this code."""
        for connection, call in self._open.values():
            connection.http.cancel(call)
        self._open.clear()
        self._unsent.clear()
        failed = CallResult(code, why, None)
        self._results = [result or failed for result in self._results]
        self._left = 0
        self._end()

    def _end(self) -> None:
        self._channel.done(self)
        self._done(cast(list[CallResult], self._results))


class _Call(Exchange):
    __slots__ = ("_body", "_calls", "_index")

    def __init__(self, calls: Calls, index: int) -> None:
        super().__init__()
        self._calls, self._index, self._body = calls, index, b""

    def data(self, buffer: bytes, begin: int, end: int) -> None:
        self._body = self._body + buffer[begin:end] if self._body else buffer[begin:end]
        if len(self._body) > MOST_RESPONSE_BYTES + PREFIX.size:
            self._calls.cancel(self._index)
            why = f"an answer of more than {MOST_RESPONSE_BYTES} bytes"
            self._calls.settle(self._index, CallResult("RESOURCE_EXHAUSTED", why, None))

    def end(self, trailers: Section) -> None:
        fine = trailers is self._calls.last_fine and self._body == _EMPTY
        self._calls.settle(self._index, _EMPTY_OK if fine else self._result(trailers))

    def reset(self, code: int, why: str) -> None:
        if code == ErrorCode.REFUSED_STREAM:
            self._calls.refused(self._index, why)
        else:
            self._calls.settle(self._index, CallResult(reset_code(code), why, None))

    def _result(self, trailers: Section) -> CallResult:
        assert self.head is not None
        code, detail = status(trailers, self.head)
        if code != "OK":
            return CallResult(code, detail, None)
        self._calls.last_fine = trailers
        payload = self._body[PREFIX.size :]
        if self._body[: PREFIX.size] != PREFIX.pack(0, len(payload)):
            return CallResult("INTERNAL", "an answer without one readable message", None)
        return CallResult("OK", "", payload)
