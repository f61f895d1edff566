"""Closed days in few files: the same rows in every snapshot, the plain files as they were."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import lakes
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from catalog_steps import WHATS, bring_up, entries, rows_of, rows_of_files, stopped, wrong
from memory_store import MemoryStore
from wgtwo_pipeline.audit.audit import examine
from wgtwo_pipeline.errors import PipelineError
from wgtwo_pipeline.lake import compacted, history, iceberg
from wgtwo_pipeline.lake.compacted import Part, PartPath, parts, stand_for
from wgtwo_pipeline.register import compact as room
from wgtwo_pipeline.register import dissolve, expire, tables
from wgtwo_pipeline.register.catalogs import open_target

LATER = datetime(2026, 12, 24, tzinfo=UTC)
DAYS = 3


def compact(store, now=LATER, name="sms"):
    return room.compact(store, open_target("lake", store), history.load(store), name, now)


def load(store):
    return open_target("lake", store).load("sms")


def shown(store):
    return sorted(entry.file_path.rpartition("iceberg/sms/")[2] for entry in entries(load(store)))


def add(store, first, days=range(DAYS)):
    """An epoch with events of each day."""
    lakes.journal(
        store,
        *(lakes.sms(first + 10 * day + n, lakes.at(first + n, day=day)) for day in days for n in range(4)),
    )
    lakes.publish(store)


@pytest.fixture
def many(empty):
    """Four epochs of three days, registered."""
    for epoch in range(4):
        add(empty, 100 * epoch)
    bring_up(empty)
    return empty


def test_a_day_becomes_one_file(many):
    """Each closed day is shown by one file under `iceberg/`; rows and columns are as before."""
    before, plain = rows_of(load(many)), {key: many.objects[key] for key in many.keys("tables/")}
    assert compact(many) == DAYS
    assert [key.split("/")[:2] for key in shown(many)] == [
        ["data", f"day=2026-11-{day}"] for day in (23, 24, 25)
    ]
    assert rows_of(load(many)) == before == rows_of_files(many, "sms")
    assert {key: many.objects[key] for key in many.keys("tables/")} == plain
    assert wrong(many) == []


def test_compacted_is_compacted(many):
    """Where nothing is new, nothing is written."""
    compact(many)
    before = dict(many.objects)
    assert compact(many) == 0
    assert many.objects == before


def test_an_open_day_stays(many):
    """A day is left alone until it has been over for six hours."""
    assert compact(many, datetime(2026, 11, 25, 5, 59, tzinfo=UTC)) == 1
    assert compact(many, datetime(2026, 11, 25, 6, tzinfo=UTC)) == 1
    assert len(shown(many)) == 2 + 4


def test_it_is_a_function_of_the_plain_files(many):
    """Deleted, registered and compacted again, the parts are the same, byte for byte."""
    compact(many)
    before = {key: many.objects[key][0] for key in many.keys("iceberg/sms/data/")}
    many.delete(many.keys("iceberg/"))
    bring_up(many)
    compact(many)
    assert {key: many.objects[key][0] for key in many.keys("iceberg/sms/data/")} == before


def test_what_comes_late_is_shown_beside_it(many):
    """A late event of a compacted day stands in its plain file, until the day is compacted again."""
    compact(many)
    (_, old, _) = shown(many)
    add(many, 900, days=[1])
    bring_up(many)
    assert len(shown(many)) == 4
    assert wrong(many) == []
    assert compact(many) == 1
    assert old not in shown(many)
    assert rows_of(load(many)) == rows_of_files(many, "sms")
    assert wrong(many) == []


def test_what_is_replaced_goes_after_a_day(many):
    """A reader of yesterday's snapshot finds its files; after a day only what is shown is left."""
    compact(many)
    add(many, 900, days=[1])
    bring_up(many)
    compact(many)
    assert len(many.keys("iceberg/sms/data/")) == 4
    old = {snapshot.snapshot_id for snapshot in load(many).snapshots()}
    for snapshot in old:
        assert load(many).scan(snapshot_id=snapshot).to_arrow().num_rows in (48, 52)
    assert expire.expire(many, open_target("lake", many), "sms", datetime.now(UTC) + timedelta(days=1.5))
    assert len(many.keys("iceberg/sms/data/")) == 3
    assert rows_of(load(many)) == rows_of_files(many, "sms")


def test_a_part_that_was_never_shown_goes_after_a_day(many):
    """What a compactor that was killed left behind, and nobody used."""
    stray = PartPath("sms", datetime(2026, 11, 23, tzinfo=UTC).date(), 0, Part(("tables/x",)).digest).key
    many.create(stray, b"-")
    expire.expire(many, open_target("lake", many), "sms", datetime.now(UTC) + timedelta(days=1.5))
    assert stray not in many.keys("iceberg/")


def test_a_column_that_came_later(many):
    """Rows from before the column have null, in the same file as those that have it."""
    (old, *_) = many.keys("tables/sms/day=2026-11-23/")
    rows = pq.read_table(many.open(old), partitioning=None)
    sink = pa.BufferOutputStream()
    pq.write_table(rows.drop_columns(["service_id"]), sink)
    many.overwrite(old, sink.getvalue().to_pybytes())
    many.delete(many.keys("iceberg/"))
    bring_up(many)
    before = rows_of(load(many))
    compact(many)
    assert rows_of(load(many)) == before
    assert {row["service_id"] for row in before} == {None, "test"}


