"""Answers SQL over the lake: `views` defines what can be asked, this runs it and writes the answer."""

import contextlib
import logging
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import chain
from pathlib import Path
from typing import IO, Any, TypeVar

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from wgtwo_pipeline.ask.render import write_csv, write_json, write_table
from wgtwo_pipeline.ask.settings import Reading
from wgtwo_pipeline.ask.views import Views
from wgtwo_pipeline.errors import ConfigurationError, PipelineError
from wgtwo_pipeline.lake.open import open_to_read
from wgtwo_pipeline.lake.reading import while_unchanged
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.machine import whole_file

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

MOST_ROWS = 100
BATCH_ROWS = 10_000
FORMATS = ("csv", "json", "parquet")

OVERVIEW = """\
SELECT type, date, count(*) AS events, min(timestamp) AS first, max(timestamp) AS last
FROM events GROUP BY type, date ORDER BY date DESC, events DESC"""

_READS = {duckdb.StatementType.SELECT, duckdb.StatementType.MULTI}  # MULTI is what PIVOT is
_EXPLAIN = re.compile(r"\s*EXPLAIN\b(\s+ANALYZE\b)?(\s*\([^)]*\))?", re.IGNORECASE)


def query(reading: Reading) -> int:
    """Answers one statement that reads, or gives an overview. Blocks. Raises PipelineError."""
    store = open_to_read(reading.lake)
    kind = _format(reading.format, reading.output)
    with Views(store) as views:
        _interruptibly(views.connection, lambda: _ask(views, reading, kind))
    empty = _emptiness(store, fresh=reading.fresh)
    if reading.sql is None and kind == "table":
        sys.stdout.write(f"\n{empty or _explanation(views, store)}\n")
    elif empty:
        _LOG.warning("%s", empty)
    return 0


def whole_answer(store: Store, sql: str, *, fresh: bool = False) -> pa.Table:
    """All rows of the answer to one statement that reads, in memory. Blocks. Raises PipelineError."""

    def ask() -> pa.Table:
        with _errors(views):
            one = _defined(views, sql, fresh=fresh)
            return while_unchanged(lambda: answer(views, one).read_all(), views.files.changed)

    with Views(store) as views:
        return _interruptibly(views.connection, ask)


def _interruptibly(connection: duckdb.DuckDBPyConnection, work: Callable[[], T]) -> T:
    """Does it in a thread of its own: DuckDB would hold up this one, where signals are handled, while it computes."""
    with ThreadPoolExecutor(1, "query") as pool:
        done = pool.submit(work)
        try:
            return done.result()
        except KeyboardInterrupt:
            while not done.done():
                connection.interrupt()  # only what runs at this moment: more statements may follow
                wait([done], 0.1)
            raise


def _ask(views: Views, reading: Reading, kind: str) -> None:
    with _errors(views):
        sql = _defined(views, OVERVIEW if reading.sql is None else reading.sql, fresh=reading.fresh)
        if reading.output is None:
            _answer(views, sql, reading.output, kind)
        else:  # nobody sees a file before it is whole
            while_unchanged(lambda: _answer(views, sql, reading.output, kind), views.files.changed)


def _defined(views: Views, sql: str, *, fresh: bool) -> str:
    """The statement, once it is known to be one that reads and the views that it names are there."""
    one = _one_that_reads(views.connection, sql)
    views.define(views.named_in(one), fresh=fresh)
    return one


def _answer(views: Views, sql: str, path: str | None, kind: str) -> None:
    with _output(path, kind) as out:
        _write(answer(views, sql), kind, out)


def answer(views: Views, sql: str) -> pa.RecordBatchReader:
    """The rows, as they are computed.

    Up to the first of them it is computed anew if an erasure replaces a file meanwhile; after that, the reader
    raises, as what it has given cannot be taken back.
    """

    def begin(connection: duckdb.DuckDBPyConnection) -> pa.RecordBatchReader:
        reader = connection.sql(sql).to_arrow_reader(BATCH_ROWS)
        first = next(iter(reader), None)
        batches = chain([first], reader) if first is not None else ()
        return pa.RecordBatchReader.from_batches(reader.schema, batches)

    return views.files.ask(begin)


def show(reader: pa.RecordBatchReader, out: Any) -> None:
    """Writes a text table that fits the terminal, or a plan as it is drawn."""
    if reader.schema.names == ["explain_key", "explain_value"]:
        out.writelines(plan for _, plan in _rows(reader))
        return
    write_table(reader.schema.names, _rows(reader), out, _columns(), MOST_ROWS)


