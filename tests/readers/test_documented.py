"""Every line by which docs/lake.md says a table is read, run as it stands: the same rows and columns, whoever reads.

The document's tables are taken apart, so a line that is changed, or a reader that is added, is tested as well.
"""

import os
import re
import shutil
from datetime import UTC, date, datetime, timedelta
from functools import reduce
from pathlib import Path

import dask.dataframe
import duckdb
import lakes
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.events.tables import catalog, current_descriptors
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

pytestmark = pytest.mark.filterwarnings("ignore")  # what readers deprecate of each other is not ours

DOCUMENT = Path(__file__).parents[2] / "docs" / "lake.md"
HEAVY = ("ClickHouse", "daft", "datafusion", "delta-rs", "pyiceberg", "Spark")
"""Readers of which each is a hundred megabytes and more, or a minute."""
TABLES = ("sms", "token_audit", "handset_change_v1")
NAMES = {
    "date": date,
    "dd": dask.dataframe,
    "ds": pyarrow.dataset,
    "pa": pa,
    "pd": pandas,
    "pl": polars,
    "pq": pq,
    "reduce": reduce,
}


def lines(heading):
    """The readers and their lines in the table below a heading of the document."""
    text = (
        DOCUMENT.read_text(encoding="utf-8")
        .split(f"\n### {heading}\n")[1]
        .split("\n### ")[0]
        .split("\n## ")[0]
    )
    found = re.findall(r"^\| ([\w -]+) \| `([^`]+)` \|$", text, re.MULTILINE)
    assert len(found) >= 9, found
    return [
        pytest.param(reader, code, marks=[pytest.mark.heavy] if reader in HEAVY else [], id=reader)
        for reader, code in found
    ]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A folder with a lake in it: text in several scripts, bytes, lists, nulls, both ends of a day; both APIs."""
    folder = tmp_path_factory.mktemp("whole")
    store = open_store(LakeLocation(str(folder / "lake")))
    store.check()
    first, last = datetime(2026, 11, 23, tzinfo=UTC), datetime(2026, 11, 24, 23, 59, 59, 999_999, UTC)
    moments = [first, first + timedelta(microseconds=1), lakes.NOON, lakes.at(day=1), last]
    for at, moment in enumerate(moments):
        contents = ({"text": "Ærlig? 😀 שלום\n\x00"}, {"bytes": bytes(range(256))}, {"text": ""})
        events = [v0.Event(sms_event={"id": f"sms-{at}", **content}) for content in contents]
        for rights in ([], ["a"], ["b", "ö"]):
            token = {"client_id": "c", "rights": rights}
            events.append(v0.Event(token_audit_event={"operation": 1, "operator_token": {"new": token}}))
        for number, event in enumerate(events):
            event.metadata.sequence = 2**63 - 1 if (at, number) == (4, 0) else at * 10 + number
            event.timestamp.CopyFrom(_timestamp(moment))
        payloads = [v0.SubscribeEventsResponse(event=event).SerializeToString() for event in events]
        lakes.journal(store, *payloads)
        lakes.journal(store, lakes.handset_change(at, moment), source=lakes.HANDSETS)
        if at in (2, 4):
            lakes.publish(store)
    return folder


@pytest.fixture(scope="module", params=["first", "last"])
def grown(request, whole, tmp_path_factory):
    """The same, where the first or the last file of each table was written before two of its columns existed."""
    folder = tmp_path_factory.mktemp(f"grown-{request.param}") / "here"
    shutil.copytree(whole, folder)
    for table in TABLES:
        files = sorted((folder / "lake/tables" / table).glob("day=*/*.parquet"))
        older = files[0 if request.param == "first" else -1]
        rows = pq.read_table(older, partitioning=None)
        pq.write_table(rows.drop_columns(rows.schema.names[-3:-1]), older)
    return folder


def _timestamp(moment):
    timestamp = Timestamp()
    timestamp.FromDatetime(moment)
    return timestamp


def expected(folder, table, day=None):
    """What the files hold, each read by itself; what a file does not have is null."""
    schema = catalog(current_descriptors())[table].schema
    files = sorted((folder / "lake/tables" / table).glob("day=*/*.parquet"))
    parts = [pq.read_table(file, partitioning=None) for file in files if day is None or day in str(file)]
    return pa.concat_tables([schema.empty_table(), *parts], promote_options="default")


def read(reader, code, table, request):
    """Runs a line of the document, in the folder where the lake is, with another table's name in it."""
    code = code.replace("tables/sms", f"tables/{table}")
    if reader == "DuckDB":
        return duckdb.sql(code).to_arrow_table()
    if reader == "ClickHouse":
        import chdb

        return chdb.query(code, "ArrowTable")
    files = sorted(map(str, Path(f"lake/tables/{table}").glob("day=*/*.parquet")))
    schema = pa.unify_schemas([pq.read_schema(file) for file in files])
    names = {**NAMES, "files": files, "schema": schema}
    if reader == "daft":
        import daft

        names["daft"] = daft
    elif reader == "datafusion":
        from datafusion import SessionContext

        names["SessionContext"] = SessionContext
    elif reader == "Spark":
        names["spark"] = request.getfixturevalue("spark")
        code = code.replace('"lake/', f'"{Path.cwd()}/lake/')  # its folder is where it was started
    found = eval(code, names)  # the document is ours
    for way in ("to_arrow_table", "toArrow", "compute", "collect", "to_arrow"):
        if not isinstance(found, pa.Table) and hasattr(found, way):
            found = getattr(found, way)()
    return found if isinstance(found, pa.Table) else pa.Table.from_pandas(found, preserve_index=False)


