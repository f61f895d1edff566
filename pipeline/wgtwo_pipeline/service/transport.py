"""Byte streams and calls: the seam between the project and whatever speaks gRPC.

`open.py` says what stands behind it. Payloads stay raw bytes in both directions: a deserializer that raises would
kill the stream.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple, Protocol

from wgtwo_pipeline.errors import PipelineError

MAX_MESSAGE_BYTES: Final = 64 << 20
"""The largest message that is received."""
SILENT_SECONDS: Final = 80.0
"""A stream whose connection was lost silently ends after so long at the latest."""
MAX_WAITING_BYTES: Final = 64 << 20
"""With so much unreceived a stream stops reading; HTTP/2 flow control then stops the server."""


class Received(NamedTuple):
    """One delivery: the response message's bytes and when they arrived, in µs since the Unix epoch."""

    payload: bytes
    received_at_us: int


class CallResult(NamedTuple):
    """How one call ended: a gRPC status code by name, its detail, and the response's bytes if the code is OK."""

    code: str
    detail: str
    response: bytes | None


Done = Callable[[list[CallResult]], None]
"""Gets the results of calls, in the order of their requests, once, in a thread that it must not hold up."""


class StreamEndedError(PipelineError):
    """The stream is over and its buffer empty; another one may be opened. `code` may well be OK."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"the event stream ended with {code}" + (f": {detail}" if detail else ""))
        self.code = code
        self.detail = detail


class Stream(Protocol):
    """The deliveries of one server-streaming call, in the order they came. One thread receives from it."""

    @property
    def waiting(self) -> int:
        """How many deliveries have arrived and were not received yet."""

    @property
    def connected(self) -> bool:
        """Whether it has reached the service, over a connection that was there when the call was made or since.

        A call that has not ended may still be waiting for a connection; and one that is lost silently ends within
        SILENT_SECONDS only.
        """

    def receive(
        self, enough: int, max_count: int, linger_seconds: float, timeout_seconds: float
    ) -> list[Received]:
        """Up to `max_count` deliveries, oldest first; nothing if none came within `timeout_seconds`.

        Returns as soon as `max_count` wait, or `enough` and no other comes within a few milliseconds, or the oldest
        has waited for `linger_seconds`, or the stream has ended, or MAX_WAITING_BYTES wait.
        Once the stream has ended and everything that came was received, it raises StreamEndedError where another
        stream may fare better, and ServiceError where the service refuses what it is asked for or has never been
        reached and cannot be as configured; again at each call.
        """

    def cancel(self) -> None:
        """Ends the stream from this side. What already came can still be received. Idempotent."""


class Transport(Protocol):
    """A way to the event service. Threads may share it; processes may not.

    It owns threads and sockets that neither pickling nor `fork` carries over: a child opens its own, and is forked,
    if at all, before its parent opens one.
    """

    @property
    def token_requests(self) -> Mapping[str, int]:
        """How often a token was asked for, by outcome: `ok` or `failed`. Empty without OAuth."""

    def stream(self, method: str, request: bytes) -> Stream:
        """Opens a server-streaming call such as `/wgtwo.events.v0.EventsService/Subscribe`.

        Never blocks and never fails: whatever goes wrong ends the stream.
        """

    def start_many(self, method: str, requests: Sequence[bytes], timeout_seconds: float, done: Done) -> None:
        """Makes all calls at once and returns; `done` gets their results within `timeout_seconds`, more or less.

        A call that has not ended by then is DEADLINE_EXCEEDED, which does not say that the server did nothing. Never
        fails because a call does. If the service refuses two tokens in a row, the transport's streams end with the
        ServiceError that says so.
        """

    def call_many(self, method: str, requests: Sequence[bytes], timeout_seconds: float) -> list[CallResult]:
        """As `start_many`, but blocks for the results and returns them."""

    def close(self) -> None:
        """Ends all streams, takes no more calls, and waits for nothing: calls under way may still end. Idempotent."""
