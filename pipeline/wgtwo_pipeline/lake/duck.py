"""DuckDB over the files of a lake: in memory, within bounds, without the network."""

import contextlib
import tempfile
from collections.abc import Iterator, Sequence

import duckdb

from wgtwo_pipeline import machine
from wgtwo_pipeline.lake.store import Store

MEMORY_BYTES = 2 << 30


@contextlib.contextmanager
def database(store: Store, memory_bytes: int = MEMORY_BYTES) -> Iterator[duckdb.DuckDBPyConnection]:
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
            if "://" in store.uri(""):
                connection.register_filesystem(store.filesystem())
            yield connection


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
