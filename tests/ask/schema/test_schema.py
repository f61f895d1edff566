"""`schema` says of every table every column, in each engine's words; where an engine is at hand, it runs them."""

import json
import re

import duckdb
import lakes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wgtwo_pipeline.ask.ddl import ENGINES
from wgtwo_pipeline.ask.schema import type_name
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.events.tables import QUARANTINE, catalog, current_descriptors

TABLES = {name: table.schema for name, table in catalog(current_descriptors()).items()}
EVERYTHING = {**TABLES, "quarantine": QUARANTINE}
BUCKET = ["--lake", "s3://bucket/some/prefix"]


@pytest.fixture
def schema(capsys):
    """Runs `schema` with some words; returns what it prints."""

    def run(*words):
        assert main(["schema", *map(str, words)]) == 0
        return capsys.readouterr().out

    return run


def statements(text):
    """By table, without comments."""
    found = {}
    text = "".join(line for line in text.splitlines(keepends=True) if not line.startswith("--"))
    for statement in text.split(";\n"):
        name = re.search(r"(?:TABLE|VIEW)(?: IF NOT EXISTS)? (?:wgtwo\.)?[`\"]?(\w+)", statement)
        if name:
            found[name[1]] = found.get(name[1], "") + statement
    return found


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("by", ["date", "hour"])
def test_every_engine_is_told_every_column_of_every_table(schema, engine, by, tmp_path):
    """In order, with the folder's keys behind; the quarantine as well, which has no hours."""
    text = schema("--format", engine, "--partition-by", by, "--lake", tmp_path)
    found = statements(text)
    assert list(found) == list(EVERYTHING)
    for name, statement in found.items():
        keys = ["day", *(["hour"] if by == "hour" and name != "quarantine" else [])]
        body = statement[statement.index(name) + len(name) :]
        places = [re.search(rf"(?<!\w){column}(?!\w)", body) for column in [*EVERYTHING[name].names, *keys]]
        assert all(places), (name, statement)
        if engine != "clickhouse":  # which names them twice
            starts = [_declared(body, column) for column in [*EVERYTHING[name].names, *keys]]
            assert starts == sorted(starts), statement
    assert not re.search(r"(?i)unsigned|uint", text)


def _declared(body, column):
    return re.search(rf"(?m)^  (?:NULL::\S+ AS )?[`\"]?{column}[`\"]?(?!\w)", body).start()


def test_athena(schema):
    """The whole statement, as Athena's documentation has it: partition projection, names in backticks."""
    assert schema("consent_revoke", "--format", "athena", *BUCKET).partition("\n\n")[2] == (
        """\
CREATE EXTERNAL TABLE IF NOT EXISTS `consent_revoke` (
  `timestamp` timestamp,
  `sequence` bigint,
  `service_id` string,
  `owner_phone_number` string,
  `owner_sub` string,
  `received_at` timestamp,
  `msisdn` string,
  `date` date
)
PARTITIONED BY (
  `day` date
)
STORED AS PARQUET
LOCATION 's3://bucket/some/prefix/tables/consent_revoke/'
TBLPROPERTIES (
  'projection.enabled' = 'true',
  'projection.day.type' = 'date',
  'projection.day.format' = 'yyyy-MM-dd',
  'projection.day.range' = '2020-01-01,NOW+1DAYS',
  'storage.location.template' = 's3://bucket/some/prefix/tables/consent_revoke/day=${day}/'
);
"""
    )


def test_athena_by_hours(schema):
    """Hours are projected with two digits, as they stand in the path."""
    text = schema("sms", "--format", "athena", "--partition-by", "hour", *BUCKET)
    assert "'projection.hour.digits' = '2'" in text
    assert "tables/sms/day=${day}/hour=${hour}/'" in text
    assert "  `day` date,\n  `hour` int\n)" in text


def test_trino(schema):
    """Trino's Hive connector projects the same partitions; its keys come last and are named again."""
    text = schema("token_audit", "--format", "trino", "--partition-by", "hour", *BUCKET)
    assert '  "operator_token_new_rights" ARRAY(VARCHAR),\n' in text
    assert '  "timestamp" TIMESTAMP(6),\n' in text
    assert "external_location = 's3://bucket/some/prefix/tables/token_audit/'" in text
    assert "partitioned_by = ARRAY['day', 'hour']" in text
    assert "partition_projection_range = ARRAY['2020-01-01', 'NOW+1DAYS']" in text
    assert "partition_projection_digits = 2" in text


def test_bigquery(schema):
    """An external table in Cloud Storage whose keys come from the path."""
    text = schema("token_audit", "--format", "bigquery", *BUCKET)
    assert "  `operator_token_new_rights` ARRAY<STRING>,\n" in text
    assert "WITH PARTITION COLUMNS (\n  `day` DATE\n)" in text
    assert "hive_partition_uri_prefix = 'gs://bucket/some/prefix/tables/token_audit/'" in text
    assert "uris = ['gs://bucket/some/prefix/tables/token_audit/*.parquet']" in text


