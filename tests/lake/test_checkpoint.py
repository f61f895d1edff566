"""Checkpoints say what the manifests say, and cost nothing but time where they are missing."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore
from wgtwo_pipeline.errors import CorruptError
from wgtwo_pipeline.lake import checkpoint, epochs, history
from wgtwo_pipeline.lake import manifest as m
from wgtwo_pipeline.lake.outcomes import Outcome, combine

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAYS = [date(2026, 11, 23), date(2026, 11, 24)]
TABLES = ["sms", "voice", "quarantine"]
counts = st.integers(0, 1000)
moments = st.integers(0, 10**12).map(lambda us: NOON + timedelta(microseconds=us))
parts = st.builds(
    Outcome,
    received=counts,
    subscriptions=st.dictionaries(st.sampled_from("ab"), st.builds(m.Received, counts, moments)),
    tables=st.dictionaries(st.sampled_from(TABLES), st.builds(m.TableCount, counts, counts, counts)),
    reasons=st.dictionaries(st.sampled_from("xy"), st.integers(1, 9)),
    unreadable=st.lists(
        st.builds(m.Unreadable, st.sampled_from(["s1", "s2"]), counts, st.just("torn")),
        unique_by=lambda each: each.key,
    ).map(tuple),
)
epoch = st.tuples(
    parts,
    st.lists(st.tuples(st.sampled_from(TABLES), st.sampled_from(DAYS), counts, moments), max_size=3),
    st.lists(st.sampled_from(["s1", "s2"]), max_size=1),
)


def commit(store, number, part, files, restored=()):
    """An epoch as some publisher committed it."""
    listed = tuple(
        m.TableFile(
            f"tables/{table}/day={day}/{number:010d}-{k:03d}.parquet",
            *(table, day, rows, rows * 10, "ab" * 32, moment, moment + timedelta(seconds=1)),
        )
        for k, (table, day, rows, moment) in enumerate(files)
    )
    manifest = combine(number, NOON, number - 1, [part, Outcome(files=listed)], restored)
    store.create(m.manifest_key(number), manifest.to_bytes())
    return manifest


def lake(committed):
    store = MemoryStore()
    for number, (part, files, restored) in enumerate(committed, 1):
        commit(store, number, part, files, restored)
    return store


def files_of(store, past):
    return {
        (table, day): sorted(past.files(store, table, day), key=lambda file: file.key)
        for table in TABLES
        for day in DAYS
    }


@settings(max_examples=40, deadline=None)
@given(committed=st.lists(epoch, min_size=1, max_size=6), data=st.data())
def test_a_history_is_the_same_with_checkpoints_and_without(committed, data):
    """Files, totals, what is unreadable and what is retired: whatever epochs have checkpoints."""
    store = lake(committed)
    plain = history.load(store)
    expected = files_of(store, plain)
    for last in sorted(data.draw(st.sets(st.integers(1, len(committed)), max_size=3))):
        past = history.load(store)
        wanted = [each for each in past.manifests if each.epoch <= last]
        if wanted:
            checkpoint.write(store, past.base, wanted)
            checkpoint.write(store, past.base, wanted)  # again: no harm
    short = history.load(store)
    assert short.committed == plain.committed
    assert short.retired_through == plain.retired_through
    assert short.totals == plain.totals
    assert short.unreadable == plain.unreadable
    assert files_of(store, short) == expected
    assert len(short.manifests) + short.base.epoch == plain.committed


def test_all_files_are_there_in_order():
    """Without a partition, a checkpoint gives the files of all."""
    files = [("voice", DAYS[1], 1, NOON), ("sms", DAYS[1], 2, NOON), ("sms", DAYS[0], 3, NOON)]
    store = lake([(Outcome(), files, ())])
    checkpoint.write(store, checkpoint.Checkpoint(), history.load(store).manifests)
    found = checkpoint.newest(store).files(store)
    assert [(file.table, file.date, file.rows) for file in found] == [
        *(("sms", DAYS[0], 3), ("sms", DAYS[1], 2), ("voice", DAYS[1], 1)),
    ]


def test_before_the_first_epoch_there_is_nothing():
    """An empty lake has an empty checkpoint, without an object."""
    store = MemoryStore()
    found = checkpoint.newest(store)
    assert (found.epoch, found.key, found.files(store)) == (0, None, [])


def test_the_newest_counts_and_a_known_one_is_not_read_again():
    """Later numbers win; where there is none newer, the known one is returned as it is."""
    store = lake([(Outcome(), [], ())] * 2)
    past = history.load(store)
    checkpoint.write(store, past.base, past.manifests[:1])
    first = checkpoint.newest(store)
    assert checkpoint.newest(store, first) is first
    checkpoint.write(store, past.base, past.manifests)
    assert checkpoint.newest(store, first).epoch == 2


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"", lambda data: b"PAR1" * 9])
def test_a_torn_checkpoint_asks_to_be_deleted(damage):
    """One clear sentence; and without it everything is as before."""
    store = lake([(Outcome(), [], ())])
    past = history.load(store)
    checkpoint.write(store, past.base, past.manifests)
    (key,) = store.keys(checkpoint.ROOT)
    store.overwrite(key, damage(bytes(store.read(key))))
    with pytest.raises(CorruptError, match=f"{key} is no checkpoint.*delete it"):
        history.load(store)
    store.delete([key])
    assert history.load(store) == past


def test_one_is_written_when_it_is_due(monkeypatch):
    """After so many epochs, by whoever commits."""
    monkeypatch.setattr(epochs, "CHECKPOINT_EVERY_EPOCHS", 3)
    store = lake([(Outcome(), [], ())] * 2)
    epochs.expire(store, history.load(store), timedelta(days=1))
    assert not store.keys(checkpoint.ROOT)
    commit(store, 3, Outcome(), [])
    epochs.expire(store, history.load(store), timedelta(days=1))
    assert history.load(store).base.epoch == 3


def test_older_ones_go_after_a_day_and_the_newest_stays(monkeypatch):
    """Their sizes would add up to more than the tables'; who has just begun to read one can go on."""
    monkeypatch.setattr(epochs, "CHECKPOINT_EVERY_EPOCHS", 1)
    store = MemoryStore()
    long_ago = datetime.now(UTC) - timedelta(days=2)
    for number in (1, 2, 3):
        commit(store, number, Outcome(), [("sms", DAYS[0], 1, NOON)])
        epochs.expire(store, history.load(store), timedelta(days=1))
        if number < 3:
            key = f"{checkpoint.ROOT}{number:010d}.parquet"
            store.overwrite(key, bytes(store.read(key)), long_ago)
        if number == 1:
            checkpoint.expire(store, datetime.now(UTC))
            assert store.keys(checkpoint.ROOT) == [key], "it is the newest, however old"
    assert store.keys(checkpoint.ROOT) == [f"{checkpoint.ROOT}0000000003.parquet"]
    commit(store, 4, Outcome(), [])
    epochs.expire(store, history.load(store), timedelta(0))
    assert store.keys(checkpoint.ROOT) == [f"{checkpoint.ROOT}{number:010d}.parquet" for number in (3, 4)]
    assert len(files_of(store, history.load(store))["sms", DAYS[0]]) == 3
