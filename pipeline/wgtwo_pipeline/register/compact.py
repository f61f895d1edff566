"""Closed days in few files, for the catalog's readers only; the plain files stay as they are.

read a day's plain files ─► put a part, named by them ─► one transaction: the part in their place. A part's name and
rows are a function of the files, so this may be killed or doubled at any point: what is there is found and used.
A snapshot shows a day in either form, never in both and never by half; the one before stays for a day.
"""

import logging
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io.pyarrow import schema_to_pyarrow
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from wgtwo_pipeline.errors import AlreadyExistsError, LakeError
from wgtwo_pipeline.lake import iceberg, parquet
from wgtwo_pipeline.lake.compacted import Part, PartPath, parts
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.iceberg import location
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.register import log, tables
from wgtwo_pipeline.register.catalogs import Target
from wgtwo_pipeline.register.store_io import StoreIO

_LOG = logging.getLogger(__name__)

CLOSED_AFTER = timedelta(hours=6)
"""A day counts as closed so long after its end. What comes later still is shown by itself, until the next time."""
DAYS_PER_COMMIT = 31
ROW_GROUP_ROWS = 128 * 1024
ROW_GROUP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True)
class Day:
    """A closed day that is shown by more files than it needs: those, and what is to stand in their place."""

    day: date
    shown: tuple[DataFile, ...]
    parts: tuple[Part, ...]


def compact(store: Store, target: Target, past: History, name: str, now: datetime) -> int:
    """Compacts the closed days of one table; returns how many. Idempotent; others may register meanwhile."""
    done = 0
    for _ in range(tables.ATTEMPTS):
        table = target.load(name)
        made = list(_made(store, table, past, name, now)) if table else []
        if table is None or not made:
            return done
        try:
            _commit(table, made)
            done += len(made)
        except tables.OVERTAKEN as error:
            _LOG.info("%s: %s; reading it again", name, error)
    raise LakeError(f"table {name} is changed by others again and again: compact while fewer register")


def _commit(table: Table, made: list[tuple[Day, list[DataFile]]]) -> None:
    said = {"wgtwo.compacted": f"{made[0][0].day}..{made[-1][0].day}"}
    with (
        table.transaction() as transaction,
        transaction.update_snapshot(snapshot_properties=said).overwrite() as snapshot,
    ):
        for day, files in made:
            for file in day.shown:
                snapshot.delete_data_file(file)
            for file in files:
                snapshot.append_data_file(file)


def due(store: Store, table: Table, past: History, name: str, now: datetime) -> Iterator[Day]:
    """The days to compact, oldest first: closed, and shown by several files of which one at least is plain."""
    epoch, _ = iceberg.through(table.properties)
    locations, by_day = StoreIO(store), defaultdict[date, list[DataFile]](list)
    for file in tables.entries(table):
        by_day[log.day_of(locations.key(file.file_path))].append(file)
    for day, shown in sorted(by_day.items()):
        closed_at = datetime.combine(day, time(), UTC) + timedelta(days=1) + CLOSED_AFTER
        plain = [file for file in shown if PartPath.parse(locations.key(file.file_path)) is None]
        if closed_at <= now and plain and len(shown) > 1:
            divided = tuple(parts(log.day_files(store, past, name, day, epoch)))
            if len(divided) < len(shown):
                yield Day(day, tuple(shown), divided)


def _made(
    store: Store, table: Table, past: History, name: str, now: datetime
) -> Iterator[tuple[Day, list[DataFile]]]:
    """Days with their parts put and described; at most so many as one commit takes."""
    describer, schema = tables.Describer(table.metadata), _schema(table)
    erasure, number = iceberg.through(table.properties)[1], 0
    for day in due(store, table, past, name, now):
        files = []
        for part in day.parts:
            key = PartPath(name, day.day, erasure, part.digest).key
            size, footer = _put(store, key, part, schema)
            files.append(describer.describe(location(store, key), day.day, size, footer))
        if sum(file.record_count for file in files) != sum(file.record_count for file in day.shown):
            _LOG.info("%s %s is being erased from: it is compacted when that is finished", name, day.day)
            continue
        yield day, files
        number += 1
        if number == DAYS_PER_COMMIT:
            return


def _put(store: Store, key: str, part: Part, schema: pa.Schema) -> tuple[int, pq.FileMetaData]:
    """Creates a part, or finds the one that is there; returns its size in bytes and what it says of itself."""
    data: Any = _encode(store, part, schema)
    try:
        store.create(key, data)
    except AlreadyExistsError:
        # By another version of a library, or before a column came; the same files, which is what its name says.
        data = store.read(key)
    return memoryview(data).nbytes, pq.read_metadata(pa.BufferReader(data))


def _encode(store: Store, part: Part, schema: pa.Schema) -> pa.Buffer:
    """The rows of a part's files as one; in memory are the result and one row group."""
    sink = pa.BufferOutputStream()
    writer = None
    for rows in _row_groups(store, part, schema):
        writer = writer or pq.ParquetWriter(sink, schema, **parquet.options(rows))
        writer.write_table(rows, row_group_size=max(1, len(rows)))
    assert writer is not None, "a part has files"
    writer.close()
    return sink.getvalue()


def _row_groups(store: Store, part: Part, schema: pa.Schema) -> Iterator[pa.Table]:
    """Rows in the order of the log, each group sorted by time."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for data in store.read_many(part.keys):
        waiting.append(_conformed(pq.read_table(pa.BufferReader(data), partitioning=None), schema))
        rows, size = rows + len(waiting[-1]), size + waiting[-1].nbytes
        if rows >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
            yield _group(waiting)
            waiting, rows, size = [], 0, 0
    if waiting:
        yield _group(waiting)


def _group(waiting: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(waiting).combine_chunks().sort_by("timestamp")


def _conformed(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """With all columns of the table, also those that came after the file."""
    columns = [
        rows[field.name].cast(field.type)
        if field.name in rows.column_names
        else pa.nulls(len(rows), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def _schema(table: Table) -> pa.Schema:
    """The table's columns as the plain files have them."""
    found = schema_to_pyarrow(table.schema(), include_field_ids=False)
    return pa.schema([pa.field(field.name, _small(field.type)) for field in found])


def _small(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_large_string(kind):
        return pa.string()
    if pa.types.is_large_binary(kind):
        return pa.binary()
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return pa.list_(pa.field("element", _small(kind.value_type)))
    return kind