def test_a_large_day_has_several_parts(many, monkeypatch):
    """Plain files are put together until they are 256 MiB; a part holds whole files."""
    size = max(info.size for info in many.list("tables/"))
    monkeypatch.setattr(compacted, "BYTES_PER_PART", 2 * size)
    compact(many)
    assert len(shown(many)) == 2 * DAYS
    assert rows_of(load(many)) == rows_of_files(many, "sms")
    assert wrong(many) == []


def test_rows_of_a_group_are_sorted_by_time(many):
    """As in the plain files: row groups can be skipped by their bounds."""
    compact(many)
    for key in many.keys("iceberg/sms/data/"):
        times = pq.read_table(many.open(key))["timestamp"].to_pylist()
        assert times == sorted(times)


@pytest.mark.parametrize("what", WHATS)
def test_it_stops_at_any_effect(many, what):
    """Killed, cheated of an answer, or overtaken at any of its effects: every version shows every row once."""
    add(many, 900, days=[1])

    def others(store):
        bring_up(store)
        compact(store)

    at, struck = 0, True
    while struck:
        store = MemoryStore()
        store.objects = dict(many.objects)
        struck = stopped(store, at, what, lambda store=store: others(store), work=others)
        assert wrong(store) == [], f"{what} {at}"
        assert len(shown(store)) == DAYS
        at += 1
    assert at > 8


def keeps_the_plain_files(patches):
    """The part is shown beside what it stands for."""
    patches.setattr(room, "_commit", lambda table, made: commit(table, [_beside(*each) for each in made]))


def _beside(day, files):
    return replace(day, shown=()), files


def shows_before_it_puts(patches):
    """The part is put after the commit that shows it."""
    waiting = []

    def put(store, key, part, schema):
        data = room._encode(store, part, schema)
        waiting.append((store, key, data))
        return memoryview(data).nbytes, pq.read_metadata(pa.BufferReader(data))

    def then_put(table, made):
        mine = list(waiting)
        waiting.clear()
        commit(table, made)
        for store, key, data in mine:
            store.create(key, data)

    patches.setattr(room, "_put", put)
    patches.setattr(room, "_commit", then_put)


def sweeps_what_is_not_shown_yet(patches):
    """A registrar deletes parts that no table shows: also those of a compactor that is about to commit."""

    def sweep(store, target, name, erasure):
        shown = tables.ever_shown(target.load(name))
        parts = [info.key for info in iceberg.objects(store, name, "data")]
        store.delete([key for key in parts if iceberg.location(store, key) not in shown])

    patches.setattr(dissolve, "sweep", sweep)


commit = room._commit


MUTANTS = (keeps_the_plain_files, shows_before_it_puts, sweeps_what_is_not_shown_yet)


@pytest.mark.parametrize("plant", MUTANTS, ids=lambda plant: plant.__name__)
def test_planted_bugs_are_found(many, monkeypatch, plant):
    """Each is shown by some stop at some effect, or without any."""
    plant(monkeypatch)
    assert any(_shown(many, what) for what in ("kill after", "others before")), (
        f"nobody noticed: {plant.__doc__}"
    )


def _shown(many, what):
    def work(store):
        bring_up(store)
        compact(store)

    for at in range(12):
        store = MemoryStore()
        store.objects = dict(many.objects)
        try:
            stopped(store, at, what, lambda store=store: bring_up(store), work=work)
        except PipelineError:
            return True
        if wrong(store) or examine(store)[0].total:
            return True
    return False


def test_the_audit_compares_parts(many):
    """A part stands for the plain files that its name says, with all their rows."""
    compact(many)
    findings, _ = examine(many)
    assert (findings.total, findings.proved["registered_files"]) == (0, DAYS)
    (key, *_) = many.keys("iceberg/sms/data/")
    many.overwrite(key, bytes(many.read(key)) + b"more")
    assert ["bytes, not 16 and" in str(each) for each in examine(many)[0].kept] == [True]
    many.delete([key])
    assert ["not 16 and 0" in str(each) for each in examine(many)[0].kept] == [True]


def test_the_audit_finds_a_part_of_other_files(many):
    """A part in whose place a plain file is shown as well would show rows twice."""
    compact(many)
    footer = pq.read_metadata(many.open(many.keys("tables/sms/")[0]))
    from wgtwo_pipeline.lake.iceberg import location
    from wgtwo_pipeline.register.tables import Describer

    with load(many).transaction() as transaction, transaction.update_snapshot().fast_append() as snapshot:
        (key, *_) = many.keys("tables/sms/")
        size = len(many.read(key))
        snapshot.append_data_file(
            Describer(transaction.table_metadata).describe(
                location(many, key), date(2026, 11, 23), size, footer
            )
        )
    assert any("stand for other files" in str(each) for each in examine(many)[0].kept)


def test_parts_are_a_function_of_keys_and_sizes():
    """Divided alike by everybody; what is shown plain is left out of what the parts stand for."""
    size = compacted.BYTES_PER_PART // 2
    files = [(f"tables/sms/day=2026-11-23/{n:010d}-000.parquet", size) for n in range(5)]
    assert [len(part.keys) for part in parts(files)] == [2, 2, 1]
    assert [part.keys for part in parts([("large", 9 * size), ("small", 1)])] == [("large",), ("small",)]
    names = [
        PartPath("sms", datetime(2026, 11, 23, tzinfo=UTC).date(), 7, part.digest).key
        for part in parts(files[:4])
    ]
    assert stand_for([*names, files[4][0]], files) == dict(zip(names, parts(files[:4]), strict=True))
    assert stand_for(names, files) is None, "nothing shows the last file"
    assert stand_for(names[:1], files[:4]) is None, "a part is missing"
    assert stand_for([*names, files[0][0]], files[:4]) is None, "a file would be shown twice"
