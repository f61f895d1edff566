"""The bytes of a file that takes another's place: the same rows, and nowhere to be taken for the other's."""

import random
from datetime import UTC, datetime, timedelta

import hypothesis.strategies as st
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from wgtwo_pipeline.lake import parquet

START = datetime(2026, 11, 23, tzinfo=UTC)

texts = st.one_of(st.none(), st.sampled_from(["+4790000001", "+4790000002", "", "æ"]), st.text(max_size=20))
columns = {
    "timestamp": (
        pa.timestamp("us", "UTC"),
        st.integers(0, 86_399).map(lambda s: START + timedelta(seconds=s)),
    ),
    "sequence": (pa.int64(), st.integers(-(2**63), 2**63 - 1)),
    "owner_phone_number": (pa.string(), texts),
    "text": (pa.string(), texts),
    "payload": (pa.binary(), st.one_of(st.none(), st.binary(max_size=30))),
    "participants": (pa.list_(pa.string()), st.one_of(st.none(), st.lists(texts, max_size=3))),
    "duration": (
        pa.duration("us"),
        st.one_of(st.none(), st.integers(0, 10**9).map(lambda n: timedelta(seconds=n))),
    ),
    "date": (pa.date32(), st.just(START.date())),
}


@st.composite
def tables(draw):
    names = draw(st.lists(st.sampled_from(sorted(columns)), min_size=1, unique=True))
    rows = draw(st.integers(0, 40))
    repeated = draw(st.sampled_from([1, 1, 50]))
    values = {
        name: pa.array(
            draw(st.lists(columns[name][1], min_size=rows, max_size=rows)) * repeated, columns[name][0]
        )
        for name in names
    }
    return pa.table(values)


def read(data):
    return pq.ParquetFile(pa.BufferReader(data)).read()


def beginnings(data):
    """Where each column's chunks and first data pages begin, and in which codec: by the footer alone."""
    footer = pq.ParquetFile(pa.BufferReader(data)).metadata
    found = set()
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            chunk = footer.row_group(group).column(number)
            found |= {
                (offset, chunk.compression)
                for offset in (chunk.dictionary_page_offset, chunk.data_page_offset)
                if offset
            }
    return found


def codecs(data):
    return {codec for _, codec in beginnings(data)}


@given(rows=tables(), groups=st.sampled_from([1, 1, 2, 3, 7]), seed=st.integers(0, 2**32))
@settings(max_examples=100, deadline=None)
def test_each_generation_differs_from_the_one_before(rows, groups, seed):
    """Whatever rows are taken out, one time after the other: what is left is read back in order with its types and
    metadata, no chunk has a codec that one of the file before has, the sizes differ, and the same again gives the
    same bytes.
    """
    chance = random.Random(seed)
    group_rows = max(1, len(rows) // groups)
    earlier = [parquet.encode(rows.replace_schema_metadata({"wgtwo.table": "sms"}), group_rows)]
    for generation in range(4):
        keep = [chance.random() < 0.7 for _ in range(len(rows))]
        rows = rows.filter(pa.array(keep, pa.bool_()))
        left = read(earlier[-1]).filter(pa.array(keep, pa.bool_()))
        new = parquet.reencode(earlier[-1], left, {"wgtwo.erasures": f"{generation}"})
        assert new.equals(parquet.reencode(earlier[-1], left, {"wgtwo.erasures": f"{generation}"}))
        found = read(new)
        assert found.equals(rows)
        assert found.schema.equals(rows.schema)
        assert found.schema.metadata[b"wgtwo.erasures"] == b"%d" % generation
        assert found.schema.metadata[b"wgtwo.table"] == b"sms"
        assert len(new) != len(earlier[-1])
        assert not beginnings(new) & beginnings(earlier[-1])
        assert not codecs(new) & codecs(earlier[-1])
        earlier.append(new)


def test_the_first_chunk_differs_from_the_two_before():
    """The codec at the beginning, where every file has a chunk, is not that of either of the last two files."""
    rows = pa.table({"timestamp": range(1000), "owner_phone_number": ["+4790000001"] * 1000})
    first = []
    old = parquet.encode(rows, 1000)
    for _ in range(6):
        first += [codec for offset, codec in beginnings(old) if offset == 4]
        rows = rows.slice(1)
        old = parquet.reencode(old, rows, {})
    assert first == ["ZSTD", "GZIP", "SNAPPY"] * 2


def test_nothing_taken_out():
    """A file of the same rows, whose own length would be that of the one it replaces, has another length."""
    rows = pa.table({"x": pa.array([], pa.int64())})
    old = parquet.encode(rows, 10)
    for _ in range(6):
        new = parquet.reencode(old, read(old), {})
        assert len(new) != len(old)
        assert len(read(new)) == 0
        old = new


def test_row_groups_are_those_of_the_file():
    """The new file's row groups have as many rows as the old one's: it is read in as little memory."""
    rows = pa.table({"x": range(1000)})
    old = parquet.encode(rows, 128)
    footer = pq.ParquetFile(pa.BufferReader(parquet.reencode(old, rows.slice(1), {}))).metadata
    assert [footer.row_group(number).num_rows for number in range(footer.num_row_groups)] == [128] * 7 + [103]


@pytest.mark.parametrize("codec", ["NONE", "BROTLI", "LZ4"])
def test_files_of_others(codec):
    """A file that something else wrote, with a codec that is not ours, can be replaced too."""
    rows = pa.table({"x": range(1000), "y": ["a"] * 1000})
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression=codec)
    new = parquet.reencode(sink.getvalue(), rows.slice(10), {})
    assert read(new).equals(rows.slice(10))
    assert not codecs(new) & codecs(sink.getvalue())
    assert not beginnings(new) & beginnings(sink.getvalue())
