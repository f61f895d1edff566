"""Proves a file by itself: its bytes, and that each of its rows is where it should be."""

import hashlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from wgtwo_pipeline.lake import erasures
from wgtwo_pipeline.lake.layout import QUARANTINE, FilePath
from wgtwo_pipeline.lake.manifest import TableFile


def differences(file: TableFile, data: memoryview, taken: Mapping[int, int]) -> Iterator[str]:
    """How a file's bytes and rows contradict its manifest, its folder or the order of rows.

    `taken`: what receipts say that erasures took from it; `file` says what it is since then.
    """
    digest = hashlib.sha256(data).hexdigest()
    if digest != file.sha256:
        yield f"its SHA-256 is {digest}, its manifest says {file.sha256}"
    time = "received_at" if file.table == QUARANTINE else "timestamp"
    columns = [time, "date"]
    try:
        parquet = pq.ParquetFile(pa.BufferReader(data))
        said = erasures.account(parquet.metadata.metadata)
        rows = parquet.read(columns=columns)
        rows.validate(full=True)
        times = np.asarray(rows[time].cast(pa.int64()))
        days, hours = times // 86_400_000_000, times // 3_600_000_000 % 24
        dates = np.asarray(rows["date"].cast(pa.int32()))
    except (pa.ArrowInvalid, KeyError, OSError, ValueError) as error:
        yield f"is not readable as Parquet with {', '.join(columns)} ({error})"
        return
    if len(rows) != file.rows:
        yield f"has {len(rows):,} rows, its manifest says {file.rows:,}"
        return
    if said != taken:
        yield f"it says that erasures took {said or 'nothing'} from it, their receipts say {taken or 'nothing'}"
    if not len(rows):
        return  # all were erased
    if (times[1:] < times[:-1]).any():
        yield f"its rows are not sorted by {time}"
    low, high = _microseconds(file.min_timestamp, file.max_timestamp)
    if (low, high) != (times[0], times[-1]) and not (taken and low <= times[0] and times[-1] <= high):
        yield f"its times are not from {file.min_timestamp} to {file.max_timestamp}, as its manifest says"
    if (dates != days).any() or (days != (file.date - date(1970, 1, 1)).days).any():
        yield "has rows of another date than its folder's"
    path = FilePath.parse(file.key)
    if path and path.hour is not None and (hours != path.hour).any():
        yield "has rows of another hour than its folder's"


def _microseconds(*times: datetime) -> tuple[int, ...]:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return tuple((time - epoch) // timedelta(microseconds=1) for time in times)
