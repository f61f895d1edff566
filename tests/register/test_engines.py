"""The tables as analysts open them, by the lines of docs/iceberg.md: every row and column as in the plain files.

Before and after compaction, with a column that came later; on a local disk, on moto, and on a real S3 server.
"""

import json
import os
from datetime import date

import engines
import lakes
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalog_steps import in_order
from lakes_on_s3 import CREDENTIALS, s3_lake
from moto.server import ThreadedMotoServer
from pyiceberg.table import StaticTable
from servers import versitygw
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.lake.open import open_store, open_to_write
from wgtwo_pipeline.lake.store import LakeLocation

TABLES = ("handset_change_v1", "sms", "voice")


@pytest.fixture
def folder(tmp_path):
    location = LakeLocation(str(tmp_path / "lake"))
    open_to_write(location)
    return location


@pytest.fixture(params=["folder", "moto", pytest.param("versitygw", marks=pytest.mark.heavy)])
def location(request, tmp_path, monkeypatch):
    """A lake of each kind, empty."""
    if request.param == "folder":
        yield request.getfixturevalue("folder")
        return
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.environment().items():
        monkeypatch.setenv(name, value)
    if request.param == "moto":
        server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
        server.start()
        host, port = server.get_host_and_port()
        yield s3_lake(f"http://{host}:{port}")
        server.stop()
    else:
        with versitygw(tmp_path / "versitygw") as server:
            yield s3_lake(server.endpoint)


def options(location):
    endpoint = ["--s3-endpoint", location.s3_endpoint] if location.s3_endpoint else []
    return ["--lake", location.url, *endpoint]


def fill(location, *compact):
    """Two days, and a column that came later; registered, and compacted if asked to."""
    store = open_store(location)
    lakes.lake_of_two_days(store)
    (old,) = [info.key for info in store.list("tables/voice/")]
    rows = pq.read_table(store.open(old), partitioning=None).drop_columns(["service_id"])
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    store.delete([old])
    store.create(old, sink.getvalue())
    lakes.journal(store, *(lakes.voice(n, lakes.at(n)) for n in range(50, 54)))
    lakes.publish(store)
    assert main(["register", *options(location), *compact]) == 0
    if compact:
        assert [info.key for info in store.list("iceberg/voice/data/")]
    return store


def plain(store, name):
    """The rows of the plain files, as Python values."""
    files = [pq.read_table(store.open(info.key), partitioning=None) for info in store.list(f"tables/{name}/")]
    return in_order(pa.concat_tables(files, promote_options="default"))


def static(location, store, name):
    """As docs/iceberg.md says."""
    url = store.uri(f"iceberg/{name}")
    properties = {
        "s3.endpoint": location.s3_endpoint,
        "s3.access-key-id": CREDENTIALS.access_key,
        "s3.secret-access-key": CREDENTIALS.secret_key,
        "s3.region": "us-east-1",
    }
    return StaticTable.from_metadata(url, properties if location.s3_endpoint else {})


@pytest.mark.parametrize("compact", [(), ("--compact",)], ids=["as published", "compacted"])
def test_pyiceberg_and_polars(location, compact, monkeypatch):
    """All rows and columns; a day's filter opens that day."""
    monkeypatch.setenv(
        "POLARS_ICEBERG_PLANNER", "pyiceberg"
    )  # polars has a package of its own for it, which is faster
    store = fill(location, *compact)
    for name in TABLES:
        table = static(location, store, name)
        expected = plain(store, name)
        assert in_order(table.scan().to_arrow()) == expected
        found = polars.scan_iceberg(
            table, reader_override="pyiceberg" if location.s3_endpoint else None
        ).collect()
        assert in_order(found.to_arrow()) == expected
    table = static(location, store, "sms")
    assert table.scan(row_filter="date = '2026-11-24'").to_arrow().num_rows == 20
    assert len(list(table.scan(row_filter="date = '2026-11-24'").plan_files())) == 1


def test_the_commands(location, capsys):
    """`register`, `status` and `audit` need nothing but the lake's address, wherever it is."""
    lakes.lake_of_two_days(open_store(location))
    for compact in ([], ["--compact"]):
        assert main(["register", *options(location), *compact]) == 0
        assert main(["audit", *options(location)]) == 0
        assert "4 registered files" in capsys.readouterr().out or compact
    assert main(["status", "--json", *options(location)]) == 0
    assert json.loads(capsys.readouterr().out)["registered"]["behind"] == 0


