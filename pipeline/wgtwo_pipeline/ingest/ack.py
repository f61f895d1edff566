"""Acks deliveries: always the last step of ingest, and only for what is durable in the journal."""

import logging
import re
import threading
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence

from wgtwo_pipeline.events import api
from wgtwo_pipeline.events.api import Method
from wgtwo_pipeline.ingest.counters import REDELIVERED, UNACKABLE, Counters
from wgtwo_pipeline.logs import is_told
from wgtwo_pipeline.service.transport import CallResult, Transport

_LOG = logging.getLogger(__name__)

_CLOSE_SECONDS = 4.0
_MOST_SECONDS = 10.0
_TRIES = 3
_LONG_NUMBER = re.compile(r"[0-9]{5,}")  # it may be somebody's


class Acker:
    """Sends acks at once and waits for none of them: what ends a group's acks is told by the transport.

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
        self._groups = self._unanswered = 0
        self._failed: deque[tuple[float, int]] = deque()  # when, how many
        self._lock = threading.Lock()
        self._settled = threading.Condition(self._lock)

    def ack(self, group: int, payloads: Sequence[bytes]) -> None:
        """Acks deliveries that ARE durable; returns at once. `group` is the number `Counters.took` gave."""
        found = [api.envelope(self._method, payload) for payload in payloads]
        requests = [ack for ack, _ in found if ack is not None]
        unackable = len(found) - len(requests)
        if unackable:
            self._counters.add(UNACKABLE, unackable)
        if redelivered := sum(again for _, again in found):
            self._counters.add(REDELIVERED, redelivered)
        with self._lock:
            self._groups += 1
            self._unanswered += len(requests)
            self._fail(unackable)
        self._send(group, requests, 0, 1)

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
        with self._settled:
            settled = self._settled.wait_for(lambda: not self._groups, timeout_seconds)
        if not settled:
            _LOG.warning("the last acks were not answered in time; their events may come again")

    def _send(self, group: int, requests: Sequence[bytes], acked: int, tries: int) -> None:
        """Sends what is left of a group's acks, after `acked` of them were answered."""

        def answered(results: list[CallResult]) -> None:
            left = [index for index, result in enumerate(results) if not self._accepted(result)]
            failures = [results[index] for index in left]
            good = acked + len(results) - len(left)
            # What was not answered in time may well have counted, and another wait would be for nothing.
            lost = all(failure.code == "DEADLINE_EXCEEDED" for failure in failures)
            if lost or tries == _TRIES:
                self._settle(group, good, failures)
            else:
                self._send(group, [requests[index] for index in left], good, tries + 1)

        try:
            self._transport.start_many(self._method.ack, requests, self._timeout_seconds, answered)
        except Exception:  # what is handed in later must be sent all the same
            _LOG.exception("acking failed; the events will come again")
            self._settle(group, acked, [CallResult("INTERNAL", "", None)] * len(requests))

    def _settle(self, group: int, acked: int, failures: Sequence[CallResult]) -> None:
        """Notes how the acks of a group have ended."""
        with self._settled:
            self._failing = self._failing + 1 if failures else 0
            told = failures and is_told(self._failing)
            self._unanswered -= acked + len(failures)
            self._fail(len(failures))
        if told:
            _LOG.warning(
                "%d acks failed (%s); their events will come again", len(failures), _describe(failures)
            )
        self._counters.settled(group, acked, len(failures))
        self._counters.measures.acks_ended(acked, [failure.code for failure in failures])
        with self._settled:  # last: whoever closes may look at the counters
            self._groups -= 1
            self._settled.notify_all()

    def _fail(self, count: int) -> None:
        if count:
            self._failed.append((time.monotonic(), count))

    def _accepted(self, result: CallResult) -> bool:
        return result.response is not None and api.ack_accepted(self._method, result.response)


def _describe(failures: Iterable[CallResult]) -> str:
    """Each code, how often, and what was said with it first; without what may be somebody's number."""
    details: dict[str, str] = {}
    for failure in failures:
        details.setdefault(failure.code, _LONG_NUMBER.sub("…", failure.detail))
    counts = Counter(failure.code for failure in failures)
    return ", ".join(
        f"{code} × {count}" + (f": {details[code]}" if details[code] else "")
        for code, count in sorted(counts.items())
    )