@pytest.mark.parametrize("engine", ["athena", "trino", "bigquery"])
def test_a_folder_is_no_bucket(schema, engine, tmp_path):
    """Where an engine needs a bucket and the lake is a folder, a placeholder stands for it."""
    text = schema("sms", "--format", engine, "--lake", tmp_path)
    assert "://BUCKET/PREFIX/tables/sms/" in text
    assert str(tmp_path) not in text


def test_json_and_text(schema):
    """Names and types, for programs and for people; they agree with the files' own."""
    found = {each["table"]: each for each in json.loads(schema("--format", "json"))}
    assert list(found) == list(EVERYTHING)
    for name, each in found.items():
        assert [(c["name"], c["type"]) for c in each["columns"]] == [
            (field.name, type_name(field.type)) for field in EVERYTHING[name]
        ]
        assert each["folder_keys"] == [{"name": "day", "type": "date"}]
    assert found["sms"]["files"] == "tables/sms/day=*/*.parquet"
    text = schema("sms")
    assert re.search(r"(?m)^sequence +int64$", text)
    assert re.search(r"(?m)^timestamp +timestamp$", text)
    assert "list<string>" in schema("token_audit")


def test_a_table_that_there_is_not(capsys):
    """Is refused with those there are."""
    assert main(["schema", "sm"]) == 2
    assert "choose one of voice, voicemail" in capsys.readouterr().err


def plain(store, table):
    """What the files hold; a column that none has is null."""
    files = [info.key for info in store.list(f"{'' if table == 'quarantine' else 'tables/'}{table}/")]
    parts = [pq.read_table(pa.BufferReader(store.read(key)), partitioning=None) for key in files]
    return pa.concat_tables([EVERYTHING[table].empty_table(), *parts], promote_options="default")


def same(found, wanted):
    names = [(name, "ascending") for name in wanted.schema.names[:2]]
    assert found.schema.names == [*wanted.schema.names, "day"]
    assert found["day"].to_pylist() == found["date"].to_pylist()
    found = found.drop_columns("day").cast(wanted.schema)
    assert found.sort_by(names).to_pylist() == wanted.sort_by(names).to_pylist()


def test_duckdb_runs_it(schema, store):
    """A view for each table, with its rows; without a file it is empty, with its columns; a later column is null."""
    lakes.lake_of_two_days(store)
    _drop_columns(store)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute(schema("--format", "duckdb", "--lake", store.location.url))
        for name in EVERYTHING:
            same(connection.sql(f"FROM {name}").to_arrow_table(), plain(store, name))
        sql = "EXPLAIN ANALYZE SELECT count(*) FROM sms WHERE day = '2026-11-24'"
        plan = connection.sql(sql).fetchall()[0][1]
        assert "2026-11-23" not in plan
        assert "has no file yet" in schema("voicemail", "--format", "duckdb", "--lake", store.location.url)


def test_duckdb_runs_it_by_hours(schema, store):
    """The hour comes from the path, as a number."""
    lakes.journal(store, lakes.sms(1))
    lakes.publish(store, partition_by="hour")
    with duckdb.connect() as connection:
        text = schema("sms", "--format", "duckdb", "--partition-by", "hour", "--lake", store.location.url)
        connection.execute(text)
        assert connection.sql("SELECT hour, day::VARCHAR FROM sms").fetchall() == [(12, "2026-11-23")]


@pytest.mark.heavy
def test_clickhouse_runs_it(schema, store, tmp_path):
    """The same in ClickHouse, embedded as chdb."""
    from chdb import session

    lakes.lake_of_two_days(store)
    _drop_columns(store)
    clickhouse = session.Session(str(tmp_path / "clickhouse"))
    try:
        clickhouse.query("CREATE DATABASE wgtwo ENGINE = Atomic")
        clickhouse.query("USE wgtwo")
        for statement in schema("--format", "clickhouse", "--lake", store.location.url).split(";\n"):
            if statement.strip():
                clickhouse.query(statement)
        for name in EVERYTHING:
            found = clickhouse.query(f"SELECT * FROM wgtwo.{name}", "ArrowTable")
            wanted = plain(store, name)
            same(found if len(found) else wanted.append_column("day", wanted["date"]), wanted)
    finally:
        clickhouse.close()


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_spark_runs_it(schema, store, spark):
    """The same in Spark SQL: declared tables, which have all rows once their partitions are looked for."""
    lakes.lake_of_two_days(store)
    _drop_columns(store)
    spark.sql("CREATE DATABASE IF NOT EXISTS described")
    spark.sql("USE described")
    text = schema("--format", "spark", "--lake", store.location.url)
    for statement in text.split(";\n"):
        if any(line and not line.startswith("--") for line in statement.splitlines()):
            spark.sql(statement)
    for name in EVERYTHING:
        same(spark.sql(f"SELECT * FROM `{name}`").toArrow(), plain(store, name))


def _drop_columns(store):
    """The first file of sms becomes one from before two of its columns existed."""
    old = next(info.key for info in store.list("tables/sms/"))
    rows = pq.read_table(pa.BufferReader(store.read(old)), partitioning=None)
    sink = pa.BufferOutputStream()
    pq.write_table(rows.drop_columns(["service_id", "uuid"]), sink)
    store.delete([old])
    store.create(old, sink.getvalue())
