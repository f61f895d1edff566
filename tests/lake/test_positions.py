"""Where a subscription has got to, and gaps: recorded once, with their bounds, and none where there is none."""

from datetime import UTC, datetime, timedelta

import lakes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from memory_store import MemoryStore
from wgtwo_pipeline.errors import CorruptError
from wgtwo_pipeline.lake import journal, positions
from wgtwo_pipeline.lake.journal import SegmentName, Source
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def put(store, seconds, covered, subscription="v0.test"):
    moment = NOON + timedelta(seconds=seconds)
    name = SegmentName(subscription, moment, "w", 1, 0)
    source = Source(subscription, "v0", "Subscribe")
    data = journal.encode(source, "w", 1, NOON + timedelta(seconds=covered), journal.batch([], []))
    store.create(name.key, data)
    return name.key


def test_a_new_lake_covers_nothing():
    """Where nothing was ever journaled, the configured start counts."""
    assert positions.covered_until(MemoryStore(), "v0.test") is None


def test_the_newest_segment_says_it():
    """Of this subscription, not of another."""
    store = MemoryStore()
    put(store, 1, 1)
    put(store, 9, 8)
    put(store, 20, 20, subscription="v0.test2")
    assert positions.covered_until(store, "v0.test") == NOON + timedelta(seconds=8)
    assert positions.covered_until(store, "v0.other") is None


def test_a_torn_segment_says_nothing():
    """The one before it does: a damaged object keeps no subscription from starting."""
    store = MemoryStore()
    put(store, 1, 1)
    store.overwrite(put(store, 9, 8), b"torn")
    store.create("journal/v0.test/zzz", b"strange")
    assert positions.covered_until(store, "v0.test") == NOON + timedelta(seconds=1)


def test_what_was_published_and_deleted_counts(tmp_path):
    """Manifests remember it when the journal is empty."""
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    key = lakes.journal(store, lakes.sms(1))
    covered = journal.decode(key, store.read(key)).covered_until
    lakes.publish(store)
    assert not list(store.list("journal/"))
    assert positions.covered_until(store, lakes.SOURCE.subscription) == covered


def test_a_segment_that_is_published_at_this_moment_counts(tmp_path):
    """Between the listing and the reading the publisher may delete it: then the manifest has it."""
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    key = lakes.journal(store, lakes.sms(1))
    covered = journal.decode(key, store.read(key)).covered_until

    class Overtaken:
        def __getattr__(self, name):
            return getattr(store, name)

        def list(self, prefix, after=""):
            found = list(store.list(prefix, after))
            if prefix.startswith("journal/") and found:
                lakes.publish(store)
            return iter(found)

    assert positions.covered_until(Overtaken(), lakes.SOURCE.subscription) == covered


def test_no_gap_is_recorded_where_there_is_none(caplog):
    """Up to the very moment."""
    store = MemoryStore()
    positions.record_missed(store, "v0.test", NOON, NOON)
    positions.record_missed(store, "v0.test", NOON, NOON - timedelta(seconds=1))
    assert not store.objects
    assert not caplog.records


def test_a_gap_is_recorded_once_and_told(caplog):
    """Also where it is found again, by another process."""
    store, end = MemoryStore(), NOON + timedelta(minutes=10)
    for _ in range(2):
        positions.record_missed(store, "v0.test", NOON, end)
    assert list(positions.gaps(store)) == [positions.Gap("v0.test", NOON, end)]
    assert "GAP: events of v0.test from 2026-11-23T12:00:00.000000Z to 2026-11-23T12:10:00" in caplog.text


def test_a_gap_that_grew_is_recorded_again():
    """With both bounds: what was told first stays told."""
    store = MemoryStore()
    ends = [NOON + timedelta(minutes=minutes) for minutes in (10, 20)]
    for end in ends:
        positions.record_missed(store, "v0.test", NOON, end)
    assert [gap.end for gap in positions.gaps(store)] == ends


@given(
    found=st.sets(st.tuples(st.sampled_from("ab"), st.integers(0, 10**9), st.integers(1, 10**9)), max_size=5)
)
def test_gaps_are_read_as_they_were_recorded(found):
    """By subscription, then by time."""
    store = MemoryStore()
    wanted = [
        positions.Gap(name, NOON + timedelta(microseconds=at), NOON + timedelta(microseconds=at + length))
        for name, at, length in found
    ]
    for gap in wanted:
        positions.record_missed(store, gap.subscription, gap.start, gap.end)
    assert list(positions.gaps(store)) == sorted(
        wanted, key=lambda gap: (gap.subscription, gap.start, gap.end)
    )


def test_what_is_no_gap_s_record_is_named():
    """A damaged record must not pass for none."""
    store = MemoryStore()
    store.create("gaps/v0.test/x.json", b"{}")
    with pytest.raises(CorruptError, match=r"gaps/v0\.test/x\.json"):
        list(positions.gaps(store))
