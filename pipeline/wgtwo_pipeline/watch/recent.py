"""The last quarter of an hour of six figures, for the page's lines: kept in memory, sampled every few seconds."""

import itertools
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from wgtwo_pipeline.metrics.samples import Buckets, Samples
from wgtwo_pipeline.watch.repeat import Repeated

_LOG = logging.getLogger(__name__)

SAMPLE_SECONDS: Final = 5.0
KEPT_SECONDS: Final = 900.0


@dataclass(frozen=True)
class Point:
    """The figures at one moment; None where nothing is known."""

    at: float
    received: float
    acked: float
    published: float
    oldest_unacked_seconds: float | None
    waiting: float | None
    lost_in_seconds: float | None


class Recent:
    """Takes samples in a thread until it is closed."""

    def __init__(self, samples: Callable[[], Samples], history_seconds: float) -> None:
        self._samples, self._history = samples, history_seconds
        self._points: deque[Point] = deque(maxlen=int(KEPT_SECONDS / SAMPLE_SECONDS))
        self._taking = Repeated("recent-figures", self._take, SAMPLE_SECONDS)

    @property
    def points(self) -> Sequence[Point]:
        """Oldest first."""
        return tuple(self._points)

    def close(self) -> None:
        """Takes no more. Returns at once."""
        self._taking.close()

    def point(self) -> Point:
        """The figures now."""
        samples, now = self._samples(), time.time()
        covered = _values(samples, "ingest_covered_until_timestamp_seconds") or _values(
            samples, "lake_covered_until_timestamp_seconds"
        )
        oldest = _values(samples, "ingest_oldest_unacked_seconds")
        waiting = _values(samples, "lake_journal_deliveries")
        return Point(
            at=now,
            received=sum(_values(samples, "ingest_received_deliveries_total"))
            or sum(_values(samples, "lake_received_deliveries_total")),
            acked=sum(_values(samples, "ingest_acked_deliveries_total")),
            published=sum(_values(samples, "lake_published_deliveries_total")),
            oldest_unacked_seconds=max(oldest, default=None),
            waiting=sum(waiting) if waiting else None,
            lost_in_seconds=self._history - (now - min(covered)) if covered else None,
        )

    def _take(self) -> None:
        try:
            self._points.append(self.point())
        except Exception:  # a line with a hole is better than none
            _LOG.exception("a figure of the page could not be taken")


def rates(points: Sequence[Point], name: str) -> list[float]:
    """Of a count: how much a second it grew from point to point; 0 where it began anew."""
    found = []
    for before, after in itertools.pairwise(points):
        grown = getattr(after, name) - getattr(before, name)
        found.append(max(0.0, grown) / max(after.at - before.at, 0.001))
    return found


def _values(samples: Samples, name: str) -> list[float]:
    return [value for found, _, value in samples.all() if found == name and not isinstance(value, Buckets)]