DUCKDB = """
import json, pathlib, sys
import duckdb, duckdb_extension_avro, duckdb_extension_iceberg
connection = duckdb.connect()
for package in (duckdb_extension_avro, duckdb_extension_iceberg):
    (extension,) = pathlib.Path(package.__file__).parent.rglob("*.duckdb_extension")
    connection.execute(f"LOAD '{extension}'")
connection.execute("SET TimeZone = 'UTC'")
connection.execute(f"CREATE VIEW found AS FROM iceberg_scan('{sys.argv[1]}')")
columns = [row[0] for row in connection.execute("DESCRIBE found").fetchall()]
rows = connection.execute(f"SELECT columns(*)::VARCHAR FROM found").fetchall()
pruned = connection.execute("SELECT count(*) FROM found WHERE date = DATE '2026-11-24'").fetchone()[0]
print(json.dumps({"columns": columns, "rows": rows, "pruned": pruned}))
"""


@pytest.mark.heavy
@pytest.mark.timeout(600)
@pytest.mark.parametrize("compact", [(), ("--compact",)], ids=["as published", "compacted"])
def test_duckdb(folder, compact):
    """DuckDB 1.5's extension: values compared as DuckDB writes them, plain files and table alike."""
    import duckdb

    store = fill(folder, *compact)
    for name in TABLES:
        found = engines.ask(engines.duckdb(), DUCKDB, store.uri(f"iceberg/{name}"))
        connection = duckdb.connect()
        connection.execute("SET TimeZone = 'UTC'")
        columns = ", ".join(f'"{column}"::VARCHAR' for column in found["columns"])
        files = store.uri(f"tables/{name}/*/*.parquet")
        expected = connection.execute(
            f"SELECT {columns} FROM read_parquet('{files}', union_by_name = true, hive_partitioning = false)"
        ).fetchall()
        assert sorted(map(repr, map(tuple, found["rows"]))) == sorted(map(repr, expected))
        assert found["pruned"] == sum("2026-11-24" in row for row in found["rows"]) or name != "sms"


SPARK = """
import json, sys
from pyspark.sql import SparkSession
jar, warehouse = sys.argv[1:3]
settings = {
    "spark.jars": jar, "spark.driver.bindAddress": "127.0.0.1", "spark.driver.host": "127.0.0.1",
    "spark.driver.memory": "512m", "spark.ui.enabled": "false", "spark.sql.session.timeZone": "UTC",
    "spark.sql.catalog.lake": "org.apache.iceberg.spark.SparkCatalog",
    "spark.sql.catalog.lake.type": "hadoop", "spark.sql.catalog.lake.warehouse": f"file://{warehouse}",
}
spark = SparkSession.builder.master("local[1]").config(map=settings).getOrCreate()
spark.sparkContext.setLogLevel("OFF")
found = {}
for name in sys.argv[3:]:
    table = spark.table(f"lake.{name}")
    rows = [json.loads(row) for row in table.toJSON().collect()]
    day = table.where("date = DATE'2026-11-24'").count()
    found[name] = {"columns": table.columns, "rows": rows, "day": day}
found["count"] = spark.read.format("iceberg").load(f"{warehouse}/sms").count()
print()
print(json.dumps(found))
"""


@pytest.mark.heavy
@pytest.mark.timeout(900)
@pytest.mark.parametrize("compact", [(), ("--compact",)], ids=["as published", "compacted"])
def test_spark(folder, compact):
    """Spark with `iceberg/` as a catalog of type hadoop: values compared as JSON writes them."""
    store = fill(folder, *compact)
    python, jar = engines.spark()
    found = engines.ask(python, SPARK, jar, store.uri("iceberg"), *TABLES)
    assert found["count"] == 30
    for name in TABLES:
        expected = plain(store, name)
        assert sorted(found[name]["columns"]) == list(expected[0])
        as_json = [
            {column: _as_spark(value) for column, value in row.items() if value is not None}
            for row in expected
        ]
        assert sorted(map(_text, found[name]["rows"])) == sorted(map(_text, as_json))
        assert found[name]["day"] == sum(row["date"] == date(2026, 11, 24) for row in expected)


def _text(row):
    return json.dumps(row, sort_keys=True)


def _as_spark(value):
    if hasattr(value, "astimezone"):
        return value.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, date) else value
