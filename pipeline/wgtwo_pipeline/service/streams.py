"""The deliveries of one stream, between the thread that reads them and the one that receives them."""

import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from wgtwo_pipeline.errors import PipelineError
from wgtwo_pipeline.service.transport import MAX_WAITING_BYTES, Received, StreamEndedError

_BYTES_BESIDES_PAYLOAD: Final = 200  # what Python adds to a waiting delivery
_LULL_SECONDS: Final = 0.002
"""Deliveries that a service sends one after the other are closer together."""


class Reading(Protocol):
    """A call that is being read. Called from any thread; must not block."""

    def resume(self) -> None:
        """There is room again for what was not read because the stream was full."""

    def cancel(self) -> None:
        """Ends it."""


class EventStream:
    """A `Stream`. The receiver is woken only when there is enough to take.

    One thread at a time reads, that is calls `deliver`, looks at `full` and calls `over`, in this order.
    """

    def __init__(self, over: Callable[[str, str], None]) -> None:
        self.over = over
        """Called by the reader at the end, with the code and the detail; leads to `end`, maybe in another thread."""
        self.connected = False
        """See `Stream.connected`. Set by the reader."""
        self._waiting: deque[Received] = deque()
        self._end: PipelineError | None = None
        # Only the reader adds to the one and only the receiver to the other: neither needs a lock.
        self._bytes_read = self._bytes_taken = 0
        self._wanted = sys.maxsize
        self._wake = threading.Event()
        self._reading: Reading | None = None
        self._lock = threading.Lock()

    @property
    def waiting(self) -> int:
        """See `Stream.waiting`."""
        return len(self._waiting)

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._end is not None

    @property
    def has_received(self) -> bool:
        """Whether anything has ever come."""
        return self._bytes_read > 0

    @property
    def full(self) -> bool:
        """Whether so much waits that the reader must stop until `Reading.resume`."""
        return self._bytes_read - self._bytes_taken >= MAX_WAITING_BYTES

    def receive(
        self, enough: int, max_count: int, linger_seconds: float, timeout_seconds: float
    ) -> list[Received]:
        """See `Stream.receive`."""
        self._await(1, timeout_seconds)
        end = self._end  # looked at before the deque: whatever came, came before the end
        if self._waiting:
            waited_seconds = time.time() - self._waiting[0].received_at_us / 1e6
            self._await(enough, min(linger_seconds - waited_seconds, linger_seconds))
            came = 0
            while enough <= (waiting := len(self._waiting)) < max_count and waiting > came:
                came = waiting
                self._await(max_count, _LULL_SECONDS)
        elif end is not None:
            raise end.with_traceback(None)
        return self._take(max_count)

    def cancel(self) -> None:
        """See `Stream.cancel`."""
        self.end(StreamEndedError("CANCELLED", "from this side"))

    def read_by(self, reading: Reading) -> None:
        """Says who reads; ends that at once if the stream has ended meanwhile."""
        with self._lock:
            self._reading = reading
            ended = self.ended
        if ended:
            reading.cancel()

    def deliver(self, payload: bytes) -> None:
        """Adds what has just been read."""
        self._waiting.append(Received(payload, time.time_ns() // 1000))
        self._bytes_read += len(payload) + _BYTES_BESIDES_PAYLOAD
        if len(self._waiting) >= self._wanted or self.full:
            self._wake.set()

    def end(self, why: PipelineError) -> None:
        """Ends the stream: the receiver gets to hear why, once it has received everything. The first end counts."""
        with self._lock:
            if self._end is None:
                self._end = why
            reading = self._reading
        self._wake.set()
        if reading is not None:
            reading.cancel()

    def _await(self, count: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._wanted = count
        while not self._ready(count):
            # Cleared before the second look: a wake-up between that and the wait is not lost.
            self._wake.clear()
            remaining = deadline - time.monotonic()
            if self._ready(count) or remaining <= 0:
                break
            self._wake.wait(remaining)
        self._wanted = sys.maxsize

    def _ready(self, count: int) -> bool:
        return len(self._waiting) >= count or self.ended or self.full

    def _take(self, max_count: int) -> list[Received]:
        waiting = self._waiting
        was_full = self.full
        taken = [waiting.popleft() for _ in range(min(max_count, len(waiting)))]
        self._bytes_taken += sum(len(item.payload) + _BYTES_BESIDES_PAYLOAD for item in taken)
        if was_full and not self.full and self._reading is not None:
            self._reading.resume()
        return taken
