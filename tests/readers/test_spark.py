"""The tables as Spark reads them, by the line that docs/lake.md gives: on a local disk.

On S3 Spark reads through Hadoop's connector, which PySpark does not bring; files and folders are the same there.
"""

from datetime import date

import lakes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from wgtwo_pipeline.events.tables import catalog, current_descriptors
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

DAYS = [date(2026, 11, 23), date(2026, 11, 24)]
OLD = "tables/sms/day=2026-11-23/"

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@pytest.fixture
def store(tmp_path):
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    lakes.lake_of_two_days(store)
    return store


def read(spark, store, table):
    """As docs/lake.md says."""
    return spark.read.option("mergeSchema", True).parquet(store.uri(f"tables/{table}"))


def rows(table):
    """Rows as Python values, in the order of identity."""
    names = [name for name in ("sequence", "event_id") if name in table.schema.names]
    return table.sort_by([("timestamp", "ascending"), (names[0], "ascending")]).to_pylist()


def test_spark_sees_every_event_once(spark, store):
    """All rows, all columns, all values, and the folder's key as one more column."""
    for name, count in (("sms", 30), ("voice", 5), ("handset_change_v1", 2)):
        schema = catalog(current_descriptors())[name].schema
        found = read(spark, store, name).toArrow()
        assert found.schema.names == [*schema.names, "day"]
        found = found.drop_columns("day").cast(schema)
        assert found.num_rows == count
        plain = [
            pq.read_table(store.uri(info.key), partitioning=None) for info in store.list(f"tables/{name}/")
        ]
        assert rows(found) == rows(pa.concat_tables(plain))


def test_spark_answers_by_sql(spark, store):
    """Types are what analysts expect: a date is a date, a time is a moment in UTC, an enum is its name."""
    read(spark, store, "sms").createOrReplaceTempView("sms")
    found = spark.sql(
        "SELECT date, count(*) AS n, CAST(min(timestamp) AS STRING) AS first, max(direction) AS direction "
        "FROM sms WHERE day >= DATE'2026-11-23' GROUP BY date ORDER BY date"
    )
    assert [tuple(row) for row in found.collect()] == [
        (DAYS[0], 10, "2026-11-23 12:00:00", "UNKNOWN"),
        (DAYS[1], 20, "2026-11-24 12:00:10", "UNKNOWN"),
    ]


def test_spark_reads_one_partition_for_one_date(spark, store):
    """Asked for one day it opens no other day's files: those have become unreadable, and it does not notice."""
    table = read(spark, store, "sms")
    for info in list(store.list(OLD)):
        store.delete([info.key])
        store.create(info.key, b"-" * info.size)
    found = table.where(table.day == DAYS[1])
    assert found.count() == len(found.collect()) == 20
    with pytest.raises(Exception, match=r"(?i)not a parquet file|cannot read|magic"):
        table.where(table.day == DAYS[0]).collect()


def test_spark_reads_a_column_that_came_later(spark, store):
    """A table whose schema gained a column is read whole: null where it was not there yet."""
    (old,) = [info.key for info in store.list(OLD)]
    table = pq.read_table(store.uri(old), partitioning=None)
    sink = pa.BufferOutputStream()
    pq.write_table(table.drop_columns(["service_id", "uuid"]), sink)
    store.delete([old])
    store.create(old, sink.getvalue())
    found = read(spark, store, "sms").select("date", "service_id", "uuid")
    assert found.count() == 30
    assert {tuple(row) for row in found.collect()} == {(DAYS[0], None, None), (DAYS[1], "test", "")}
