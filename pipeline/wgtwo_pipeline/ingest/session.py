"""What a worker process keeps for one member of a subscription: its stream, its segments' writer, its acks.

Open between bundles, so that deliveries go on arriving; closed by itself when the runner no longer asks.
"""

import logging
import math
import random
import secrets
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from wgtwo_pipeline.errors import CorruptError, LakeError
from wgtwo_pipeline.events import api
from wgtwo_pipeline.events.api import Start
from wgtwo_pipeline.ingest.ack import Acker
from wgtwo_pipeline.ingest.counters import (
    JOURNALED,
    JOURNALED_BYTES,
    LAKE_FAILURES,
    RECEIVED_BYTES,
    RECONNECTS,
    SEGMENTS,
    STREAMS,
    Counters,
)
from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.lake import positions
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.logs import is_told
from wgtwo_pipeline.service.open import open_transport
from wgtwo_pipeline.service.transport import Received, Stream, StreamEndedError

_LOG = logging.getLogger(__name__)

_FIRST_BACKOFF_SECONDS, _LONGEST_BACKOFF_SECONDS = 0.2, 15.0
_HEALTHY_AFTER_SECONDS = 5.0
_WORTH_A_WARNING = 4
_LAKE_RETRY_SECONDS = 1.0
_SHORTEST_GAP = timedelta(seconds=5)
_SAMPLE = 4