def rows(table, schema, *, empty_lists=False):
    """The rows under a schema, in the order of identity."""
    names = [(schema.names[0], "ascending"), (schema.names[1], "ascending")]
    found = table.select(schema.names).cast(schema).sort_by(names).to_pylist()
    return [{name: value or None for name, value in row.items()} if empty_lists else row for row in found]


def compare(found, wanted, reader):
    """Every row and column. ClickHouse has no null list, it reads one as an empty one."""
    assert set(found.column_names) - set(wanted.column_names) <= {"day"}
    lenient = {"empty_lists": reader == "ClickHouse"}
    assert rows(found, wanted.schema, **lenient) == rows(wanted, wanted.schema, **lenient)


@pytest.mark.parametrize(("reader", "code"), lines("A whole table"))
def test_a_whole_table(whole, reader, code, monkeypatch, request):
    """All rows, all columns, all values, and nothing but the folder's key besides."""
    monkeypatch.chdir(whole)
    for table in TABLES:
        compare(read(reader, code, table, request), expected(whole, table), reader)


@pytest.mark.parametrize(("reader", "code"), lines("One day"))
def test_one_day(whole, reader, code, monkeypatch, request):
    """The rows of a day, no other and all of them: both ends of the day included."""
    monkeypatch.chdir(whole)
    for table in TABLES:
        wanted = expected(whole, table, "2026-11-24")
        assert len(wanted) == sum(
            day == date(2026, 11, 24) for day in expected(whole, table)["date"].to_pylist()
        )
        compare(read(reader, code, table, request), wanted, reader)


@pytest.mark.parametrize(("reader", "code"), lines("A column that came later"))
def test_a_column_that_came_later(grown, reader, code, monkeypatch, request):
    """It is there, with its values, and null where it was not yet; whichever file a reader meets first."""
    monkeypatch.chdir(grown)
    for table in TABLES:
        compare(read(reader, code, table, request), expected(grown, table), reader)


@pytest.mark.heavy
@pytest.mark.parametrize("reader", ["delta-rs", "pyiceberg"])
def test_other_tables_formats(whole, reader, monkeypatch, tmp_path):
    """What delta-rs makes of a copy, and pyiceberg of the files where they lie, is the same rows and columns."""
    text = DOCUMENT.read_text(encoding="utf-8")
    (code,) = re.findall(rf"```python\n(# {reader}.*?)```", text, re.DOTALL)
    shutil.copytree(whole / "lake", tmp_path / "lake")
    monkeypatch.chdir(tmp_path)
    for table in TABLES:
        names: dict = {}
        exec(code.replace("sms", table), names)  # the document is ours
        compare(names["rows"], expected(whole, table), reader)


def test_foreign_files_are_nobodys_rows(whole, monkeypatch, tmp_path, request):
    """The glob day=*/*.parquet passes over what systems and engines leave beside the files and above them."""
    shutil.copytree(whole / "lake", tmp_path / "lake")
    monkeypatch.chdir(tmp_path)
    table = Path("lake/tables/sms")
    for name in ("_SUCCESS", "_metadata", "._SUCCESS", ".DS_Store", "_delta_log/0.checkpoint.parquet"):
        (table / name).parent.mkdir(exist_ok=True)
        (table / name).write_bytes(b"no Parquet")
    os.utime(table)
    for reader, code in (each.values for each in lines("A whole table")):
        if "day=*" in code and reader not in HEAVY:
            compare(read(reader, code, "sms", request), expected(tmp_path, "sms"), reader)
