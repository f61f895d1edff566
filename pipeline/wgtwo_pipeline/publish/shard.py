"""The rows of a shard become files: put in order, each event once, partition by partition."""

from collections import deque
from collections.abc import Iterable, Iterator
from datetime import date, timedelta

import pyarrow as pa

from wgtwo_pipeline.events import tables
from wgtwo_pipeline.lake import deduplicate, epochs, history
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.manifest import TableCount
from wgtwo_pipeline.lake.outcomes import Outcome
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.publish import write as files
from wgtwo_pipeline.publish.decode import Key, from_bytes

Parts = Iterable[tuple[int, bytes]]
"""The number of the group that they come from, and rows as bytes."""
Written = tuple[int, Outcome]
"""The epoch, and what was done in it."""


def write(store: Store, key: Key, parts: Parts) -> list[Written]:
    """Writes what no earlier epoch has: its epoch and an outcome for each partition, once durable; idempotent.

    The first delivery of an event counts: parts are put in order, whatever order they come in. Nothing if another
    publisher was faster. Raises what `files.write` raises.
    """
    epoch, table, _ = key
    past = history.before(store, epoch)
    if not past:
        return []
    rows = pa.concat_tables(from_bytes(part) for _, part in sorted(parts))
    if table == QUARANTINE:
        new = _new_in_quarantine(store, rows, past)
        return [(epoch, _written(store, epoch, table, *each)) for each in new]
    partitions = deque(tables.partitions(rows, epochs.sealed(store, epoch).parameters.partition_by))
    del rows  # memory: while one is written, only what is still to be written stays
    outcomes = []
    while partitions:
        partition, part = partitions.popleft()
        came, kept = len(part), _new(store, epoch, table, partition, part, past)
        del part
        outcomes.append((epoch, _written(store, epoch, table, kept, came)))
    return outcomes


def _new(
    store: Store, epoch: int, table: str, partition: str, rows: pa.Table, past: history.History
) -> pa.Table:
    sealed = epochs.sealed(store, epoch)
    catalog = tables.catalog(epochs.descriptors(store, sealed.parameters.descriptors))
    earlier = past.files(store, table, date.fromisoformat(partition[:10]))
    return deduplicate.rows(store, rows, catalog[table].identity, earlier)


def _new_in_quarantine(store: Store, rows: pa.Table, past: history.History) -> Iterator[tuple[pa.Table, int]]:
    """What is new of each date, and how many came; first of no date, as many as came and were not new."""
    received = rows["date"].unique().to_pylist()
    days = sorted({day + timedelta(days=near) for day in received for near in (-1, 0, 1)})
    earlier = [file for day in days for file in past.files(store, QUARANTINE, day)]
    kept = deduplicate.quarantine(store, rows, earlier)
    yield kept.slice(0, 0), len(rows) - len(kept)
    for _, part in tables.partitions(kept):
        yield part, len(part)


def _written(store: Store, epoch: int, table: str, rows: pa.Table, came: int) -> Outcome:
    made = files.write(store, rows, table, epoch, epochs.sealed(store, epoch).parameters)
    reasons = files.reasons(rows) if table == QUARANTINE else {}
    count = TableCount(published=len(rows), duplicates=came - len(rows))
    return Outcome(tables={table: count}, files=tuple(made), reasons=reasons)


def prepare() -> None:
    """Has behind it what takes long at first: Arrow imports pandas where it finds it."""
    pa.array([0])
