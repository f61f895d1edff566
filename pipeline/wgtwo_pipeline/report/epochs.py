"""What the manifests of these days say: added up one after the other, the newest first."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Final

from wgtwo_pipeline.lake import history
from wgtwo_pipeline.lake.manifest import Manifest
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.report.period import Period

OUTCOMES: Final = ("received", "published", "duplicates", "quarantined", "erased", "unreadable")
FILE_BYTES: Final = tuple(10**power for power in range(3, 9))
"""Bounds of the sizes of files: 1 kB to 100 MB."""
_READ_TOGETHER: Final = 256


@dataclass
class Epochs:
    """Sums by the day on which an epoch was committed."""

    outcomes: dict[date, Counter[str]] = field(default_factory=dict)
    """How many `epochs` there were, and their deliveries by `OUTCOMES`."""
    duplicates: Counter[tuple[date, str]] = field(default_factory=Counter)
    """By day and table."""
    files: Counter[tuple[int, str]] = field(default_factory=Counter)
    """By place in `FILE_BYTES` (as many as there are: larger) and table, the quarantine's among them."""
    committed_at: dict[int, datetime] = field(default_factory=dict)
    """By epoch."""

    def add(self, manifest: Manifest) -> None:
        """Adds one epoch."""
        day = manifest.committed_at.date()
        counts = self.outcomes.setdefault(day, Counter())
        counts.update(epochs=1, **{name: getattr(manifest, name) for name in OUTCOMES})
        for table, count in manifest.tables.items():
            if count.duplicates:
                self.duplicates[day, table] += count.duplicates
        for file in manifest.files:
            place = sum(file.bytes > bound for bound in FILE_BYTES)
            self.files[place, file.table] += 1
        self.committed_at[manifest.epoch] = manifest.committed_at


def add_up(store: Store, committed: int, period: Period) -> Epochs:
    """Of the epochs up to this one that were committed in these days. Raises LakeError."""
    found = Epochs()
    for manifest in _since(store, committed, period):
        found.add(manifest)
    return found


def _since(store: Store, committed: int, period: Period) -> Iterator[Manifest]:
    """Clocks may differ a little: what is older is passed over until a whole group is."""
    newest = committed
    while newest > 0:
        oldest = max(1, newest - _READ_TOGETHER + 1)
        manifests = history.manifests_of(store, range(oldest, newest + 1))
        of_these_days = [each for each in manifests if each.committed_at >= period.begins_at]
        yield from of_these_days
        if not of_these_days:
            return
        newest = oldest - 1
