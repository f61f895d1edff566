"""Reads that take several steps begin again when what they read was replaced meanwhile, as an erasure does."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pyarrow as pa
import pyarrow.parquet as pq

from wgtwo_pipeline.errors import ChangedError, CorruptError
from wgtwo_pipeline.lake.store import Store

T = TypeVar("T")

ATTEMPTS = 8
FIRST_PAUSE_SECONDS = 0.05
"""Doubled each time: seven pauses are at most 6.4 seconds. An erasure takes milliseconds a file."""


def _is_change(error: Exception) -> bool:
    return isinstance(error, ChangedError)


def while_unchanged(read: Callable[[], T], changed: Callable[[Exception], bool] = _is_change) -> T:
    """What `read` returns; called again, at most seven times, when it raises because of a replacement.

    `changed` says of an exception whether that was the cause. What the last attempt raises is raised.
    """
    for attempt in range(ATTEMPTS - 1):
        try:
            return read()
        except Exception as error:
            if not changed(error):
                raise
        time.sleep(FIRST_PAUSE_SECONDS * 2**attempt * random.uniform(0.5, 1))
    return read()


@contextmanager
def open_parquet(store: Store, key: str) -> Iterator[pq.ParquetFile]:
    """A table's file for reading; what is read within is of one object, or raises ChangedError.

    Raises NotFoundError, and CorruptError naming what is not readable Parquet.
    """
    with store.open(key) as source:
        try:
            yield pq.ParquetFile(source)
        except (pa.ArrowInvalid, KeyError, ValueError) as error:
            raise CorruptError(
                f"{key} is not the Parquet file that its manifest describes ({error}); "
                "restore it from a copy or version of the bucket"
            ) from None
