"""A journal object that cannot be read stops nothing else: it is counted, kept, and taken in when restored."""

from pathlib import Path

import lakes
import pyarrow.parquet as pq
import pytest
from wgtwo_pipeline.audit import audit
from wgtwo_pipeline.lake import epochs, history, journal, positions, retained
from wgtwo_pipeline.lake.manifest import sealed_key
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(LakeLocation(str(tmp_path / "lake")))
    opened.check()
    return opened


def replace(store, key, data):
    store.delete([key])
    store.create(key, data)


def flip(data):
    at = len(data) // 2
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


def of_another(data):
    """Whole, but with fewer deliveries than the name says."""
    segment = journal.decode("", memoryview(data))
    return journal.encode(segment.source, segment.writer, 1, segment.covered_until, segment.deliveries[:1])


def of_another_subscription(data):
    segment = journal.decode("", memoryview(data))
    source = journal.Source("v0.other", "v0", "Subscribe")
    return journal.encode(source, segment.writer, 1, segment.covered_until, segment.deliveries)


DAMAGES = {
    "truncated": lambda data: data[:-1],
    "empty": lambda data: b"",
    "a bit": flip,
    "garbage": lambda data: b"\0" * 100_000,
    "another's rows": of_another,
    "another's name": of_another_subscription,
}


def sequences(store):
    """Those that a plain reader finds in the table of SMS."""
    paths = (store.uri(info.key) for info in store.list("tables/sms/"))
    return sorted(
        value for path in paths for value in pq.read_table(path, partitioning=None)["sequence"].to_pylist()
    )


def findings(store):
    return {(found.kind, found.where) for found in audit.examine(store, deep=True)[0].kept}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_what_cannot_be_read_is_counted_and_kept_and_published_once_it_is_restored(store, damage):
    """All else is published; the segment is in no other epoch; restored, it is in the next one, and once only."""
    good = lakes.journal(store, lakes.sms(1))
    key = lakes.journal(store, lakes.sms(2), lakes.sms(3))
    lakes.journal(store, lakes.sms(4))
    whole = bytes(store.read(key))
    replace(store, key, damage(whole))
    manifest = lakes.publish(store)
    assert (manifest.received, manifest.published, manifest.unreadable) == (4, 2, 2)
    assert [(each.key, each.rows) for each in manifest.unreadable_segments] == [(key, 2)]
    assert manifest.balanced()
    assert sequences(store) == [1, 4]
    assert [info.key for info in journal.segments(store)] == [key], "the rest is retired, this is kept"
    assert findings(store) == {("lost", key)}

    assert lakes.publish(store) is None, "it is not sealed again"
    lakes.journal(store, lakes.sms(5))
    assert lakes.publish(store).unreadable == 0
    assert sequences(store) == [1, 4, 5]
    assert key in history.load(store).unreadable
    assert good not in history.load(store).unreadable

    replace(store, key, whole)
    manifest = lakes.publish(store)
    assert (manifest.received, manifest.published, manifest.restored) == (2, 2, (key,))
    assert sequences(store) == [1, 2, 3, 4, 5]
    assert not history.load(store).unreadable
    assert list(journal.segments(store)) == []
    assert findings(store) == set()


def test_what_cannot_be_read_is_remembered_by_checkpoints(store, monkeypatch):
    """A checkpoint between the loss and the repair changes nothing."""
    monkeypatch.setattr(epochs, "CHECKPOINT_EVERY_EPOCHS", 1)
    key = lakes.journal(store, lakes.sms(1))
    whole = bytes(store.read(key))
    replace(store, key, flip(whole))
    for number in range(2, 5):
        lakes.journal(store, lakes.sms(number))
        lakes.publish(store)
    past = history.load(store)
    assert past.base.epoch == 3
    assert (list(past.unreadable), past.totals.unreadable) == ([key], 1)
    replace(store, key, whole)
    lakes.publish(store)
    assert history.load(store).base.unreadable == ()
    assert sequences(store) == [1, 2, 3, 4]
    assert findings(store) == set()


def test_an_epoch_of_nothing_readable_is_committed(store):
    """Nobody knows then of which stream its deliveries were; their number is known by the names."""
    keys = [lakes.journal(store, lakes.sms(number)) for number in range(3)]
    for key in keys:
        replace(store, key, b"x")
    manifest = lakes.publish(store)
    assert (manifest.received, manifest.published, manifest.unreadable) == (3, 0, 3)
    assert findings(store) == {("lost", key) for key in keys}


