"""Seals and manifests: what is written is what is read, and outcomes add up in whatever order they come."""

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wgtwo_pipeline.errors import CorruptError
from wgtwo_pipeline.lake import manifest as m
from wgtwo_pipeline.lake.outcomes import Outcome, combine

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
moments = st.integers(-(10**16), 10**16).map(lambda us: NOON + timedelta(microseconds=us))
counts = st.integers(0, 1_000)
keys = st.text("abc/0123", min_size=1, max_size=8)
refs = st.builds(m.SegmentRef, keys, counts, counts)
table_counts = st.dictionaries(
    st.sampled_from(["sms", "voice", "quarantine"]), st.builds(m.TableCount, counts, counts, counts)
)
files = st.builds(
    m.TableFile, keys, st.sampled_from(["sms", "voice"]), st.dates(), counts, counts, keys, moments, moments
)
outcomes = st.builds(
    Outcome,
    received=counts,
    subscriptions=st.dictionaries(st.sampled_from("ab"), st.builds(m.Received, counts, moments)),
    tables=table_counts,
    files=st.lists(files, max_size=2).map(tuple),
    reasons=st.dictionaries(st.sampled_from("xy"), counts),
    retained=st.lists(refs, max_size=2).map(tuple),
    unreadable=st.lists(st.builds(m.Unreadable, keys, counts, keys), max_size=2).map(tuple),
)
seals = st.builds(
    m.Sealed, st.integers(1, 10**9), moments, keys, st.builds(m.Parameters, keys), st.lists(refs).map(tuple)
)


@given(seal=seals)
def test_a_seal_is_read_as_it_was_written(seal):
    """The order of its members, too: it is the order in which they are published."""
    assert m.Sealed.from_bytes("key", seal.to_bytes()) == seal


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(outcomes, max_size=4), epoch=st.integers(1, 10**9))
def test_a_manifest_is_read_as_it_was_written(parts, epoch):
    """With every count, file and time."""
    manifest = combine(epoch, NOON, epoch - 1, parts, ["restored"])
    assert m.Manifest.from_bytes("key", manifest.to_bytes()) == manifest


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(outcomes, max_size=4), data=st.data())
def test_outcomes_add_up_in_any_order(parts, data):
    """A runner passes them on as it likes; whoever commits writes the same bytes."""
    mixed = data.draw(st.permutations(parts))
    unique = len({file.key for part in parts for file in part.files}) == sum(len(p.files) for p in parts)
    first, second = (combine(3, NOON, 2, each) for each in (parts, mixed))
    assert first.received == second.received == sum(part.received for part in parts)
    assert (first.tables, first.subscriptions, first.reasons) == (
        *(second.tables, second.subscriptions, second.reasons),
    )
    if unique:
        assert first.files == second.files


@settings(max_examples=40, deadline=None)
@given(parts=st.lists(outcomes, min_size=1, max_size=4))
def test_what_is_balanced_accounts_for_every_delivery(parts):
    """received = published + duplicates + quarantined + erased + unreadable, and nothing else is balanced."""
    manifest = combine(1, NOON, 0, parts)
    ended = sum(
        count.published + count.duplicates + count.erased for part in parts for count in part.tables.values()
    )
    ended += sum(segment.rows for part in parts for segment in part.unreadable)
    assert replace(manifest, received=ended).balanced()
    assert not replace(manifest, received=ended + 1).balanced()


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b"null", b'{"epoch": 1}', b'{"format": 1}', b'{"format": 1, "segments": 5}']
)
@pytest.mark.parametrize("kind", [m.Sealed, m.Manifest])
def test_what_is_neither_is_named(data, kind):
    """Damage is one error, with the key, whatever is wrong."""
    with pytest.raises(CorruptError, match="epochs/7"):
        kind.from_bytes("epochs/7", data)


def test_a_lake_of_a_newer_format_asks_for_a_newer_version():
    """And is not read half."""
    raw = json.loads(combine(1, NOON, 0, []).to_bytes()) | {"format": 9}
    with pytest.raises(CorruptError, match="use a newer version"):
        m.Manifest.from_bytes("key", json.dumps(raw).encode())


@given(first=moments, second=moments)
def test_times_sort_as_text(first, second):
    """ISO 8601 in UTC with microseconds, always of the same length."""
    assert (m.iso(first) < m.iso(second)) == (first < second)
    assert datetime.fromisoformat(m.iso(first)) == first


def test_keys_sort_by_number():
    """A listing is in the order of epochs."""
    for key in (m.sealed_key, m.manifest_key):
        assert key(9) < key(10) < key(2_000_000_000)


def test_what_was_restored_is_unreadable_no_more():
    """Until it is found unreadable again."""
    lost, other = (m.Unreadable(key, 1, "torn") for key in ("a", "b"))
    nothing = combine(1, NOON, 0, [])
    restoring = combine(2, NOON, 1, [], ["a"])
    again = combine(3, NOON, 2, [Outcome(unreadable=(lost,))], ["a"])
    assert m.still_unreadable([lost, other], [nothing]) == (lost, other)
    assert m.still_unreadable([lost, other], [nothing, restoring]) == (other,)
    assert set(m.still_unreadable([lost, other], [restoring, again])) == {lost, other}


def test_dates_and_tables_stand_in_a_manifest_as_words():
    """So that people and other programs can read it."""
    file = m.TableFile("k", "sms", date(2026, 11, 23), 1, 2, "00", NOON, NOON)
    raw = json.loads(combine(1, NOON, 0, [Outcome(files=(file,))]).to_bytes())
    assert raw["files"][0]["date"] == "2026-11-23"
    assert raw["files"][0]["min_timestamp"] == "2026-11-23T12:00:00.000000Z"
