"""What an erasure takes out of plain files is out of the tables, too, and out of the parts of closed days."""

from datetime import UTC, datetime

import pyarrow.parquet as pq
import pytest
from catalog_steps import WHATS, SteppedStore, bring_up, entries, rows_of, rows_of_files, stopped, wrong
from lakes import at, journal, publish
from lakes_erased import HERS, HIS, eraser, revoke, sms_of
from memory_store import MemoryStore
from pyiceberg.table.update.snapshot import _OverwriteFiles
from wgtwo_pipeline.audit.audit import examine
from wgtwo_pipeline.lake import history, iceberg
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.register import compact as room
from wgtwo_pipeline.register import dissolve, log
from wgtwo_pipeline.register.catalogs import open_target
from wgtwo_pipeline.run import erasing

LATER = datetime(2026, 12, 24, tzinfo=UTC)


def compact(store, name="sms"):
    return room.compact(store, open_target("lake", store), history.load(store), name, LATER)


def in_memory(folder):
    """A copy of a lake in a folder."""
    store = MemoryStore()
    for info in folder.list(""):
        store.create(info.key, bytes(folder.read(info.key)))
    return store


@pytest.fixture(scope="module", params=["as published", "compacted"])
def lakes(request, tmp_path_factory):
    """A registered lake before an erasure, and after it: her events are in three files of two days."""
    folder = open_store(LakeLocation(str(tmp_path_factory.mktemp("erased") / "lake")))
    folder.check()
    for epoch in range(3):
        first = 10 * epoch
        his = (sms_of(HIS, first + n, at(first + n, day=n % 2)) for n in (1, 2, 3))
        journal(folder, sms_of(HERS, first, at(first)), *his)
        publish(folder)
    journal(folder, sms_of(HERS, 90, at(90, day=3)), revoke(HERS, 99, at(100, day=3)))
    publish(folder)
    folder.keys = lambda prefix="": [info.key for info in folder.list(prefix)]
    # Objects of memory are named otherwise than those of a folder, so the catalog is made there.
    before = in_memory(folder)
    for _ in eraser(folder).erase():
        pass
    after = in_memory(folder)
    for store in (before, after):
        store.compacted = request.param == "compacted"
    return before, after


@pytest.fixture
def erased(lakes):
    """The lake after the erasure, with the catalog as it was before."""
    before, after = lakes
    store = MemoryStore()
    store.objects = dict(before.objects)
    bring_up(store)
    if before.compacted:
        assert compact(store) == 3 - 1, "the last day has one file"
    catalog = {key: value for key, value in store.objects.items() if key.startswith(iceberg.ROOT)}
    store.objects = {**after.objects, **catalog}
    return store


def load(store):
    return open_target("lake", store).load("sms")


def holds_her(store):
    """The Parquet objects that hold her number, plain files and parts."""
    keys = [key for root in ("tables/", iceberg.ROOT) for key in store.keys(root) if key.endswith(".parquet")]
    return [
        key for key in keys if HERS in repr(pq.read_table(store.open(key), partitioning=None).to_pylist())
    ]


def test_tables_follow(erased):
    """The next registration shows what is left; parts that held something of her are gone at once."""
    assert bool(holds_her(erased)) == any("/data/" in key for key in erased.keys(iceberg.ROOT))
    done = bring_up(erased)
    assert (done.erasure, holds_her(erased)) == (1, [])
    assert rows_of(load(erased)) == rows_of_files(erased, "sms")
    assert {row["owner_phone_number"] for row in rows_of(load(erased))} == {HIS}
    assert load(erased).scan().count() == 9
    assert wrong(erased) == []
    assert examine(erased)[0].kept == []
    assert bring_up(erased).files == 0