class Session:
    """One member's connection and journal.

    A runner may begin the next bundle before the last has ended: threads take turns, group by group.
    """

    def __init__(
        self, settings: IngestSettings, member: Member, counters: Counters, stopping: threading.Event
    ) -> None:
        self.settings, self.member, self.counters, self._stopping = settings, member, counters, stopping
        self._source = Source(member.subscription, member.method.api, member.method.name)
        self._store = open_store(settings.lake)
        self._writer = SegmentWriter(self._store)
        self._transport = open_transport(settings.service)
        self._acker = Acker(self._transport, member.method, settings.terms.ack_timeout_seconds, counters)
        self._taking, self._writing = threading.Lock(), threading.Lock()
        self._stream: Stream | None = None
        self._streams = 0
        self._confirmed = False
        self._covered_until: datetime | None = None
        self._connected_at: float | None = None
        self._next_open_at = 0.0
        self._ends = 0  # in a row, of streams before they lived
        self._history = timedelta(seconds=settings.history_seconds)
        self._last_segment_at, self._last_asked_at = -math.inf, time.monotonic()

    def receive(self, timeout_seconds: float) -> list[Received]:
        """Deliveries enough for a segment, or those that lingered; [] when none came in time.

        Reopens the stream, with backoff, whenever it ends; raises ServiceError where that can't help. Waits for the
        lake as `journal` does.
        """
        with self._taking:
            return self._receive(timeout_seconds)

    def _receive(self, timeout_seconds: float) -> list[Received]:
        self._last_asked_at = time.monotonic()
        if self._stream is None:
            if not self._may_open(timeout_seconds):
                return []
            self._stream = self._open()
        had_room = self._acker.in_flight < self.settings.terms.max_in_flight
        try:
            received = self._stream.receive(
                self.settings.enough,
                self.settings.most,
                self.settings.linger_seconds,
                timeout_seconds,
            )
        except StreamEndedError as end:
            self._ended(end)
            return []
        self.counters.add(RECEIVED_BYTES, sum(len(each.payload) for each in received))
        if self._lives(bool(received), self._stream.connected):
            self._cover(received, had_room)
        return received

    def drain(self) -> list[Received]:
        """Ends the stream; then what had already come, group by group, and [] when that was all."""
        with self._taking:
            if self._stream is None:
                return []
            self._stream.cancel()
            try:
                received = self._stream.receive(self.settings.enough, self.settings.most, 0.0, 5.0)
            except StreamEndedError:
                self._stream = None
                return []
            self.counters.add(RECEIVED_BYTES, sum(len(each.payload) for each in received))
            return received

    @property
    def heartbeat_due(self) -> bool:
        """Whether the journal should hear that the member is connected and nothing came.

        At once when it is first known: an outage after a start without events must be noticed, too.
        """
        quiet_seconds = time.monotonic() - self._last_segment_at
        return self._confirmed and quiet_seconds > self.settings.heartbeat_seconds

    def journal(self, received: Sequence[Received]) -> None:
        """Writes a segment; returns when it is durable.

        While the lake can't be written it tries again, for as long as it takes: nothing is acked meanwhile,
        the server keeps the events, and what it had to drop is recorded by the next `receive`. Raises LakeError
        only when the process is to stop.
        """
        covered_until = self._covered_until or datetime.now(UTC) - self._history
        payloads = [each.payload for each in received]
        times = [each.received_at_us for each in received]
        with self._writing:
            began_at = time.monotonic()
            self._insist(lambda: self._writer.write(self._source, payloads, times, covered_until))
        self._last_segment_at = self._last_asked_at = time.monotonic()
        self.counters.add(SEGMENTS)
        self.counters.add(JOURNALED, len(received))
        self.counters.add(JOURNALED_BYTES, sum(map(len, payloads)))
        measures = self.counters.measures
        measures.count("kinds", "deliveries" if received else "heartbeat")
        measures.observe("segment_write", self._last_segment_at - began_at)
        if received:
            measures.observe("segment_deliveries", len(received))

    def ack(self, group: int, received: Sequence[Received]) -> None:
        """Acks what `journal` has made durable; returns at once."""
        self._acker.ack(group, [each.payload for each in received])

    def facts(self) -> dict[str, Any]:
        """What is told of it outside: the times and figures that `metrics/table.py` names so."""
        facts: dict[str, Any] = {
            "subscription": self.member.subscription,
            "stream_connected": int(self._confirmed),
            "token_requests": dict(self._transport.token_requests),
        }
        if self._covered_until is not None:
            facts["covered_until"] = self._covered_until.timestamp()
        return facts

    def asked(self) -> None:
        """Notes that the runner has not abandoned it."""
        self._last_asked_at = time.monotonic()

    @property
    def abandoned(self) -> bool:
        """Whether the runner has stopped asking for deliveries; not while the lake or the service holds it up."""
        held_up = self._taking.locked() or self._writing.locked()
        return not held_up and time.monotonic() - self._last_asked_at > self.settings.abandon_seconds

    def close(self) -> None:
        """Waits a few seconds for the acks under way, then ends the connection."""
        self._acker.close()
        self._transport.close()

    def _insist(self, use: Callable[[], object]) -> None:
        """Calls `use` until the lake lets it, or the process is to stop."""
        failures = 0
        while True:
            try:
                use()
                break
            except LakeError as error:
                failures += 1
                self.counters.add(LAKE_FAILURES)
                self.counters.measures.problem("lake", f"the lake can't be written: {error}")
                if is_told(failures):
                    _LOG.error("nothing is acked, the lake can't be written (try %d): %s", failures, error)
                if self._stopping.wait(_LAKE_RETRY_SECONDS):
                    raise
        if failures:
            self.counters.measures.problem("lake", None)
            _LOG.info("the lake can be written again, after %d failed tries", failures)

    def _may_open(self, timeout_seconds: float) -> bool:
        wait = self._next_open_at - time.monotonic()
        if wait > 0:
            self._stopping.wait(min(wait, timeout_seconds))
        return wait <= timeout_seconds and not self._stopping.is_set()

    def _open(self) -> Stream:
        start = self.settings.start
        if self._covered_until is None:
            self._insist(self._look_up)
        if self._covered_until is not None:
            start = Start("timestamp", timestamp=self._covered_until - self.settings.overlap)
        request = api.subscribe_request(
            self.member.method, self.settings.terms, start, client_id=f"wgtwo-pipeline-{secrets.token_hex(8)}"
        )
        self.counters.add(STREAMS)
        if self._streams:
            self.counters.add(RECONNECTS)
        self._streams += 1
        self._connected_at, self._confirmed = None, False
        _LOG.info("subscribing to %s as member %d", self.member.method.name, self.member.index)
        return self._transport.stream(self.member.method.stream, request)

    def _look_up(self) -> None:
        try:
            found = positions.covered_until(self._store, self.member.subscription)
        except CorruptError as error:  # no reason to let the service's history run out
            _LOG.error("a gap before now would go unnoticed, the lake does not say where it is: %s", error)
        else:
            self._covered_until = max(filter(None, (self._covered_until, found)), default=None)

    def _lives(self, received: bool, connected: bool) -> bool:
        """Whether the stream lives: it has brought something, or been connected for a while without ending."""
        if not self._confirmed:
            now = time.monotonic()
            if self._connected_at is None and (received or connected):
                self._connected_at = now
            if self._connected_at is None:
                return False
            connected_seconds = now - self._connected_at
            if not received and connected_seconds < _HEALTHY_AFTER_SECONDS:
                return False
            # Asked from `overlap` before `covered_until`, the service sent what it still had when it was reached.
            self._record_missed(timedelta(seconds=connected_seconds), self.settings.overlap)
            self._confirmed = True
            self._ends = 0
        return True

    def _cover(self, received: Sequence[Received], had_room: bool) -> None:
        """Moves `covered_until` on, as far as nothing older can still be waiting at the service.

        That is to now where nothing came although there was room in flight. What comes is sent in order, so else
        it is to the oldest of that; a few of a group are asked. Times that no history holds say nothing.
        """
        now = datetime.now(UTC)
        until = now if had_room else None
        if received:
            some = received[:: max(1, len(received) // _SAMPLE)]
            found = (api.event_micros(self.member.method.api, each.payload) for each in some)
            kept_from = (now - self._history).timestamp()
            times = [each // 1_000_000 for each in found if each is not None and each >= kept_from * 1e6]
            until = min(now, datetime.fromtimestamp(min(times), UTC)) if times else now
        if until is not None and (self._covered_until is None or until > self._covered_until):
            self._record_missed(timedelta(), timedelta())
            self._covered_until = until

    def _record_missed(self, since: timedelta, overlap: timedelta) -> None:
        """Records what the service had dropped `since` ago, if it is from `overlap` or more before `covered_until`.

        Before `covered_until` moves past it: a process that ends here must notice it again. And other members take
        what one has covered for seen to: none may say so before it has looked.
        """
        if self._covered_until is None:
            self._insist(self._look_up)
            overlap = self.settings.overlap
        kept_from = datetime.now(UTC) - since - self._history
        if self._covered_until and self._covered_until - overlap < kept_from - _SHORTEST_GAP:
            self._insist(self._look_up)  # another member may have gone on meanwhile
            start = self._covered_until - self.settings.overlap
            self._insist(
                lambda: positions.record_missed(self._store, self.member.subscription, start, kept_from)
            )
            # What had not been dropped by then has been on its way since. Not for long: what another member held
            # came back within `overlap`, and the service may have dropped it while this process slept.
            self._covered_until = max(self._covered_until, kept_from + min(since, self.settings.overlap))

    def _ended(self, end: StreamEndedError) -> None:
        self._stream, self._confirmed = None, False
        self.counters.measures.count("stream_ends", end.code)
        wait = _FIRST_BACKOFF_SECONDS * 2.0 ** min(self._ends, 10)
        wait = min(wait, _LONGEST_BACKOFF_SECONDS) * random.uniform(0.5, 1.5)
        self._next_open_at = time.monotonic() + wait
        self._ends += 1
        # A stream that ends is nothing special; one after the other before they live, and somebody may have to help.
        level = logging.WARNING if self._ends >= _WORTH_A_WARNING and is_told(self._ends) else logging.INFO
        _LOG.log(level, "%s; subscribing again in %.1f s", end, wait)
