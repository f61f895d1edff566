"""Each event once: the first delivery counts, later ones and those that an earlier epoch published do not.

A duplicate has its event's own timestamp, so for a table only the files whose time ranges overlap can hold one,
and of those only the identity columns are read: the tables are their own index.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wgtwo_pipeline.events.wire import quarantine_identity
from wgtwo_pipeline.lake.manifest import TableFile
from wgtwo_pipeline.lake.reading import open_parquet, while_unchanged
from wgtwo_pipeline.lake.store import Store

READ_AHEAD = 8

REDELIVERED_WITHIN = timedelta(hours=2)
"""How far apart the deliveries of one event can be: the service keeps 30 minutes of history; with ample slack."""

_ENVELOPE = ["api", "method", "sequence", "timestamp"]

T = TypeVar("T")
R = TypeVar("R")


def rows(store: Store, rows: pa.Table, identity: tuple[str, str], files: Sequence[TableFile]) -> pa.Table:
    """`deduplicate` against what `files`, those of the same partition by earlier epochs, hold."""
    if not rows:
        return rows
    times = pc.min_max(rows["timestamp"])
    earlier = earlier_identities(store, files, identity, times["min"].as_py(), times["max"].as_py())
    return deduplicate(rows, identity, earlier)


def deduplicate(rows: pa.Table, identity: tuple[str, str], earlier: Iterable[pa.Table]) -> pa.Table:
    """Of rows in delivery order, the first of each identity that is in none of `earlier`, sorted by identity.

    `identity` is `timestamp` and what tells apart the events of one moment; the tables of `earlier` need have
    no other columns. Takes them one at a time and keeps of each only what has a timestamp in `rows`.
    """
    columns = list(identity)
    known: list[pa.Table] = []
    moments: Any = None  # sorting them is costly, and mostly nothing overlaps
    for table in earlier:
        moments = np.unique(_integers(rows["timestamp"])) if moments is None else moments
        known.append(_at(moments, table.select(columns)))
    everything = pa.concat_tables([*known, rows.select(columns)])
    # The sort is stable and what is known comes first, so the first of equals is the one that counts.
    order = pc.sort_indices(everything, sort_keys=[(column, "ascending") for column in columns])
    kept = np.asarray(order)[_firsts(everything.take(order))]
    before = len(everything) - len(rows)
    return rows.take(pa.array(kept[kept >= before] - before))


def earlier_identities(
    store: Store,
    files: Iterable[TableFile],
    identity: tuple[str, str],
    min_timestamp: datetime,
    max_timestamp: datetime,
) -> Iterator[pa.Table]:
    """The identity columns of the row groups that overlap a time range, both ends included; a table per file.

    Reads a few files ahead, and one anew if an erasure replaces it meanwhile. Raises CorruptError or NotFoundError
    naming a file that is not as described.
    """

    def read(file: TableFile) -> pa.Table:
        with open_parquet(store, file.key) as parquet:
            groups = []
            column = parquet.schema_arrow.names.index("timestamp")
            for group in range(parquet.num_row_groups):
                times = parquet.metadata.row_group(group).column(column).statistics
                if times is None or (times.min <= max_timestamp and times.max >= min_timestamp):
                    groups.append(group)
            return parquet.read_row_groups(groups, columns=list(identity))

    overlapping = [f for f in files if f.min_timestamp <= max_timestamp and f.max_timestamp >= min_timestamp]
    return _ahead(lambda file: while_unchanged(lambda: read(file)), overlapping)


def quarantine(store: Store, rows: pa.Table, files: Sequence[TableFile]) -> pa.Table:
    """Of quarantined rows, the first of each delivery that `files` do not hold, sorted by the time received.

    `files` are those of the quarantine by earlier epochs; only what was received within REDELIVERED_WITHIN
    of `rows` is looked at, and of that only what says the same about itself is read whole.
    """
    if not rows:
        return rows
    received = pc.min_max(rows["received_at"])
    since = received["min"].as_py() - REDELIVERED_WITHIN
    until = received["max"].as_py() + REDELIVERED_WITHIN

    def read(file: TableFile) -> list[bytes]:
        with open_parquet(store, file.key) as parquet:
            found = []
            for group in range(parquet.num_row_groups):
                seen = parquet.read_row_group(group, columns=_ENVELOPE)
                alike = [pc.is_in(seen[column], value_set=pc.unique(rows[column])) for column in _ENVELOPE]
                if all(pc.any(column).as_py() for column in alike):
                    found += _quarantine_identities(parquet.read_row_group(group))
            return found

    identities = _quarantine_identities(rows)
    wanted = set(identities)
    near = [f for f in files if f.min_timestamp <= until and f.max_timestamp >= since]
    found = _ahead(lambda file: while_unchanged(lambda: read(file)), near)
    seen = {identity for identities in found for identity in identities if identity in wanted}
    kept = []
    for at, identity in enumerate(identities):
        if identity not in seen:
            seen.add(identity)
            kept.append(at)
    return rows.take(pa.array(kept, pa.int64())).sort_by("received_at")


def _quarantine_identities(rows: pa.Table) -> list[bytes]:
    return [
        f"{api} {method} ".encode() + quarantine_identity(payload.as_py(), api)
        for api, method, payload in zip(
            rows["api"].to_pylist(), rows["method"].to_pylist(), rows["payload"], strict=True
        )
    ]


def _at(moments: Any, known: pa.Table) -> pa.Table:
    """The rows with a timestamp among `moments`, which are sorted."""
    times = _integers(known["timestamp"])
    at = np.minimum(np.searchsorted(moments, times), len(moments) - 1)
    return known.filter(pa.array(moments[at] == times)) if len(moments) else known.slice(0, 0)


def _firsts(ordered: pa.Table) -> Any:
    """Which rows differ from the row before them."""
    different = np.ones(len(ordered), bool)
    if len(ordered) > 1:
        changes = [
            np.asarray(pc.not_equal(column.slice(1), column.slice(0, len(column) - 1)))
            for column in ordered.columns
        ]
        different[1:] = np.logical_or.reduce(changes)
    return different


def _integers(timestamps: pa.ChunkedArray) -> Any:
    return np.asarray(timestamps.cast(pa.int64()))


def _ahead(function: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
    """Like `map`, in order, with a few calls ahead in threads."""
    waiting: deque[Future[R]] = deque()
    with ThreadPoolExecutor(READ_AHEAD) as threads:
        for item in items:
            waiting.append(threads.submit(function, item))
            if len(waiting) == READ_AHEAD:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
