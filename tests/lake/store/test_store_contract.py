"""What every store promises, over a local folder, moto and (heavy) versitygw.

moto is an imitation: here it shows that the requests are right, not that S3 behaves so. Concurrency,
signatures, checksums and multipart conditions are shown by versitygw.
"""

import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import duckdb
import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from wgtwo_pipeline.errors import AlreadyExistsError, LakeError, NotFoundError
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation, ObjectInfo


def keys(store, prefix="", after=""):
    return [info.key for info in store.list(prefix, after)]


def parquet(rows, day):
    buffer = pa.BufferOutputStream()
    pq.write_table(pa.table({"x": range(rows), "date": [day] * rows}), buffer)
    return buffer.getvalue()


def test_reads_what_was_created(store):
    """An object has exactly the bytes it was created with, whatever kind of buffer they came in."""
    for number, data in enumerate(
        [b"bytes", bytearray(b"array"), memoryview(b"view"), pa.py_buffer(b"arrow"), b""]
    ):
        store.create(f"a/{number}", data)
        assert bytes(store.read(f"a/{number}")) == bytes(memoryview(data))


def test_create_again_with_same_content_succeeds(store):
    """Creating twice with the same content is as creating once."""
    store.create("a/b", b"same")
    store.create("a/b", b"same")
    assert keys(store) == ["a/b"]


@pytest.mark.parametrize("other", [b"others", b"longer than it", b"", b"o"])
def test_create_never_changes_an_object(store, other):
    """Creating with other content is refused and changes nothing."""
    store.create("a/b", b"object")
    with pytest.raises(AlreadyExistsError, match="a/b"):
        store.create("a/b", other)
    assert bytes(store.read("a/b")) == b"object"


def test_one_of_many_creators_wins(store):
    """Of concurrent creators with different content one succeeds, and its content stays."""

    def attempt(number):
        try:
            store.create("epochs/0000000001/sealed.json", str(number).encode() * 1000)
        except AlreadyExistsError:
            return None
        return number

    with ThreadPoolExecutor(8) as pool:
        winners = [number for number in pool.map(attempt, range(8)) if number is not None]
    assert len(winners) == 1
    assert bytes(store.read("epochs/0000000001/sealed.json")) == str(winners[0]).encode() * 1000


def test_missing_object(store):
    """What does not exist is NotFoundError, and nothing else is."""
    with pytest.raises(NotFoundError, match="a/missing"):
        store.read("a/missing")
    with pytest.raises(NotFoundError, match="a/missing"):
        store.open("a/missing")
    with pytest.raises(NotFoundError, match="a/missing"):
        list(store.read_many(["a/missing"]))


def test_list_describes_objects(store):
    """A listing gives key, size in bytes and time of creation in UTC."""
    before = datetime.now(UTC) - timedelta(seconds=2)
    store.create("a/b", b"12345")
    [info] = store.list("a/")
    assert info == ObjectInfo("a/b", 5, info.modified)
    assert before <= info.modified <= datetime.now(UTC) + timedelta(seconds=2)


def test_list_is_in_byte_order_of_keys(store):
    """Keys come as S3 sorts them: by their bytes, where "/" comes after "-" and "." and before digits."""
    expected = [
        "a",
        "b-c/1",
        "b.c",
        "b/1",
        "b/10",
        "b/2",
        "b0",
        "c/d/e/f",
        "date=2026-11-23/H",
        "date=2026-11-23/h",
    ]
    for key in random.sample(expected, len(expected)):
        store.create(key, b"x")
    assert keys(store) == expected
    assert keys(store, "b/") == ["b/1", "b/10", "b/2"]
    assert keys(store, "nothing/") == keys(store, "b/1/") == []
    for position, after in enumerate(expected):
        assert keys(store, "", after) == expected[position + 1 :]
    assert keys(store, "b/", "b/10") == ["b/2"]
    assert keys(store, "b/", "b/15") == ["b/2"]
    assert keys(store, "b/", "b/1/x") == ["b/10", "b/2"]


segments = st.text("ab-.0=_Z", min_size=1, max_size=3).filter(lambda text: text.strip("."))
key_sets = st.sets(st.lists(segments, min_size=1, max_size=4).map("/".join), max_size=12)


@given(
    wanted=key_sets, after=st.lists(segments, max_size=4).map("/".join), prefix=st.lists(segments, max_size=2)
)
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
    deadline=None,
)
def test_local_list_is_a_sorted_filter(tmp_path_factory, wanted, after, prefix):
    """For any keys, prefix and start the local listing is what a sort and a filter of all keys give."""
    # A name cannot be a file and a folder at once on a disk.
    wanted = {key for key in wanted if not any(other.startswith(f"{key}/") for other in wanted)}
    store = open_store(LakeLocation(str(tmp_path_factory.mktemp("lake"))))
    store.check()
    for key in wanted:
        store.create(key, b"x")
    start = "".join(f"{name}/" for name in prefix)
    assert keys(store, start, after) == sorted(key for key in wanted if key.startswith(start) and key > after)


