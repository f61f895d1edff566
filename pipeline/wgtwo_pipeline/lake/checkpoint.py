"""Checkpoints: what all manifests up to one epoch say, in one object, so that a long history opens fast.

Derived from manifests and never needed for correctness: deleting them all only costs time.
"""

import contextlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import date, datetime
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wgtwo_pipeline.errors import AlreadyExistsError, CorruptError
from wgtwo_pipeline.lake.manifest import (
    Manifest,
    Received,
    TableCount,
    TableFile,
    Unreadable,
    merge,
    still_unreadable,
)
from wgtwo_pipeline.lake.store import ObjectInfo, Store

ROOT = "checkpoints/"
RECENT_SUFFIX = ".manifests.gz"
_SUFFIX = ".parquet"

_COUNTS = ("received", "published", "duplicates", "quarantined", "erased", "unreadable")
_TIME = pa.timestamp("us", tz="UTC")
FILES = pa.schema(
    {
        "key": pa.string(),
        "table": pa.string(),
        "date": pa.date32(),
        "rows": pa.int64(),
        "bytes": pa.int64(),
        "sha256": pa.string(),
        "min_timestamp": _TIME,
        "max_timestamp": _TIME,
    }
)
"""One row for each file that the epochs published, sorted by table, date and key."""


@dataclass(frozen=True)
class Totals:
    """Sums over epochs. received = published + duplicates + quarantined + erased + unreadable."""

    received: int = 0
    published: int = 0
    duplicates: int = 0
    quarantined: int = 0
    erased: int = 0
    unreadable: int = 0
    tables: dict[str, TableCount] = field(default_factory=dict)
    subscriptions: dict[str, Received] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    def counts(self) -> dict[str, int]:
        """The sums of deliveries by their names, as `status --json` and `audit --json` print them."""
        return {name: getattr(self, name) for name in _COUNTS}

    def plus(self, manifests: Iterable[Manifest]) -> "Totals":
        """With more epochs."""
        counts = self.counts()
        tables, subscriptions = dict(self.tables), dict(self.subscriptions)
        reasons = Counter(self.reasons)
        for manifest in manifests:
            for name in _COUNTS:
                counts[name] += getattr(manifest, name)
            merge(tables, manifest.tables)
            merge(subscriptions, manifest.subscriptions)
            reasons.update(manifest.reasons)
        return Totals(**counts, tables=tables, subscriptions=subscriptions, reasons=dict(reasons))

    def __str__(self) -> str:
        text = (
            f"received {self.received:,} = published {self.published:,} + duplicates {self.duplicates:,} + "
            f"quarantined {self.quarantined:,} + erased {self.erased:,}"
        )
        return text + (f" + unreadable {self.unreadable:,}" if self.unreadable else "")

    def to_json(self) -> dict[str, Any]:
        """As it stands in a checkpoint."""
        return {
            **asdict(self),
            "subscriptions": {name: each.to_json() for name, each in self.subscriptions.items()},
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        tables = {name: TableCount(**each) for name, each in raw["tables"].items()}
        subscriptions = {name: Received.from_json(each) for name, each in raw["subscriptions"].items()}
        return cls(**{**raw, "tables": tables, "subscriptions": subscriptions})


@dataclass(frozen=True)
class Checkpoint:
    """The state after `epoch`; without a key, the state before the first one."""

    epoch: int = 0
    key: str | None = None
    retired_through: int = 0
    totals: Totals = field(default_factory=Totals)
    unreadable: tuple[Unreadable, ...] = ()
    """The segments that were not readable, and have not been since."""
    recent: str | None = field(default=None, compare=False)
    """The object with the manifests after it (`recent.py`), if there was one when this was looked for."""

    def files(self, store: Store, table: str | None = None, day: date | None = None) -> list[TableFile]:
        """Its files: all, or those of one partition (only the row groups that can hold them are read)."""
        rows = self.read(store, table, day).to_pylist()
        return [TableFile(**row) for row in rows]

    def read(
        self,
        store: Store,
        table: str | None = None,
        day: date | None = None,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """The same as a table of the schema `FILES` (or some `columns` of it), without an object for each file."""
        if self.key is None:
            return FILES.empty_table().select([*(columns or FILES.names)])
        filters = None if table is None else (pc.field("table") == table) & (pc.field("date") == day)
        with store.open(self.key) as source:
            return pq.read_table(source, schema=FILES, filters=filters, columns=columns and [*columns])


def newest(store: Store, known: Checkpoint | None = None) -> Checkpoint:
    """The newest checkpoint, or `known` if there is none newer. Raises CorruptError."""
    listed = [info.key for info in store.list(ROOT, after=(known and known.key) or "")]
    last = max((key for key in listed if key.endswith(_SUFFIX)), default=None)
    recent = max((key for key in listed if key.endswith(RECENT_SUFFIX) and key > (last or "")), default=None)
    if last is None:
        return known or Checkpoint(recent=recent)
    try:
        with store.open(last) as source:
            raw = json.loads(pq.read_schema(source).metadata[b"checkpoint"])
        unreadable = tuple(Unreadable(**each) for each in raw["unreadable"])
        totals = Totals.from_json(raw["totals"])
        return Checkpoint(raw["epoch"], last, raw["retired_through"], totals, unreadable, recent)
    except (pa.ArrowException, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(
            f"{last} is no checkpoint that can be read ({error!r}); delete it, the manifests say the same"
        ) from None


def write(store: Store, base: Checkpoint, manifests: Sequence[Manifest]) -> None:
    """Writes the checkpoint after the last of `manifests`, which follow `base` without a gap; idempotent."""
    last = manifests[-1]
    totals = base.totals.plus(manifests).to_json()
    files = pa.concat_tables([base.read(store), files_of(manifests)])
    files = files.sort_by([("table", "ascending"), ("date", "ascending"), ("key", "ascending")])
    state = {
        "epoch": last.epoch,
        "retired_through": last.retired_through,
        "totals": totals,
        "unreadable": [asdict(each) for each in still_unreadable(base.unreadable, manifests)],
    }
    sink = pa.BufferOutputStream()
    pq.write_table(
        files.replace_schema_metadata({"checkpoint": json.dumps(state)}),
        sink,
        compression="zstd",
        row_group_size=16 * 1024,
    )
    # One that is there is another publisher's, or another pyarrow version's: it says the same.
    with contextlib.suppress(AlreadyExistsError):
        store.create(f"{ROOT}{last.epoch:010d}{_SUFFIX}", sink.getvalue())


def expire(store: Store, before: datetime) -> None:
    """Deletes the checkpoints made before a time, and the recent manifests beside them, never the newest of either.

    All together they would outgrow the tables.
    """
    kinds: dict[bool, list[ObjectInfo]] = {True: [], False: []}
    for info in store.list(ROOT):
        kinds[info.key.endswith(_SUFFIX)].append(info)
    store.delete([info.key for kind in kinds.values() for info in kind[:-1] if info.modified < before])


def files_of(manifests: Iterable[Manifest]) -> pa.Table:
    """The files that these epochs published, in the schema FILES."""
    rows = [asdict(file) for manifest in manifests for file in manifest.files]
    return pa.Table.from_pylist(rows, FILES)
