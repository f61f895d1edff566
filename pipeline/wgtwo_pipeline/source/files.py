"""A table's file becomes record batches or rows, also while an erasure replaces it: none lost, none twice.

Rows of a file are in the order of their identity, and an erasure takes some away or blanks a number in them: whoever
has to begin again in the new object knows by the last row that it had where to go on.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Final

import apache_beam as beam
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from wgtwo_pipeline.events.tables import MICROSECONDS, Table, catalog, current_descriptors
from wgtwo_pipeline.lake.manifest import TableFile
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.reading import open_parquet, while_unchanged
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.rows import ROW_TYPES
from wgtwo_pipeline.source.beams import count
from wgtwo_pipeline.source.settings import LakeSource

BATCH_ROWS: Final = 10_000
"""How many rows a batch has at most."""

Identity = tuple[Any, Any]
"""A row's `timestamp` and what tells apart the events of one moment."""


def batches(
    store: Store, key: str, table: Table, columns: Sequence[str], since: datetime | None = None
) -> Iterator[pa.RecordBatch]:
    """The file's rows of `since` or later, in order, in the table's types; a column that the file lacks is null.

    Always with the columns of the identity. Holds one row group. Raises LakeError.
    """
    wanted = pa.schema([field for field in table.schema if field.name in {*columns, *table.identity}])
    behind: Identity | None = None
    ends = False
    while not ends:
        rows, ends = while_unchanged(partial(_next, store, key, table, wanted, behind))
        if len(rows):
            behind = _identity(rows, table, len(rows) - 1)
        if since is not None:
            rows = rows.filter(pc.greater_equal(rows["timestamp"], pa.scalar(since, MICROSECONDS)))
        yield from filter(len, rows.combine_chunks().to_batches(max_chunksize=BATCH_ROWS))


def _next(
    store: Store, key: str, table: Table, schema: pa.Schema, behind: Identity | None
) -> tuple[pa.Table, bool]:
    """The rows of the first row group that has some behind an identity, and whether it is the last."""
    with open_parquet(store, key) as parquet:
        there = parquet.schema_arrow.names
        identity = [there.index(name) for name in table.identity]
        for group in range(parquet.num_row_groups):
            if behind is not None and _is_passed(parquet.metadata.row_group(group), identity, behind):
                continue
            rows = parquet.read_row_group(group, columns=[name for name in schema.names if name in there])
            rows = _behind(_in_types(rows, schema), table, behind)
            if len(rows):
                return rows, group == parquet.num_row_groups - 1
        return schema.empty_table(), True


def _is_passed(group: pq.RowGroupMetaData, identity: Sequence[int], behind: Identity) -> bool:
    """Whether its statistics say that no row of it lies behind an identity, without reading it."""
    times, others = (group.column(column).statistics for column in identity)
    if times is None or times.max > behind[0]:
        return False
    # Of texts a maximum may be cut short; the sequence of the last row is nearly always the largest of its group.
    is_number = others is not None and isinstance(others.max, int)
    return bool(times.max < behind[0] or (is_number and others.max <= behind[1]))


def _in_types(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _behind(rows: pa.Table, table: Table, identity: Identity | None) -> pa.Table:
    if identity is None:
        return rows
    (time, other), (at, last) = table.identity, identity
    same = pc.and_(pc.equal(rows[time], pa.scalar(at, MICROSECONDS)), pc.greater(rows[other], last))
    return rows.filter(pc.or_(pc.greater(rows[time], pa.scalar(at, MICROSECONDS)), same))


def _identity(rows: pa.Table, table: Table, row: int) -> Identity:
    time, other = table.identity
    return rows[time][row].as_py(), rows[other][row].as_py()


class _FileDoFn(beam.DoFn):
    def __init__(self, source: LakeSource) -> None:
        self._source = source

    def _batches(self, file: TableFile) -> Iterator[pa.RecordBatch]:
        source = self._source
        table = catalog(current_descriptors())[source.table]
        for batch in batches(open_store(source.lake), file.key, table, source.columns, source.since):
            count("rows", len(batch))
            yield batch


class Batches(_FileDoFn):
    """TableFile -> its record batches with the columns asked for, each at the time of its oldest row."""

    def process(self, file: TableFile) -> Iterator[TimestampedValue]:
        """In order, of at most BATCH_ROWS rows."""
        for batch in self._batches(file):
            (oldest,) = _values(batch.column("timestamp").slice(0, 1))
            yield TimestampedValue(batch.select(list(self._source.columns)), oldest)


class Rows(_FileDoFn):
    """TableFile -> its rows, each at its own event's time; columns not asked for are None."""

    def process(self, file: TableFile) -> Iterator[TimestampedValue]:
        """In order."""
        make = ROW_TYPES[self._source.table]
        for batch in self._batches(file):
            for row in as_rows(batch, make, self._source.columns):
                yield TimestampedValue(row, row[0])  # `timestamp` is the first field of every table


def as_rows(
    batch: pa.RecordBatch, make: type[tuple[Any, ...]], columns: Sequence[str]
) -> Iterator[tuple[Any, ...]]:
    """The batch's rows as Beam has them: a time is its Timestamp. `timestamp` is there whether asked for or not."""
    names = make._fields  # type: ignore[attr-defined]  # a NamedTuple, which `type` cannot say
    wanted = {"timestamp", *columns}
    values = [
        _values(batch.column(name)) if name in wanted and name in batch.schema.names else [None] * len(batch)
        for name in names
    ]
    return (make(*row) for row in zip(*values, strict=True))


def _values(column: pa.Array) -> list[Any]:
    if column.type != MICROSECONDS:
        return list(column.to_pylist())
    micros = column.cast(pa.int64()).to_pylist()
    return [None if each is None else Timestamp(micros=each) for each in micros]


class BatchCoder(beam.coders.Coder):
    """A record batch as an Arrow IPC stream of one; its size is told without encoding it."""

    def encode(self, value: pa.RecordBatch) -> bytes:
        """Of any schema."""
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, value.schema) as stream:
            stream.write_batch(value)
        return bytes(sink.getvalue())

    def decode(self, encoded: bytes) -> pa.RecordBatch:
        """Reads what `encode` wrote."""
        with pa.ipc.open_stream(encoded) as stream:
            return stream.read_next_batch()

    def estimate_size(self, value: pa.RecordBatch) -> int:
        """In bytes."""
        return int(value.nbytes)

    def is_deterministic(self) -> bool:
        """No: equal batches may differ in what they leave unused."""
        return False


beam.coders.registry.register_coder(pa.RecordBatch, BatchCoder)
