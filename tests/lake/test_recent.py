"""Recent manifests stand together in one object: the history is the same, by few reads."""

from datetime import UTC, datetime, timedelta

import pytest
from memory_store import MemoryStore
from test_checkpoint import DAYS, NOON, commit, files_of, lake
from wgtwo_pipeline.errors import CorruptError
from wgtwo_pipeline.lake import checkpoint, epochs, history
from wgtwo_pipeline.lake.outcomes import Outcome

EVERY = epochs.RECENT_EVERY_EPOCHS


def published(number):
    """An epoch with a file."""
    return Outcome(received=number), [("sms", DAYS[0], number, NOON)], ()


def grown(store, through, known=0):
    """What publishers do, one epoch after the other."""
    for number in range(known + 1, through + 1):
        part, files, _ = published(number)
        commit(store, number, part, files)
        epochs.expire(store, history.load(store), timedelta(days=1))


@pytest.fixture
def reads(monkeypatch):
    found = []
    original = MemoryStore.read
    monkeypatch.setattr(MemoryStore, "read", lambda self, key: found.append(key) or original(self, key))
    return found


@pytest.mark.parametrize("epochs_", [1, EVERY - 1, EVERY, 5 * EVERY + 3, 8 * EVERY - 1, 8 * EVERY + EVERY])
def test_a_history_is_the_same_by_few_reads(reads, monkeypatch, epochs_):
    """At any time, whatever checkpoints there are: not many more objects than epochs between two such objects."""
    monkeypatch.setattr(epochs, "CHECKPOINT_EVERY_EPOCHS", 8 * EVERY)
    store = MemoryStore()
    grown(store, epochs_)
    plain = lake([published(number) for number in range(1, epochs_ + 1)])
    reads.clear()
    past = history.load(store)
    assert len(reads) <= EVERY
    expected = history.load(plain)
    assert (past.committed, past.totals) == (epochs_, expected.totals)
    assert past.manifests == expected.manifests[past.base.epoch :]
    assert files_of(store, past) == files_of(plain, expected)


def test_without_it_only_time_is_lost(reads):
    """It may be deleted, also between a listing and the read."""
    store = MemoryStore()
    grown(store, EVERY)
    before = history.load(store)
    (key,) = store.keys(checkpoint.ROOT)
    base = checkpoint.newest(store)
    store.delete([key])
    assert history.recent.read(store, base) == ()
    assert history.load(store) == before
    grown(store, EVERY + 1, known=EVERY)  # and the next publisher writes it again
    assert len(store.keys(checkpoint.ROOT)) == 1


@pytest.mark.parametrize("damage", [lambda data: data[:-9], lambda data: b"", lambda data: b"\x1f\x8b" * 9])
def test_a_torn_one_asks_to_be_deleted(damage):
    """One clear sentence."""
    store = MemoryStore()
    grown(store, EVERY)
    (key,) = store.keys(checkpoint.ROOT)
    store.overwrite(key, damage(bytes(store.read(key))))
    with pytest.raises(CorruptError, match=f"{key} holds no manifests.*delete it"):
        history.load(store)


def test_older_ones_go_and_the_newest_of_either_kind_stays():
    """They and checkpoints are of one folder; neither takes the other for newer."""
    store = MemoryStore()
    grown(store, EVERY)
    past = history.load(store)
    checkpoint.write(store, past.base, past.manifests)
    grown(store, 3 * EVERY, known=EVERY)
    kept = store.keys(checkpoint.ROOT)
    assert len(kept) == 4
    checkpoint.expire(store, datetime.now(UTC) + timedelta(days=1))
    newest = [
        f"{checkpoint.ROOT}{EVERY:010d}.parquet",
        f"{checkpoint.ROOT}{3 * EVERY:010d}{checkpoint.RECENT_SUFFIX}",
    ]
    assert store.keys(checkpoint.ROOT) == newest
    assert history.load(store).committed == 3 * EVERY
