"""The tables as their users read them: by ordinary readers, with nothing of this project but its files.

Each reader is a function (lake, table, day or None) -> Arrow table, written as its documentation says. A filter on
the folder's key, `day`, leaves folders unread; who takes keys as columns has it as one more, the last.
"""

import json
from datetime import date

import duckdb
import lakes
import pandas
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.events.tables import catalog, current_descriptors

DAY = pa.field("day", pa.date32())
DAYS = [date(2026, 11, 23), date(2026, 11, 24)]


def by_duckdb(lake, table, day=None):
    """On S3 with the project's file system: DuckDB's own needs an extension from the network."""
    connection = duckdb.connect()
    if lake.storage_options:
        connection.register_filesystem(lake.store.filesystem())
    where = f"WHERE day = '{day}'" if day else ""
    connection.execute("SET TimeZone = 'UTC'")
    return connection.sql(
        f"FROM read_parquet('{lake.url}/{table}/*/*.parquet', hive_partitioning = true, union_by_name = true) {where}"
    ).to_arrow_table()


def by_pyarrow(lake, table, day=None):
    """A dataset takes the columns of its first file unless it is told: here those of its newest."""
    where = (pyarrow.dataset.field("day") == day) if day else None
    return pyarrow.dataset.dataset(
        f"{lake.path}/{table}",
        _newest_schema(lake, table).append(DAY),
        filesystem=lake.filesystem,
        partitioning=pyarrow.dataset.partitioning(pa.schema([DAY]), flavor="hive"),
    ).to_table(filter=where)


def by_polars(lake, table, day=None):
    frame = polars.scan_parquet(
        f"{lake.url}/{table}/*/*.parquet",
        hive_partitioning=True,
        schema=polars.from_arrow(_newest_schema(lake, table).append(DAY).empty_table()).schema,
        missing_columns="insert",
        storage_options=lake.storage_options,
    )
    return (frame.filter(polars.col("day") == day) if day else frame).collect().to_arrow()


def by_pandas(lake, table, day=None):
    frame = pandas.read_parquet(
        f"{lake.path}/{table}",
        filesystem=lake.filesystem,
        schema=_newest_schema(lake, table).append(DAY),
        partitioning=pyarrow.dataset.partitioning(pa.schema([DAY]), flavor="hive"),
        filters=[("day", "==", day)] if day else None,
        dtype_backend="pyarrow",
    )
    return pa.Table.from_pandas(frame, preserve_index=False)


def _newest_schema(lake, table):
    listed = lake.filesystem.get_file_info(fs.FileSelector(f"{lake.path}/{table}", recursive=True))
    newest = max((file.path for file in listed if file.is_file), key=lambda path: path.rpartition("/")[2])
    return pq.read_schema(newest, filesystem=lake.filesystem)


READERS = pytest.mark.parametrize("read", [by_duckdb, by_pyarrow, by_polars, by_pandas])


def rows(table):
    """Rows as Python values, in the order of identity."""
    names = [name for name in ("sequence", "event_id") if name in table.schema.names]
    return table.sort_by([("timestamp", "ascending"), (names[0], "ascending")]).to_pylist()


@READERS
def test_every_reader_sees_every_event_once(lake, read):
    """All rows, all columns, all values, whoever reads: and no event twice, although deliveries were."""
    lakes.lake_of_two_days(lake.store)
    for name, count in (("sms", 30), ("voice", 5), ("handset_change_v1", 2)):
        found = read(lake, name)
        assert found.num_rows == count
        assert found.schema.names == [*catalog(current_descriptors())[name].schema.names, "day"]
        assert found["day"].to_pylist() == found["date"].to_pylist()
        files = [info.key for info in lake.store.list(f"tables/{name}/")]
        plain = [pq.read_table(pa.BufferReader(lake.store.read(key)), partitioning=None) for key in files]
        assert rows(found.drop_columns("day")) == rows(pa.concat_tables(plain))


@READERS
def test_a_date_filter_reads_one_partition(lake, read):
    """Asked for one day, no reader opens another day's files: here those are unreadable, and nobody notices."""
    lakes.lake_of_two_days(lake.store)
    spoiled = list(lake.store.list("tables/sms/day=2026-11-23/"))
    lake.store.delete([info.key for info in spoiled])
    for info in spoiled:
        lake.store.create(info.key, b"-" * info.size)
    found = _one_day(read, lake, DAYS[1])
    assert set(found["date"].to_pylist()) == {DAYS[1]}
    assert found.num_rows == 20
    with pytest.raises(Exception, match=r"(?i)magic|parquet|not a"):
        _one_day(read, lake, DAYS[0])


def _one_day(read, lake, day):
    """Without the union of columns, which means opening all files first."""
    if read is by_duckdb:
        connection = duckdb.connect()
        if lake.storage_options:
            connection.register_filesystem(lake.store.filesystem())
        newest_first = [f"{lake.url}/sms/day={each}/*.parquet" for each in reversed(DAYS)]
        return connection.sql(
            f"FROM read_parquet({newest_first}, hive_partitioning = true) WHERE day = '{day}'"
        ).to_arrow_table()
    return read(lake, "sms", day)


@READERS
def test_a_column_that_came_later_is_read(lake, read):
    """A table whose schema gained a column is read whole: null where it was not there yet."""
    lakes.lake_of_two_days(lake.store)
    (old,) = [info.key for info in lake.store.list("tables/sms/day=2026-11-23/")]
    table = pq.read_table(pa.BufferReader(lake.store.read(old)), partitioning=None)
    sink = pa.BufferOutputStream()
    pq.write_table(table.drop_columns(["service_id", "uuid"]), sink)
    lake.store.delete([old])
    lake.store.create(old, sink.getvalue())
    found = read(lake, "sms")
    assert found.num_rows == 30
    services = {(row["date"], row["service_id"], row["uuid"]) for row in found.to_pylist()}
    assert services == {(DAYS[0], None, None), (DAYS[1], "test", "")}


def test_the_commands_read_it(lake, capsys):
    """`query` by name of table, `status` and `audit` need nothing but the lake's address."""
    lakes.lake_of_two_days(lake.store)
    lakes.journal(lake.store, lakes.sms(77), lakes.sms(3, lakes.at(3), redelivered=True), lakes.BROKEN)
    counts = "SELECT (SELECT count(*) FROM sms) AS sms, (SELECT count(*) FROM quarantine) AS broken"
    for options, answer in (([], [{"sms": 30, "broken": 1}]), (["--fresh"], [{"sms": 31, "broken": 1}])):
        assert main(["query", counts, "--format", "json", *options, *lake.options]) == 0
        assert json.loads(capsys.readouterr().out) == answer
    assert main(["status", "--json", *lake.options]) == 0
    assert json.loads(capsys.readouterr().out)["published"] == 37
    for options in ([], ["--deep"]):
        assert main(["audit", *options, *lake.options]) == 0
        assert capsys.readouterr().out.endswith("audit passed\n")
    assert main(["query", "FROM read_text('/etc/hostname')", *lake.options]) == 1
