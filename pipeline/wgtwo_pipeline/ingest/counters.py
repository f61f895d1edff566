"""What ingest counts, declared once.

One `Counters` belongs to one worker process. Counts only grow, and never hold or name personal data.
"""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from wgtwo_pipeline.ingest.measures import Measures

RECEIVED = "received"  # deliveries taken from the stream, redeliveries included
RECEIVED_BYTES = "received_bytes"
REDELIVERED = "redelivered"  # journaled deliveries that the service says it has sent before
JOURNALED = "journaled"  # deliveries durable in the journal
JOURNALED_BYTES = "journaled_bytes"
ACKED = "acked"  # acks that the server accepted
ACKS_FAILED = "acks_failed"  # acks that were refused or not answered in time; their events come again
UNACKABLE = "unackable"  # deliveries whose bytes name nothing to ack; journaled all the same
SEGMENTS = "segments"  # segments written, heartbeats included
STREAMS = "streams"  # streams opened
RECONNECTS = "reconnects"  # streams opened after the first one
LAKE_FAILURES = "lake_failures"  # tries to use the lake that failed and were repeated

NAMES = (
    RECEIVED, RECEIVED_BYTES, REDELIVERED, JOURNALED, JOURNALED_BYTES, ACKED, ACKS_FAILED, UNACKABLE, SEGMENTS,
    STREAMS, RECONNECTS, LAKE_FAILURES,
)  # fmt: skip


@dataclass
class Counters:
    """Counts of one process; threads may add at once."""

    measures: Measures = field(default_factory=Measures)
    _counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    _passed_on: dict[str, int] = field(default_factory=lambda: dict.fromkeys(NAMES, 0))
    _unacked: dict[int, tuple[int, int]] = field(default_factory=dict)
    _groups: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, name: str, count: int = 1) -> None:
        """Adds to one of `NAMES`."""
        with self._lock:
            self._counts[name] += count

    def took(self, count: int, oldest_received_at_us: int) -> int:
        """Notes that a group was taken from the stream; returns its number, for `settled`."""
        with self._lock:
            self._counts[RECEIVED] += count
            self._groups += 1
            self._unacked[self._groups] = (oldest_received_at_us, count)
            return self._groups

    def settled(self, group: int, acked: int, failed: int) -> None:
        """Notes how the acks of a group ended."""
        with self._lock:
            oldest_us, _ = self._unacked.pop(group, (0, 0))
            self._counts[ACKED] += acked
            self._counts[ACKS_FAILED] += failed
        if acked and oldest_us:
            self.measures.observe("delivery_to_ack", max(0.0, time.time() - oldest_us / 1e6), acked)

    def news(self) -> dict[str, int]:
        """What has been added to each count since the last call, whoever made that."""
        with self._lock:
            news = {name: count - self._passed_on[name] for name, count in self._counts.items()}
            self._passed_on = dict(self._counts)
            return news

    def snapshot(self) -> Mapping[str, float]:
        """All counts, and `oldest_unacked_seconds`: how long the oldest delivery in hand has waited."""
        with self._lock:
            oldest_us, _ = min(self._unacked.values(), default=(0, 0))
            waited = time.time() - oldest_us / 1e6 if oldest_us else 0.0
            return {**self._counts, "oldest_unacked_seconds": max(waited, 0.0)}

    def facts(self) -> dict[str, Any]:
        """All that is told of it outside: `snapshot`, `in_flight`, and what `Measures` has."""
        with self._lock:
            in_flight = sum(count for _, count in self._unacked.values())
        return {**self.snapshot(), "in_flight": in_flight, **self.measures.facts()}