def test_a_segment_that_is_gone_stops_nothing(store):
    """Sealed, deleted by somebody, never published: said so, and the others are published."""
    lakes.journal(store, lakes.sms(1))
    key = lakes.journal(store, lakes.sms(2))
    lakes.journal(store, lakes.sms(3))
    settings_epoch = lakes.publish(store, commits=False, writes=())
    assert settings_epoch is None
    store.delete([key, *(info.key for info in store.list(retained.ROOT))])
    manifest = lakes.publish(store)
    assert (manifest.published, manifest.unreadable) == (2, 1)
    assert sequences(store) == [1, 3]
    assert findings(store) == {("lost", key)}


@pytest.mark.parametrize("damaged_first", [False, True])
def test_a_redo_reads_what_the_first_try_read(store, damaged_first):
    """Files are there of an epoch that was not committed; damage or repair in between must not change its rows."""
    key = lakes.journal(store, lakes.sms(1))
    lakes.journal(store, lakes.sms(2))
    whole = bytes(store.read(key))
    if damaged_first:
        replace(store, key, flip(whole))
    lakes.publish(store, commits=False)
    before = sequences(store)
    replace(store, key, whole if damaged_first else flip(whole))
    manifest = lakes.publish(store)
    assert sequences(store) == before == ([2] if damaged_first else [1, 2])
    assert manifest.unreadable == int(damaged_first)
    while lakes.publish(store):
        pass
    assert sequences(store) == [1, 2]
    assert findings(store) == set()


def test_an_object_larger_than_any_segment_is_not_even_read(store, monkeypatch):
    """It would not fit into memory; the bound is far above what ingest writes."""
    key = lakes.journal(store, lakes.sms(1, text="x" * 50_000))
    lakes.journal(store, lakes.sms(2))
    monkeypatch.setattr(journal, "MOST_BYTES", 40_000)
    reads = []
    original = type(store).read
    monkeypatch.setattr(type(store), "read", lambda self, each: reads.append(each) or original(self, each))
    assert lakes.publish(store).unreadable == 1
    assert lakes.publish(store) is None
    assert key not in reads
    monkeypatch.undo()
    assert lakes.publish(store).restored == (key,)


@pytest.mark.parametrize("name", ["README.txt", "v0.test/junk.arrow", "v0.test/2026-01-01/00/a-b-c-d.arrow"])
def test_an_object_with_another_name_stops_nothing(store, name, caplog):
    """It is left where it is; the log names it, and the audit does."""
    journal._warn.cache_clear()
    store.create(f"journal/{name}", b"not ours")
    lakes.journal(store, lakes.sms(1))
    assert lakes.publish(store).published == 1
    lakes.journal(store, lakes.sms(2))
    assert lakes.publish(store).published == 1
    assert sequences(store) == [1, 2]
    assert [info.key for info in store.list("journal/")] == [f"journal/{name}"]
    assert caplog.text.count(f"journal/{name} is not a segment's name") == 1
    assert ("extra_file", f"journal/{name}") in findings(store)


def test_a_subscription_starts_again_behind_a_damaged_segment(store):
    """Where to go on is read from the newest segment that is whole, else from the manifests."""
    assert positions.covered_until(store, "v0.test") is None
    lakes.journal(store, lakes.sms(1))
    lakes.publish(store)
    published = positions.covered_until(store, "v0.test")
    lakes.journal(store, lakes.sms(2))
    journaled = positions.covered_until(store, "v0.test")
    newest = lakes.journal(store, lakes.sms(3))
    replace(store, newest, b"")
    assert published < journaled
    assert positions.covered_until(store, "v0.test") == journaled
    for info in list(journal.segments(store)):
        replace(store, info.key, b"")
    assert positions.covered_until(store, "v0.test") == published


def test_a_seal_that_names_what_is_no_segment_is_refused(store):
    """Nobody else can make one: the object is damaged, and says so."""
    lakes.journal(store, lakes.sms(1))
    lakes.publish(store, commits=False, writes=())
    epochs.sealed.cache_clear()
    seal = bytes(store.read(sealed_key(1)))
    replace(store, sealed_key(1), seal[:-20])
    with pytest.raises(Exception, match=sealed_key(1)):
        lakes.publish(store)