@pytest.mark.parametrize("work", [bring_up, compact])
def test_a_manifest_that_pyiceberg_passes_over_is_looked_at_again(erased, monkeypatch, work):
    """Its threads share what they compare manifests with: where files to delete are missed, it begins again."""
    if work is compact:
        bring_up(erased)
    met, real = [], _OverwriteFiles._deleted_entries

    def passes_over(self):
        met.append(self)
        return self._validate_required_deletes([]) if len(met) == 1 else real(self)

    monkeypatch.setattr(_OverwriteFiles, "_deleted_entries", passes_over)
    work(erased)
    assert len(met) >= 2  # else nothing was deleted, and this shows nothing
    assert wrong(erased) == []
    assert rows_of(load(erased)) == rows_of_files(erased, "sms")
    assert holds_her(erased) == []


def test_the_audit_waits_for_the_catalog(erased):
    """A table that has not followed yet is behind, not wrong."""
    assert examine(erased)[0].kept == []


def test_compacted_again(erased):
    """What was dissolved is compacted under another name; `audit` compares it."""
    bring_up(erased)
    compact(erased)
    assert holds_her(erased) == []
    assert rows_of(load(erased)) == rows_of_files(erased, "sms")
    assert wrong(erased) == []
    assert examine(erased)[0].kept == []


def test_a_file_without_rows_is_still_shown(erased):
    """An erasure may leave a file with none: it stays in the table, so that its files are always the manifests'."""
    bring_up(erased)
    assert 0 in {entry.record_count for entry in entries(load(erased))}


@pytest.mark.parametrize("what", WHATS)
def test_it_stops_at_any_effect(erased, what):
    """Killed, cheated of an answer, or overtaken at any of its effects: right, and nothing of her is left."""
    at, struck = 0, True
    while struck:
        store = MemoryStore()
        store.objects = dict(erased.objects)
        struck = stopped(store, at, what, lambda store=store: bring_up(store))
        assert wrong(store) == [], f"{what} {at}"
        assert holds_her(store) == []
        at += 1
    assert at > 4


def test_a_slow_compactor_brings_nothing_back(lakes):
    """One that read the files before the erasure cannot commit after it; what it put is deleted."""
    before, after = lakes
    if before.compacted:
        return
    registered = MemoryStore()
    registered.objects = dict(before.objects)
    bring_up(registered)
    at, struck = 0, True
    while struck:
        store = MemoryStore()
        store.objects = dict(registered.objects)

        def erases(store=store):
            store.objects.update(after.objects)
            bring_up(store)

        stepped = SteppedStore(store, at, "others before", erases)
        compact(stepped)
        struck = len(stepped.effects) > at
        if not struck:
            erases()
        bring_up(store)
        assert holds_her(store) == [], at
        assert rows_of(load(store)) == rows_of_files(store, "sms")
        assert wrong(store) == []
        at += 1
    assert at > 4


def test_erase_registers_at_once(tmp_path):
    """Where the lake has a catalog, `erase` leaves it without what was erased; without one it makes none."""
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    journal(store, sms_of(HERS, 1, at(1)), sms_of(HIS, 2, at(2)), revoke(HERS, 3, at(3)))
    publish(store)
    erasing.follow(store)
    assert list(store.list(iceberg.ROOT)) == []
    bring_up(store)
    for _ in eraser(store).erase():
        erasing.follow(store)
    assert iceberg.standing(store, "sms").erased_through == 1
    assert [row["sequence"] for row in rows_of(load(store))] == [2]


def stays_as_it_was(patches):
    """The receipts are not read: entries describe the files as they were."""
    patches.setattr(log, "replaced", lambda *_: {})


def only_plain_files(patches):
    """A part that stands for a file that was replaced goes on being shown."""
    patches.setattr(dissolve, "stand_for", lambda *_: {})


def leaves_the_parts(patches):
    """What is dissolved is not shown, and still there."""
    patches.setattr(dissolve, "sweep", lambda *_: None)


@pytest.mark.parametrize(
    "plant", [stays_as_it_was, only_plain_files, leaves_the_parts], ids=lambda each: each.__name__
)
def test_planted_bugs_are_found(lakes, erased, monkeypatch, plant):
    """Whoever follows no erasure, or only half of it, shows or keeps something of her."""
    if plant is not stays_as_it_was and not lakes[0].compacted:
        pytest.skip("concerns parts")
    plant(monkeypatch)
    with pytest.raises(AssertionError):
        test_tables_follow(erased)
