"""Segments: what was written is what is read, damage is always noticed, and names order by time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore
from wgtwo_pipeline.errors import CorruptError, LakeError, NotFoundError
from wgtwo_pipeline.lake import journal
from wgtwo_pipeline.lake.journal import Segment, SegmentName, SegmentWriter, Source

SOURCE = Source("v0.test", "v0", "Subscribe")
NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

microseconds = st.integers(0, 4_000_000_000_000_000)
deliveries = st.lists(st.tuples(st.binary(max_size=50), microseconds), max_size=6)
moments = st.integers(-(10**16), 10**16).map(lambda us: NOON + timedelta(microseconds=us))
words = st.text("abcdefghijklmnopqrstuvwxyz0123456789._%", min_size=1, max_size=12)
names = st.builds(SegmentName, words, moments, words, st.integers(0, 99_999_999), st.integers(0, 1_000_000))


def encoded(items=((b"one", 1), (b"two", 2)), source=SOURCE, covered=NOON):
    batch = journal.batch([payload for payload, _ in items], [time for _, time in items])
    return journal.encode(source, "writer", 7, covered, batch)


@settings(max_examples=40, deadline=None)
@given(items=deliveries, covered=moments, source=st.builds(Source, words, words, words), note=words)
def test_a_segment_comes_back_as_it_was(items, covered, source, note):
    """Payloads are bytes, times microseconds, and the rest stands in the segment itself."""
    batch = journal.batch([payload for payload, _ in items], [time for _, time in items])
    data = journal.encode(source, "writer", 7, covered, batch, note)
    found = journal.decode("key", memoryview(data))
    assert (found.source, found.writer, found.counter, found.covered_until, found.note) == (
        *(source, "writer", 7, covered, note),
    )
    assert found.deliveries.schema == journal.DELIVERIES
    assert found.deliveries["payload"].to_pylist() == [payload for payload, _ in items]
    assert found.deliveries["received_at"].cast("int64").to_pylist() == [time for _, time in items]


def test_the_same_segment_has_the_same_bytes():
    """A put that is repeated after an unknown outcome meets its own content."""
    assert encoded() == encoded()


@given(at=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_any_flipped_bit_is_noticed(at, bit):
    """Wherever it is: in the deliveries, the metadata, the checksum or the magic number."""
    data = bytearray(encoded())
    data[int(at * len(data))] ^= 1 << bit
    with pytest.raises(CorruptError, match=r"journal/x.*checksum"):
        journal.decode("journal/x", memoryview(bytes(data)))


@given(kept=st.floats(0, 1, exclude_max=True))
def test_any_missing_end_is_noticed(kept):
    """A torn segment is none."""
    data = encoded()
    with pytest.raises(CorruptError):
        journal.decode("key", memoryview(data[: int(kept * len(data))]))


@given(more=st.binary(min_size=1, max_size=100))
def test_anything_appended_is_noticed(more):
    """Nor is one with something behind it."""
    with pytest.raises(CorruptError):
        journal.decode("key", memoryview(encoded() + more))


@given(name=names)
def test_a_name_is_read_as_it_was_written(name):
    """The key says all that the name does."""
    assert SegmentName.parse(name.key) == name


@given(first=names, second=names)
def test_keys_of_a_subscription_sort_by_time(first, second):
    """So that a listing is in the order of time."""
    second = SegmentName(first.subscription, second.created_at, second.writer, second.counter, second.rows)
    if first.created_at < second.created_at:
        assert first.key < second.key


def test_times_of_other_zones_are_utc_in_names():
    """A writer elsewhere sorts among the others."""
    elsewhere = NOON.astimezone(timezone(timedelta(hours=9)))
    assert SegmentName("s", elsewhere, "w", 1, 0).key == SegmentName("s", NOON, "w", 1, 0).key


@pytest.mark.parametrize(
    "key",
    [
        "journal/",
        "journal/v0.test/2026-11-23/12/x.arrow",
        "journal/v0.test/20261123T120000.000000Z-w-00000001-5.arrow",
        "journal/v0.test/2026-11-23/12/20261123-w-00000001-5.arrow",
        "retained/v0.test/2026-11-23/12/20261123T120000.000000Z-w-00000001-5.arrow",
        "journal/v0.test/2026-11-23/12/20261123T120000.000000Z-w-00000001-5.parquet",
        "journal/v0.test/2026-11-23/12/20261123T120000.000000Z-w-00000001-five.arrow",
    ],
)
def test_another_name_is_refused(key):
    """An object that is no segment is named, with what to do."""
    with pytest.raises(CorruptError, match="move it out"):
        SegmentName.parse(key)


def test_what_the_writer_has_written_can_be_read():
    """Each segment is there when `write` returns, under a name of its own that tells its rows."""
    store, times = MemoryStore(), [1, 2]
    writer = SegmentWriter(store)
    keys = [writer.write(SOURCE, [b"a", b"b"], times, NOON), writer.write(SOURCE, [], [], NOON)]
    assert [info.key for info in journal.segments(store)] == sorted(keys)
    assert [SegmentName.parse(key).rows for key in keys] == [2, 0]
    found = [segment for _, segment in journal.read(store, keys)]
    assert [segment.deliveries["payload"].to_pylist() for segment in found] == [[b"a", b"b"], []]
    assert [segment.covered_until for segment in found] == [NOON, NOON]


def test_writers_never_meet():
    """Two processes that write at the same moment use different names."""
    store = MemoryStore()
    assert SegmentWriter(store).writer != SegmentWriter(store).writer


def test_a_failed_write_can_be_repeated():
    """Under a new name: what the first try may have left behind is whole."""
    store = MemoryStore()
    writer = SegmentWriter(store)
    store.broken = True
    with pytest.raises(LakeError):
        writer.write(SOURCE, [b"a"], [1])
    store.broken = False
    key = writer.write(SOURCE, [b"a"], [1])
    assert store.keys() == [key, "lake.json"]


def test_one_bad_segment_stops_none_of_the_others():
    """Damaged, missing or another's: each is told in its place."""
    store = MemoryStore()
    writer = SegmentWriter(store)
    keys = [writer.write(SOURCE, [b"%d" % number], [number]) for number in range(5)]
    store.overwrite(keys[0], b"torn")
    store.overwrite(keys[2], bytes(store.read(keys[3])[:-1]))
    store.delete([keys[4]])
    kinds = [(key, type(found)) for key, found in journal.read(store, keys)]
    assert kinds == list(
        zip(keys, [CorruptError, Segment, CorruptError, Segment, NotFoundError], strict=True)
    )


def test_a_damaged_reading_is_read_again():
    """What only the reading damaged is no damage."""
    store = MemoryStore()
    key = SegmentWriter(store).write(SOURCE, [b"a"], [1])
    good = store.read
    store.read_many = lambda keys, sizes=None: (memoryview(bytes(good(key))[:-1]) for key in keys)
    assert [type(found) for _, found in journal.read(store, [key])] == [Segment]


def test_a_lake_that_is_gone_is_no_bad_segment():
    """Where nothing can be read, nothing is called damaged."""
    store = MemoryStore()
    key = SegmentWriter(store).write(SOURCE, [b"a"], [1])
    store.broken = True
    with pytest.raises(LakeError, match="mend it"):
        list(journal.read(store, [key]))


def test_other_objects_are_left_alone_and_told_once(caplog):
    """What someone put there by hand stops nothing."""
    store = MemoryStore()
    store.create("journal/test-of-strangers.txt", b"?")
    key = SegmentWriter(store).write(SOURCE, [b"a"], [1])
    for _ in range(3):
        assert [info.key for info in journal.segments(store)] == [key]
    assert caplog.text.count("test-of-strangers.txt is not a segment's name") == 1