def _write(reader: pa.RecordBatchReader, kind: str, out: Any) -> None:
    if kind == "parquet":
        with pq.ParquetWriter(out, reader.schema, compression="zstd") as writer:
            for batch in reader:
                writer.write_batch(batch)
    elif kind == "table":
        show(reader, out)
    else:
        write = write_csv if kind == "csv" else write_json
        write(reader.schema.names, _rows(reader), out)


def _rows(reader: pa.RecordBatchReader) -> Iterator[tuple[Any, ...]]:
    # By column and not to_pylist(): two columns may have one name.
    for batch in reader:
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _one_that_reads(connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    statements = connection.extract_statements(sql)
    if not statements:
        raise PipelineError("the SQL is empty: leave it out for an overview")
    if len(statements) > 1:
        raise PipelineError(f"query takes one statement, this is {len(statements)}: ask one after the other")
    text = statements[0].query.strip().rstrip(";")
    kind = statements[0].type
    explained = _EXPLAIN.match(text) if kind == duckdb.StatementType.EXPLAIN else None
    if explained:
        _one_that_reads(connection, text[explained.end() :])
    elif kind not in _READS:
        raise PipelineError(
            f"{kind.name} is not for query: it only reads (SELECT, FROM, DESCRIBE, SUMMARIZE, PIVOT, EXPLAIN …); "
            "--output FILE stores an answer"
        )
    return text


def _format(wanted: str, output: str | None) -> str:
    suffix = Path(output).suffix.removeprefix(".") if output else ""
    kind = suffix if wanted == "table" and suffix in FORMATS else wanted
    if kind == "parquet" and output is None and sys.stdout.isatty():
        raise ConfigurationError("--format parquet is not for a terminal: add --output FILE, or pipe it on")
    return kind


@contextlib.contextmanager
def _output(path: str | None, kind: str) -> Iterator[IO[Any]]:
    """Standard output, or a file that is there only once it is whole."""
    if path is None:
        yield sys.stdout.buffer if kind == "parquet" else sys.stdout
        return
    try:
        with whole_file(path, binary=kind == "parquet") as file:
            yield file
    except OSError as error:
        raise PipelineError(f"--output {path}: {error.strerror or error}") from error


@contextlib.contextmanager
def _errors(views: Views) -> Iterator[None]:
    """Turns what DuckDB says into one line that helps."""
    try:
        yield
    except duckdb.CatalogException as error:
        message = _first_part(error)
        if "Table with name" in message:
            message = f"{message.split('Did you mean')[0].strip()} The lake has {', '.join(views.names)}"
        raise PipelineError(message) from error
    except (duckdb.Error, OSError, pa.ArrowException) as error:
        if views.files.changed():
            raise PipelineError(
                "an erasure replaced files while they were read: ask again; of what is printed above, believe nothing"
            ) from error
        if not isinstance(error, duckdb.Error):
            raise
        raise PipelineError(_first_part(error)) from error


def _first_part(error: duckdb.Error) -> str:
    return str(error).partition("\n\nLINE ")[0]


def _explanation(views: Views, store: Store) -> str:
    """What follows an overview: its SQL, and what else can be asked."""
    lines = [
        *("This is the answer to", "", textwrap.indent(OVERVIEW, "  "), ""),
        *textwrap.wrap(f"There are views {', '.join(views.names)}.", _columns()),
        "DESCRIBE sms shows the columns of one. The files can be read without this program:",
        f"  {store.uri('tables/sms/**/*.parquet')}",
    ]
    return "\n".join(lines)


def _emptiness(store: Store, *, fresh: bool) -> str | None:
    """Why no query finds an event, and what to do; None where there are some."""
    lake = store.uri("").rstrip("/")
    if any(True for _ in store.list("tables/")):
        return None
    if not any(True for _ in store.list("journal/")):
        return f"The lake {lake} is empty: nothing has been journaled yet. `wgtwo-pipeline run` fills it."
    if fresh:
        return None
    return (
        f"The lake {lake} holds no published events yet; --fresh shows what is journaled, "
        "`wgtwo-pipeline publish` publishes it."
    )


def _columns() -> int:
    return shutil.get_terminal_size((100, 24)).columns
