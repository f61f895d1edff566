"""DuckDB over the files of a lake: in memory, within bounds, without the network."""

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import duckdb

from wgtwo_pipeline import machine
from wgtwo_pipeline.lake.reading import while_unchanged
from wgtwo_pipeline.lake.store import Store

MEMORY_BYTES = 2 << 30

T = TypeVar("T")


class Database:
    """A connection, and what it takes to ask it of files that an erasure may replace at any moment.

    DuckDB opens a file several times in a query, and so may meet two generations of it. In S3 the file system
    refuses the second one; in a local folder the files are made so that what is read of both is no Parquet.
    """

    def __init__(self, store: Store, connection: duckdb.DuckDBPyConnection) -> None:
        self.connection = connection
        self._files: dict[str, tuple[int, int, int] | None] = {}
        self._changes = 0
        self._filesystem = store.filesystem() if "://" in store.uri("") else None
        if self._filesystem is not None:
            connection.register_filesystem(self._filesystem)

    def watch(self, uris: Iterable[str]) -> None:
        """Note what these files are now, before they are read."""
        if self._filesystem is None:
            self._files |= {uri: _identity(uri) for uri in uris if uri not in self._files}

    def ask(self, question: Callable[[duckdb.DuckDBPyConnection], T]) -> T:
        """The answer; asked again, a few times, when a file was replaced meanwhile: it must be repeatable."""
        return while_unchanged(lambda: question(self.connection), self.changed)

    def changed(self, _: Exception | None = None) -> bool:
        """Whether a file was replaced since it was first read, or since this was asked last."""
        if self._filesystem is not None:
            before, self._changes = self._changes, self._filesystem.changes
            return self._changes != before
        now = {uri: _identity(uri) for uri in self._files}
        before_that, self._files = self._files, now
        return now != before_that


@contextlib.contextmanager
def database(store: Store, memory_bytes: int = MEMORY_BYTES) -> Iterator[Database]:
    """A database that reads what `store.uri` names; what does not fit into its memory goes to a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="wgtwo-") as spill:
        connection = duckdb.connect(
            config={
                "autoinstall_known_extensions": False,
                "autoload_known_extensions": False,
                "python_enable_replacements": False,
                "memory_limit": f"{min(memory_bytes, machine.memory_bytes() // 3) >> 20}MiB",
                "temp_directory": spill,
            }
        )
        with connection:
            connection.execute("SET TimeZone = 'UTC'")
            yield Database(store, connection)


def read_parquet(uris: Sequence[str], *, by_name: bool = False) -> str:
    """The rows of files that are all partitioned alike; `by_name` where their columns may differ.

    `date` is the folder's day, which is the same: so a condition on it leaves other days' files unopened.
    """
    types = "{'day': 'DATE', 'hour': 'INTEGER'}" if "/hour=" in uris[0] else "{'day': 'DATE'}"
    files = ", ".join(map(literal, uris))
    return (
        f"SELECT * EXCLUDE (day) REPLACE (day AS date) FROM read_parquet([{files}], "  # noqa: S608  # quoted
        f"hive_partitioning = true, hive_types = {types}, union_by_name = {by_name})"
    )


def literal(text: str) -> str:
    """A text in SQL."""
    return "'" + text.replace("'", "''") + "'"


def _identity(path: str) -> tuple[int, int, int] | None:
    try:
        status = os.stat(path)  # noqa: PTH116  # a uri is a plain path here
    except FileNotFoundError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
