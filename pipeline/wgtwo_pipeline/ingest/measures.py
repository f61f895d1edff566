"""What ingest measures besides its counts: by code, how long things take, and what is wrong right now.

For the outside only (`metrics/table.py` names what becomes of it); nothing in the pipeline rests on it.
"""

import threading
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from wgtwo_pipeline.metrics.table import of_children

_BOUNDS = {metric.fact: metric.bounds for metric in of_children() if metric.bounds}


@dataclass
class _Histogram:
    counts: list[int]
    sum: float = 0.0


@dataclass
class Measures:
    """Of one process; threads may use it at once, and never wait in it."""

    _labelled: dict[str, Counter[str]] = field(default_factory=dict)
    _histograms: dict[str, _Histogram] = field(
        default_factory=lambda: {
            name: _Histogram([0] * (len(bounds) + 1)) for name, bounds in _BOUNDS.items()
        }
    )
    _problems: dict[str, str] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, name: str, label: str, count: int = 1) -> None:
        """Adds to the count of a label, such as `stream_ends` of `UNAVAILABLE`."""
        with self._lock:
            self._labelled.setdefault(name, Counter())[label] += count

    def observe(self, name: str, value: float, times: int = 1) -> None:
        """Notes so many observations of one value in a histogram of the table."""
        with self._lock:
            histogram = self._histograms[name]
            histogram.counts[bisect_left(_BOUNDS[name], value)] += times
            histogram.sum += value * times

    def problem(self, name: str, sentence: str | None) -> None:
        """Notes what is wrong right now with `lake`, `stream` or `acks`; None: nothing any more."""
        with self._lock:
            if sentence is None:
                self._problems.pop(name, None)
            else:
                self._problems[name] = sentence

    def acks_ended(self, acked: int, failed_codes: Iterable[str]) -> None:
        """Notes how the acks of a group ended: whether any counted, and the codes of those that did not."""
        codes = Counter(failed_codes)
        for code, count in codes.items():
            self.count("failed_acks", code, count)
        if acked:
            self.problem("acks", None)
        elif codes:
            self.problem("acks", f"the last acks failed ({', '.join(sorted(codes))})")

    def facts(self) -> dict[str, Any]:
        """Counts by label, histograms as counts of each bucket and a sum, and `problems`."""
        with self._lock:
            return {
                **{name: dict(counts) for name, counts in self._labelled.items()},
                **{
                    name: {"counts": list(each.counts), "sum": each.sum}
                    for name, each in self._histograms.items()
                },
                "problems": dict(self._problems),
            }
