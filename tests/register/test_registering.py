"""What `register` shows is what the plain files hold: each row and column once, however often it runs."""

import threading

import lakes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalog_steps import bring_up, entries, rows_of, rows_of_files, wrong
from lakes_on_s3 import CREDENTIALS, s3_lake
from servers import versitygw
from wgtwo_pipeline.events.tables import catalog, current_descriptors
from wgtwo_pipeline.lake import iceberg
from wgtwo_pipeline.lake.open import open_store, open_to_write
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.register import register
from wgtwo_pipeline.register.catalogs import open_target

TABLES = ("handset_change_v1", "sms", "voice")


def table(store, name="sms"):
    return open_target("lake", store).load(name)


def test_a_table_is_its_plain_files(store):
    """Every row and every column of every table, each once; the partition is the event's date."""
    done = bring_up(store)
    assert (done.epoch, done.tables, done.files) == (2, 3, 4)
    for name in TABLES:
        assert rows_of(table(store, name)) == rows_of_files(store, name)
        assert table(store, name).schema().column_names == catalog(current_descriptors())[name].schema.names
        assert [field.name for field in table(store, name).spec().fields] == ["date"]
    assert wrong(store) == []


def test_a_date_is_planned_from_the_metadata(store):
    """Asked for one day, an engine opens that day's files only."""
    bring_up(store)
    planned = list(table(store).scan(row_filter="date == '2026-11-24'").plan_files())
    assert ["day=2026-11-24" in task.file.file_path for task in planned] == [True]


def test_again_and_again_changes_nothing(store):
    """Where nothing is new, nothing is written."""
    bring_up(store)
    before = dict(store.objects)
    assert bring_up(store).files == 0
    assert store.objects == before


def test_what_comes_later_is_added(store):
    """Each epoch's files come in one snapshot, which says whose they are."""
    bring_up(store)
    lakes.journal(store, *(lakes.sms(n, lakes.at(n, day=2)) for n in range(100, 130)))
    lakes.publish(store)
    assert bring_up(store).files == 1
    assert rows_of(table(store)) == rows_of_files(store, "sms")
    assert [
        dict(each.summary.additional_properties)["wgtwo.epochs"] for each in table(store).snapshots()
    ] == [
        "1-2",
        "3-3",
    ]
    assert iceberg.standing(store, "voice").registered_through == 3, "although it has no file of that epoch"


def test_a_table_that_comes_later(empty):
    """A table is created when its first file is there, with the epochs that went before it behind it."""
    lakes.journal(empty, *(lakes.sms(n) for n in range(3)))
    lakes.publish(empty)
    bring_up(empty)
    assert iceberg.standing(empty, "voice") is None
    lakes.journal(empty, *(lakes.voice(n, lakes.at(n, day=3)) for n in range(3)))
    lakes.publish(empty)
    bring_up(empty)
    assert wrong(empty) == []
    assert rows_of(table(empty, "voice")) == rows_of_files(empty, "voice")


def test_a_column_that_came_later(store):
    """A column that the API gained stands at the end; rows from before have null."""
    (old,) = store.keys("tables/sms/day=2026-11-23/")
    rows = pq.read_table(store.open(old), partitioning=None)
    sink = pa.BufferOutputStream()
    pq.write_table(rows.drop_columns(["service_id", "uuid"]), sink)
    store.overwrite(old, sink.getvalue().to_pybytes())
    bring_up(store)
    names = table(store).schema().column_names
    assert names[-2:] == ["service_id", "uuid"]
    found = table(store).scan().to_arrow().to_pylist()
    by_day = {(row["date"].day, row["service_id"], row["uuid"]) for row in found}
    assert by_day == {(23, None, None), (24, "test", "")}
    assert len(found) == 30


def test_deleted_and_registered_again_it_is_the_same(store):
    """`iceberg/` holds nothing of its own: without it, registering gives the same rows and columns."""
    bring_up(store)
    lakes.journal(store, *(lakes.sms(n, lakes.at(n, day=2)) for n in range(100, 130)))
    lakes.publish(store)
    bring_up(store)
    before = {name: (rows_of(table(store, name)), table(store, name).schema().as_struct()) for name in TABLES}
    store.delete(store.keys(iceberg.ROOT))
    bring_up(store)
    assert {
        name: (rows_of(table(store, name)), table(store, name).schema().as_struct()) for name in TABLES
    } == before
    assert wrong(store) == []


def test_a_long_history_comes_in_several_commits(store, monkeypatch):
    """However many files wait, a commit shows whole epochs and holds few footers at once."""
    for epoch in range(3, 8):
        lakes.journal(store, *(lakes.sms(10 * epoch + n, lakes.at(n, day=epoch)) for n in range(2)))
        lakes.publish(store)
    monkeypatch.setattr(register, "FILES_PER_COMMIT", 2)
    bring_up(store)
    assert wrong(store) == []
    assert len(table(store).snapshots()) == 4
    assert rows_of(table(store)) == rows_of_files(store, "sms")


def test_properties(store):
    """What other engines must know: format 2, no retries that append twice, no file of ours deleted."""
    bring_up(store)
    loaded = table(store)
    assert loaded.format_version == 2
    assert loaded.properties["commit.retry.num-retries"] == "0"
    assert loaded.properties["gc.enabled"] == "false"
    assert loaded.properties["commit.manifest-merge.enabled"] == "true"
    assert loaded.name_mapping() == loaded.schema().name_mapping
    assert "write.metadata.metrics.column.sequence" not in table(store, "handset_change_v1").properties


def test_bounds_are_of_times_and_numbers_only(store):
    """A file's entry bounds its timestamp, date and sequence, and no text."""
    bring_up(store)
    bounded = {
        field.field_id
        for field in table(store).schema().fields
        if field.name in ("timestamp", "date", "sequence")
    }
    for entry in entries(table(store)):
        assert set(entry.lower_bounds) == set(entry.upper_bounds) == bounded


@pytest.fixture(params=["folder", pytest.param("versitygw", marks=pytest.mark.heavy)])
def real(request, tmp_path, monkeypatch):
    """A lake in a folder, and in a bucket of a real S3 server."""
    if request.param == "folder":
        yield open_to_write(LakeLocation(str(tmp_path / "lake")))
        return
    for name, value in CREDENTIALS.environment().items():
        monkeypatch.setenv(name, value)
    with versitygw(tmp_path / "versitygw") as server:
        yield open_store(s3_lake(server.endpoint))


@pytest.mark.parametrize("registrars", [3, 5])
def test_many_registrars_at_once(real, registrars):
    """However many start at one moment, each file is shown once, in every version."""
    folder = real
    lakes.lake_of_two_days(folder)
    folder.keys = lambda prefix="": [info.key for info in folder.list(prefix)]
    for epoch in range(3, 6):
        lakes.journal(folder, *(lakes.sms(10 * epoch + n, lakes.at(n, day=epoch)) for n in range(2)))
        lakes.publish(folder)
        together = threading.Barrier(registrars)
        failed = []

        def work(together=together, failed=failed):
            together.wait()
            try:
                bring_up(folder)
            except BaseException as error:
                failed.append(error)

        threads = [threading.Thread(target=work) for _ in range(registrars)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        assert wrong(folder) == []
        assert rows_of(table(folder)) == rows_of_files(folder, "sms")
