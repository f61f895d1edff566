"""Acks deliveries: always the last step of ingest, and only for what is durable in the journal."""

import logging
import queue
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from wgtwo_pipeline.events import api
from wgtwo_pipeline.events.api import Method
from wgtwo_pipeline.ingest.counters import UNACKABLE, Counters
from wgtwo_pipeline.logs import is_told
from wgtwo_pipeline.service.transport import CallResult, Transport

_LOG = logging.getLogger(__name__)

_CLOSE_SECONDS = 4.0
_MOST_SECONDS = 10.0
_THREADS = 2
_TRIES = 3


class _Batch(NamedTuple):
    group: int
    requests: Sequence[bytes]


class Acker:
    """Sends acks in the background, so that the next group is journaled while these are on their way.

    A failed ack is tried again a few times at once and then left alone: the server sends the event
    again, and publish drops the duplicate. Holds no more than the server's `max_in_flight`.
    """

    def __init__(
        self, transport: Transport, method: Method, ack_timeout_seconds: float, counters: Counters
    ) -> None:
        self._transport, self._method, self._counters = transport, method, counters
        self._ack_timeout_seconds = ack_timeout_seconds
        self._timeout_seconds = min(_MOST_SECONDS, ack_timeout_seconds / _TRIES)
        self._failing = 0  # times in a row
        self._unanswered = 0
        self._failed: deque[tuple[float, int]] = deque()  # when, how many
        self._lock = threading.Lock()
        self._batches: queue.SimpleQueue[_Batch | None] = queue.SimpleQueue()
        # Two threads: one ack whose answer is lost does not hold up all others for its timeout.
        self._threads = [threading.Thread(target=self._run, name="ack", daemon=True) for _ in range(_THREADS)]
        for thread in self._threads:
            thread.start()

    def ack(self, group: int, payloads: Sequence[bytes]) -> None:
        """Acks deliveries that ARE durable; returns at once. `group` is the number `Counters.took` gave."""
        found = [api.ack_request(self._method, payload) for payload in payloads]
        requests = [request for request in found if request is not None]
        if len(requests) < len(found):
            self._counters.add(UNACKABLE, len(found) - len(requests))
        self._count(len(requests), failed=len(found) - len(requests))
        self._batches.put(_Batch(group, requests))

    @property
    def in_flight(self) -> int:
        """How many of the deliveries handed in may still be unacked for the server.

        Their acks have not been answered yet; or they failed, and the server has not sent them again so far.
        """
        with self._lock:
            while self._failed and time.monotonic() - self._failed[0][0] > self._ack_timeout_seconds:
                self._failed.popleft()
            return self._unanswered + sum(count for _, count in self._failed)

    def close(self, timeout_seconds: float = _CLOSE_SECONDS) -> None:
        """Blocks until every ack handed in was answered or failed, or for `timeout_seconds`: a stop is to be quick.

        Nothing may be handed in afterwards.
        """
        deadline = time.monotonic() + timeout_seconds
        for _ in self._threads:
            self._batches.put(None)
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        if any(thread.is_alive() for thread in self._threads):
            _LOG.warning("the last acks were not answered in time; their events may come again")

    def _run(self) -> None:
        while batches := self._waiting():
            requests = [request for batch in batches for request in batch.requests]
            try:
                failed = self._send(requests)
            except Exception:  # a thread that dies would leave all that is handed in later unsent
                _LOG.exception("acking failed; the events will come again")
                failed = set(range(len(requests)))
            start = 0
            for batch in batches:
                count = len(batch.requests)
                lost = len(failed.intersection(range(start, start + count)))
                self._count(-count, lost)
                self._counters.settled(batch.group, count - lost, lost)
                start += count

    def _waiting(self) -> list[_Batch]:
        """Blocks for a batch, and takes all that wait; empty when there will be no more.

        Many small ones, one at a time, would each wait for the answers to those before.
        """
        batches: list[_Batch] = []
        batch = self._batches.get()
        while batch is not None:
            batches.append(batch)
            try:
                batch = self._batches.get_nowait()
            except queue.Empty:
                return batches
        if batches:
            self._batches.put(None)  # for the next call
        return batches

    def _count(self, unanswered: int, failed: int) -> None:
        with self._lock:
            self._unanswered += unanswered
            if failed:
                self._failed.append((time.monotonic(), failed))

    def _send(self, requests: Sequence[bytes]) -> set[int]:
        """Returns which could not be acked."""
        left: dict[int, str] = dict.fromkeys(range(len(requests)), "")
        for _ in range(_TRIES):
            results = self._transport.call_many(
                self._method.ack, [requests[index] for index in left], self._timeout_seconds
            )
            pairs = zip(left, results, strict=True)
            left = {index: result.code for index, result in pairs if not self._accepted(result)}
            if not left:
                self._failing = 0
                return set()
            if set(left.values()) == {"DEADLINE_EXCEEDED"}:
                break  # it may well have counted, and waiting again would hold up the next ones
        self._failing += 1
        if is_told(self._failing):
            _LOG.warning(
                "%d acks failed (%s); their events will come again", len(left), _describe(left.values())
            )
        return set(left)

    def _accepted(self, result: CallResult) -> bool:
        return result.response is not None and api.ack_accepted(self._method, result.response)


def _describe(codes: Iterable[str]) -> str:
    return ", ".join(f"{code} × {count}" for code, count in sorted(Counter(codes).items()))
