"""Looks at a lake again and again: manifests, checkpoint and listings alone; no table file is opened.

Each look reads only what is new since the one before it, so that it may be taken every few seconds.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc

from wgtwo_pipeline.ask import erased
from wgtwo_pipeline.ask import registered as catalogs
from wgtwo_pipeline.ask.erased import Erased
from wgtwo_pipeline.ask.holdings import Holding, of_tables
from wgtwo_pipeline.lake import checkpoint, history, journal, positions, receipts, retained
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.manifest import Manifest, Sealed, Unreadable
from wgtwo_pipeline.lake.store import ObjectInfo, Store

DAYS: Final = 14
"""Of so many days, today included, the rows are counted by day."""
EPOCHS: Final = 20
"""So many epochs are kept, the newest ones."""
_COLUMNS: Final = ("table", "date", "rows", "bytes", "max_timestamp")


@dataclass(frozen=True)
class Waiting:
    """Segments that no committed epoch holds."""

    segments: int = 0
    deliveries: int = 0
    bytes: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True)
class Copies:
    """Retained copies of what is published."""

    objects: int
    bytes: int


@dataclass(frozen=True)
class Status:
    """What a lake holds at one moment."""

    lake: str
    at: datetime
    epochs: int
    committed_at: datetime | None
    totals: checkpoint.Totals
    tables: dict[str, Holding]
    quarantine: Holding
    open_epoch: Sealed | None
    journal: Waiting
    retained: Copies
    unreadable: tuple[Unreadable, ...]
    gaps: tuple[positions.Gap, ...]
    erased: Erased
    registered: catalogs.Registered | None = None
    """None where the lake has no catalog of its own."""
    covered: Mapping[str, datetime] = field(default_factory=dict)
    """By subscription: up to when the lake holds all that the service sent; never beyond `at`."""
    days: Mapping[str, Mapping[date, int]] = field(default_factory=dict)
    """Rows by table and day of the last `DAYS`, as published: what was erased since is still counted."""
    recent: tuple[Manifest, ...] = ()
    """The newest epochs' manifests, in order."""
    ever: checkpoint.Totals = field(default_factory=checkpoint.Totals)
    """What the epochs have counted, whatever was erased later: it only grows."""

    @property
    def newest_at(self) -> datetime | None:
        """When the newest published event happened."""
        return max((table.newest_at for table in self.tables.values() if table.newest_at), default=None)


