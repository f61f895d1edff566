"""However much waits, and however large it is: epochs, groups and segments are bounded."""

import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import lakes
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wgtwo_pipeline.audit import audit
from wgtwo_pipeline.lake import epochs, history, journal
from wgtwo_pipeline.lake.manifest import Parameters, Sealed, SegmentRef
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.publish import rooms


@pytest.fixture
def store(tmp_path: Path):
    opened = open_store(LakeLocation(str(tmp_path / "lake")))
    opened.check()
    return opened


def small_epochs(monkeypatch, **limits):
    """The publisher of these tests takes its limits from here."""
    bounded = epochs.Limits(**limits)
    monkeypatch.setattr(rooms.epochs, "Limits", lambda: bounded)


def publish_all(store):
    return list(iter(lambda: lakes.publish(store), None))


def test_a_backlog_is_worked_off_in_epochs_of_bounded_rows(store, monkeypatch):
    """After an outage of publish: epoch after epoch, oldest first, none larger than the limit, nothing left."""
    small_epochs(monkeypatch, rows=10)
    for number in range(25):
        lakes.journal(store, *(lakes.sms(4 * number + n, lakes.at(4 * number + n)) for n in range(4)))
    manifests = publish_all(store)
    assert [manifest.received for manifest in manifests] == [8] * 12 + [4]
    newest = [max(file.max_timestamp for file in manifest.files) for manifest in manifests]
    assert newest == sorted(newest)
    assert list(journal.segments(store)) == []
    assert audit.examine(store, deep=True)[0].total == 0


def test_a_backlog_is_worked_off_in_epochs_of_bounded_bytes(store, monkeypatch):
    """By the segments' sizes; one that alone is larger than the limit is an epoch of its own."""
    sizes = [1, 1, 400, 1, 1, 1]
    keys = [lakes.journal(store, lakes.sms(n, text="x" * 100 * size)) for n, size in enumerate(sizes)]
    small = max(info.size for info in journal.segments(store) if info.key not in (keys[2],))
    small_epochs(monkeypatch, bytes=2 * small)
    assert [manifest.received for manifest in publish_all(store)] == [2, 1, 2, 1]


def test_heartbeats_before_a_large_segment_do_not_hold_it_up(store, monkeypatch):
    """They are sealed together with it, however small the limit."""
    small_epochs(monkeypatch, bytes=1)
    for _ in range(3):
        lakes.journal(store)
    lakes.journal(store, lakes.sms(1))
    assert [manifest.received for manifest in publish_all(store)] == [1]


@given(
    st.lists(st.tuples(st.integers(0, 50), st.integers(1, 400), st.sampled_from("ab")), max_size=40),
    st.integers(1, 60),
    st.integers(1, 500),
)
@settings(deadline=None)
def test_groups_are_bounded_and_hold_each_segment_once_in_order(segments, rows, size):
    """Of one subscription each, larger than the bounds only where a single segment is; never none at all."""
    refs = tuple(
        SegmentRef(journal.SegmentName(name, lakes.at(number), "w", number, count).key, count, length)
        for number, (count, length, name) in enumerate(segments)
    )
    parameters = Parameters("", rows_per_group=rows, bytes_per_group=size)
    groups = epochs.groups(Sealed(1, datetime.now(UTC), "w", parameters, refs))
    assert groups  # an epoch without segments, which an erasure may need, is one group without any
    for group in groups:
        subscriptions = {journal.SegmentName.parse(each.key).subscription for each in group.segments}
        assert len(subscriptions) == (1 if refs else 0)
        if len(group.segments) > 1:
            assert sum(each.rows for each in group.segments) <= rows
            assert sum(each.bytes for each in group.segments) <= size
    grouped = [each for group in groups for each in group.segments]
    assert sorted(grouped, key=refs.index) == sorted(refs, key=refs.index)
    for name in "ab":
        own = [each for each in refs if f"/{name}/" in each.key]
        assert [each for each in grouped if each in own] == own
    assert [group.number for group in groups] == list(range(len(groups)))


def test_an_epoch_of_many_heartbeats_is_split_in_a_moment():
    """50,000 segments of no rows are one group: summing up anew for each of them would take minutes."""
    start = datetime(2026, 11, 23, tzinfo=UTC)
    refs = tuple(
        SegmentRef(journal.SegmentName("s", start + timedelta(seconds=n), "w", n, 0).key, 0, 1)
        for n in range(50_000)
    )
    started = time.process_time()  # its own work: others may have the cores meanwhile
    (group,) = epochs.groups(Sealed(1, start, "w", Parameters(""), refs))
    assert len(group.segments) == 50_000
    assert time.process_time() - started < 20


def test_large_deliveries_are_journaled_in_several_segments(store, monkeypatch):
    """Each of bounded bytes or one delivery; in order, none lost, none twice, no name used twice."""
    monkeypatch.setattr(journal, "SEGMENT_BYTES", 1000)
    texts = [10, 2000, 300, 300, 300, 5000, 5000, 10]
    lakes.journal(store, *(lakes.sms(n, text="x" * size) for n, size in enumerate(texts)))
    found = [segment for _, segment in journal.read(store, [info.key for info in journal.segments(store)])]
    assert [len(segment.deliveries) for segment in found] == [1, 1, 2, 1, 1, 1, 1]
    manifest = lakes.publish(store)
    assert (manifest.received, manifest.published) == (8, 8)


def test_an_epoch_of_many_dates_is_shuffled_in_few_parts(store):
    """Not one for each date; and every date has its file."""
    days = 300
    lakes.journal(store, *(lakes.sms(n, lakes.at(n, day=n % days)) for n in range(2 * days)))
    settings = rooms.PublishSettings(store.location, "test", Parameters(""), epochs.Limits(), 3600)
    (group,) = rooms.Seal(settings).process(None)
    keys = [each[0] for each in rooms.Decode(settings).process(group) if not hasattr(each, "tag")]
    assert len(keys) == len(set(keys)) <= 16
    manifest = lakes.publish(store)
    assert len({file.date for file in manifest.files}) == len(manifest.files) == days
    assert all(file.rows == 2 for file in manifest.files)
    assert audit.examine(store, deep=True)[0].total == 0


def test_a_redelivery_in_an_epoch_of_many_dates_is_found(store):
    """Dates share shards; rows of one do not count for another."""
    lakes.journal(store, *(lakes.sms(n, lakes.at(day=n)) for n in range(40)))
    lakes.publish(store)
    lakes.journal(store, *(lakes.sms(n, lakes.at(day=n), redelivered=True) for n in range(20, 60)))
    manifest = lakes.publish(store)
    assert (manifest.published, manifest.duplicates) == (20, 20)
    assert audit.examine(store, deep=True)[0].total == 0


def test_retention_deletes_only_what_a_committed_manifest_covers(store, monkeypatch):
    """Retained copies go with their age, those of an open epoch and the journal never."""
    lakes.journal(store, lakes.sms(1))
    lakes.publish(store)
    lakes.journal(store, lakes.sms(2))
    lakes.publish(store, commits=False, writes=())
    waiting = lakes.journal(store, lakes.sms(3))
    before = {info.key for info in store.list("")}
    epochs.expire(store, history.load(store), timedelta(seconds=-1))
    gone = before - {info.key for info in store.list("")}
    assert gone == {"retained/0000000001-0000.arrow"}
    assert waiting in before
