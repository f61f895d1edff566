"""Rows become the Parquet objects of one epoch: named by it, created once, the same whenever it is redone."""

import hashlib
from collections.abc import Iterator
from datetime import UTC
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wgtwo_pipeline.errors import AlreadyExistsError, CorruptError
from wgtwo_pipeline.lake import history
from wgtwo_pipeline.lake.layout import QUARANTINE, FilePath
from wgtwo_pipeline.lake.manifest import Parameters, TableFile
from wgtwo_pipeline.lake.parquet import encode, is_text
from wgtwo_pipeline.lake.store import Store

# Where a file is cut, besides at `rows_per_file`: bounds memory with events of megabytes, far below the 2 GiB that
# an Arrow array of strings can hold. Part of the lake's format: with another value a redo would cut elsewhere.
BYTES_PER_FILE = 256 * 1024 * 1024


def write(store: Store, rows: pa.Table, table: str, epoch: int, parameters: Parameters) -> list[TableFile]:
    """Write the sorted rows of one partition of a table, or of `quarantine`; return what was written.

    One object, or several where rows or bytes are many, each encoded in memory after the one before is durable.
    Idempotent: an object that is there with the same rows, whatever its bytes, is described as it is. Raises
    CorruptError if it has others, and what `store.create` raises.
    """
    files = []
    for number, part in enumerate(_parts(rows, parameters.rows_per_file)):
        key = _key(part, table, epoch, number, parameters)
        data: Any = encode(part, parameters.row_group_rows)
        try:
            store.create(key, data)
        except AlreadyExistsError:
            data = _existing(store, key, part, epoch)
        times = pc.min_max(part[_time_column(table)])
        files.append(
            TableFile(
                key=key,
                table=table,
                date=part["date"][0].as_py(),
                rows=len(part),
                bytes=memoryview(data).nbytes,
                sha256=hashlib.sha256(data).hexdigest(),
                min_timestamp=times["min"].as_py().astimezone(UTC),
                max_timestamp=times["max"].as_py().astimezone(UTC),
            )
        )
    return files


def reasons(quarantine: pa.Table) -> dict[str, int]:
    """How many rows of the quarantine have each reason."""
    counts = pc.value_counts(quarantine["reason"])
    return {count["values"]: count["counts"] for count in counts.to_pylist()}


def _key(rows: pa.Table, table: str, epoch: int, number: int, parameters: Parameters) -> str:
    hourly = parameters.partition_by == "hour" and table != QUARANTINE
    hour = rows["timestamp"][0].as_py().astimezone(UTC).hour if hourly else None
    return FilePath(table, rows["date"][0].as_py(), hour, epoch, number).key


def _time_column(table: str) -> str:
    return "received_at" if table == QUARANTINE else "timestamp"


def _parts(rows: pa.Table, rows_per_file: int) -> Iterator[pa.Table]:
    """Slices of at most so many rows, and about so many bytes (one row may have more)."""
    ends = np.cumsum(_row_bytes(rows))
    start = 0
    while start < len(rows):
        base = ends[start - 1] if start else 0
        end = int(np.searchsorted(ends, base + BYTES_PER_FILE, side="right"))
        end = max(start + 1, min(end, start + rows_per_file))
        yield rows.slice(start, end - start)
        start = end


def _row_bytes(rows: pa.Table) -> Any:
    """How large each row is, counted from its values alone (lists not counted)."""
    sizes = np.full(len(rows), 8 * rows.num_columns, np.int64)
    for column in rows.columns:
        if is_text(column.type):
            sizes += np.asarray(pc.fill_null(pc.binary_length(column), 0))
    return sizes


def _existing(store: Store, key: str, rows: pa.Table, epoch: int) -> memoryview:
    """The bytes of an object that holds the same rows, written by another version of a library.

    Or fewer, where the epoch is committed: an erasure may have taken some since, and nobody asks for this outcome.
    """
    data = store.read(key)
    try:
        same = pq.read_table(pa.BufferReader(data), partitioning=None).equals(rows)
    except pa.ArrowInvalid:
        same = False
    if not same and not history.is_committed(store, epoch):
        raise CorruptError(
            f"{key} exists with other rows than its epoch has: something else wrote or changed it; "
            "move it out of the lake and publish again"
        )
    return data