class Looks:
    """Takes looks at one lake; keeps what cannot change between them."""

    def __init__(self, store: Store, *, erases: bool = True) -> None:
        self._store, self._erases = store, erases
        self._past: history.History | None = None
        self._older: tuple[str | None, pa.Table] = ("", checkpoint.FILES.empty_table())
        self._receipts: dict[int, receipts.Receipt] = {}
        self._gaps: dict[str, positions.Gap] = {}
        self._recent: deque[Manifest] = deque(maxlen=EPOCHS)
        self._covered: dict[str, datetime] = {}  # by the key of a segment

    def look(self) -> Status:
        """What the lake holds now. Raises LakeError, after which the next look is as good as ever."""
        # The journal is listed after the manifests: what is committed in between is missing in both counts, never
        # in both.
        store = self._store
        self._past = past = history.load(store, self._past)
        done = receipts.read_all(store, self._receipts)
        self._receipts = {each.erasure: each for each in done}
        totals = receipts.moved(past.totals, done)
        at = datetime.now(UTC)
        older = self._files(past)
        held = of_tables(older, past.manifests, totals.tables, done, at)
        recent = self._newest(past)
        waiting = list(history.backlog(store, past))
        return Status(
            lake=store.uri("").rstrip("/"),
            at=at,
            epochs=past.committed,
            committed_at=recent[-1].committed_at if recent else None,
            totals=totals,
            quarantine=held.pop(QUARANTINE, Holding(0, 0, 0, 0, None)),
            tables=held,
            open_epoch=history.open_epoch(store, past),
            journal=_waiting(waiting),
            retained=_copies(store.list(retained.ROOT)),
            unreadable=tuple(past.unreadable.values()),
            gaps=self._recorded_gaps(),
            erased=erased.collect(store, past, done, is_off=not self._erases),
            registered=catalogs.collect(store, held, past.committed),
            covered=self._covered_until(past, waiting, at),
            days=_days(older, past.manifests, at.date()),
            recent=recent,
            ever=past.totals,
        )

    def _files(self, past: history.History) -> pa.Table:
        """The checkpoint's files, without the columns that nobody asks for: a year has hundreds of thousands."""
        if self._older[0] != past.base.key:
            self._older = (past.base.key, past.base.read(self._store, columns=_COLUMNS))
        return self._older[1]

    def _newest(self, past: history.History) -> tuple[Manifest, ...]:
        """The newest manifests; a checkpoint stands for those before it, so the first look may have to read some."""
        known = {each.epoch: each for each in (*self._recent, *past.manifests[-EPOCHS:])}
        wanted = range(max(1, past.committed - EPOCHS + 1), past.committed + 1)
        unknown = [epoch for epoch in wanted if epoch not in known]
        known.update(zip(unknown, history.manifests_of(self._store, unknown), strict=True))
        self._recent = deque((known[epoch] for epoch in wanted), maxlen=EPOCHS)
        return tuple(self._recent)

    def _recorded_gaps(self) -> tuple[positions.Gap, ...]:
        self._gaps = {gap.key: gap for gap in positions.gaps(self._store, self._gaps)}
        return tuple(self._gaps.values())

    def _covered_until(
        self, past: history.History, waiting: Iterable[ObjectInfo], at: datetime
    ) -> dict[str, datetime]:
        """By the manifests, and by the newest segment of each subscription that waits: one is read of each."""
        found = {name: min(each.covered_until, at) for name, each in past.subscriptions.items()}
        newest = {journal.SegmentName.parse(info.key).subscription: info.key for info in waiting}
        self._covered = {key: until for key, until in self._covered.items() if key in newest.values()}
        unread = [key for key in newest.values() if key not in self._covered]
        for key, segment in journal.read(self._store, unread):
            if isinstance(segment, journal.Segment):
                self._covered[key] = segment.covered_until
        for name, key in newest.items():
            until = self._covered.get(key)
            if until is not None:
                found[name] = max(min(until, at), found.get(name, min(until, at)))
        return found


def _waiting(segments: Iterable[ObjectInfo]) -> Waiting:
    found = Waiting()
    for info in segments:
        name = journal.SegmentName.parse(info.key)
        found = Waiting(
            segments=found.segments + 1,
            deliveries=found.deliveries + name.rows,
            bytes=found.bytes + info.size,
            oldest_at=min(found.oldest_at or name.created_at, name.created_at),
        )
    return found


def _copies(objects: Iterable[ObjectInfo]) -> Copies:
    sizes = [info.size for info in objects]
    return Copies(len(sizes), sum(sizes))


def _days(older: pa.Table, manifests: Iterable[Manifest], today: date) -> dict[str, dict[date, int]]:
    since = today - timedelta(days=DAYS - 1)
    recent = older.filter(pc.greater_equal(older["date"], pa.scalar(since, pa.date32())))
    sums = recent.group_by(["table", "date"]).aggregate([("rows", "sum")]).to_pylist()
    rows = [(each["table"], each["date"], each["rows_sum"]) for each in sums]
    rows += [(file.table, file.date, file.rows) for manifest in manifests for file in manifest.files]
    found: dict[str, dict[date, int]] = {}
    for table, day, count in rows:
        if day >= since and table != QUARANTINE:
            days = found.setdefault(table, {})
            days[day] = days.get(day, 0) + count
    return {table: dict(sorted(days.items())) for table, days in sorted(found.items())}