def test_long_listing_is_whole(store):
    """A listing of more than one page has every key once, and starts behind `after` in any of them."""
    expected = [f"p/{number:05d}" for number in range(1100)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: store.create(key, b"x"), expected))
    assert keys(store, "p/") == expected
    assert keys(store, "p/", "p/00999") == expected[1000:]
    store.delete(expected)
    assert keys(store) == []


def test_read_many_keeps_order(store):
    """Many reads come in the order asked for, also when the sizes allow one at a time; the first missing
    one raises after those before it.
    """
    contents = {f"r/{number:03d}": bytes([number % 256]) * number for number in range(100)}
    for key, data in contents.items():
        store.create(key, data)
    order = random.sample(sorted(contents), len(contents))
    assert [bytes(data) for data in store.read_many(order)] == [contents[key] for key in order]
    assert [bytes(data) for data in store.read_many(order, [1 << 40] * 100)] == [
        contents[key] for key in order
    ]
    reads = store.read_many(["r/001", "r/missing", "r/002"])
    assert bytes(next(reads)) == contents["r/001"]
    with pytest.raises(NotFoundError):
        next(reads)
    assert list(store.read_many([])) == []


def test_delete(store):
    """A deleted object is gone, deleting it again or what never was is no error, and its key is free."""
    store.create("a/b/c", b"1")
    store.create("a/d", b"2")
    store.delete(["a/b/c", "a/b/c", "never/was"])
    store.delete([])
    assert keys(store) == ["a/d"]
    store.create("a/b/c", b"new")
    assert bytes(store.read("a/b/c")) == b"new"


def test_open_reads_ranges(store):
    """An opened object is a seekable file."""
    data = random.Random(1).randbytes(300_000)
    store.create("a/b", data)
    with store.open("a/b") as file:
        assert file.read() == data
        for start, length in [
            (299_990, 100),
            (0, 10),
            (5, 200_000),
            (100_000, 1),
            (299_999, 1),
            (300_000, 5),
        ]:
            file.seek(start)
            assert file.tell() == start
            assert file.read(length) == data[start : start + length]
        file.seek(-8, 2)
        assert file.read() == data[-8:]


def test_parquet_readers(store):
    """pyarrow reads a file, pyarrow datasets and DuckDB read a table with its partitions, by uri."""
    for day in ("2026-11-22", "2026-11-23"):
        store.create(f"tables/sms/day={day}/0000000001-000.parquet", parquet(50_000, day))
    with store.open("tables/sms/day=2026-11-23/0000000001-000.parquet") as file:
        assert pq.ParquetFile(file).read().num_rows == 50_000
    connection = duckdb.connect()
    connection.register_filesystem(store.filesystem())
    glob = store.uri("tables/sms/*/*.parquet")
    query = f"SELECT count(*), sum(x) FROM read_parquet('{glob}', hive_partitioning=true)"
    assert connection.execute(query).fetchall() == [(100_000, 2 * sum(range(50_000)))]
    assert connection.execute(f"{query} WHERE date = '2026-11-23'").fetchall() == [
        (50_000, sum(range(50_000)))
    ]
    folder = store.uri("tables/sms/").removeprefix("s3://")
    dataset = pyarrow.dataset.dataset(folder, filesystem=store.filesystem(), partitioning="hive")
    assert dataset.count_rows() == 100_000


def test_check_leaves_nothing_and_can_be_repeated(store):
    """A check leaves no object behind, also when it runs twice at once."""
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda _: store.check(), range(4)))
    assert keys(store) == []


def test_readers_check_writes_nothing(location):
    """A reader's check neither creates a lake nor needs to write to it."""
    reader = open_store(location)
    if "://" not in location.url:
        with pytest.raises(LakeError, match="does not exist"):
            reader.check(writes=False)
        reader.check()
    reader.check(writes=False)
    assert keys(reader) == []


def test_location_and_store_travel_without_secrets(store, location):
    """A store is one per process and location; pickled it is only its location."""
    assert open_store(pickle.loads(pickle.dumps(location))) is store
    assert pickle.loads(pickle.dumps(store)) is store
    store.create("a", b"x")  # clients exist now
    assert b"testsecretkey" not in pickle.dumps(store)
    assert "testsecretkey" not in repr(store) + repr(vars(store)) + repr(location)
