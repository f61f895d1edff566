"""What is written is what readers find, under the same name however often an epoch is redone."""

import datetime
import hashlib
import itertools

import duckdb
import polars
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq
import pytest
from wgtwo_pipeline.errors import CorruptError
from wgtwo_pipeline.events.tables import QUARANTINE, catalog, current_descriptors
from wgtwo_pipeline.lake.manifest import Parameters
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.publish import write

TIME = pa.timestamp("us", "UTC")
START = datetime.datetime(2026, 11, 23, 9, tzinfo=datetime.UTC)
PARAMETERS = Parameters("d", rows_per_file=1000, row_group_rows=100)


@pytest.fixture
def store(tmp_path):
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    return store


def rows_of(schema, count, texts="{name} {n}"):
    """Rows of any table, all of one hour, in order."""
    values = {
        pa.string(): lambda name, n: texts.format(name=name, n=n),
        pa.binary(): lambda name, n: texts.format(name=name, n=n).encode(),
        pa.int64(): lambda _, n: 2**63 - 1 - n,
        pa.bool_(): lambda _, n: n % 3 == 0,
        pa.list_(pa.string()): lambda name, n: [name] * (n % 3),
        TIME: lambda _, n: START + datetime.timedelta(microseconds=n),
        pa.date32(): lambda *_: START.date(),
    }
    columns = []
    for field in schema:
        column = [values[field.type](field.name, n) for n in range(count)]
        if field.type == pa.string():
            column[6::7] = [None] * len(column[6::7])
        columns.append(pa.array(column, field.type))
    return pa.table(columns, schema=schema)


@pytest.mark.parametrize("name", [*catalog(current_descriptors()), "quarantine"])
def test_a_file_holds_the_rows_it_was_given(store, name):
    """Every table's rows come back as they were, and the description of the file is true."""
    schema = QUARANTINE if name == "quarantine" else catalog(current_descriptors())[name].schema
    rows = rows_of(schema, 250)
    (file,) = write.write(store, rows, name, 12, PARAMETERS)
    prefix = "quarantine" if name == "quarantine" else f"tables/{name}"
    number = "" if name == "quarantine" else "-000"
    assert file.key == f"{prefix}/day=2026-11-23/0000000012{number}.parquet"
    data = store.read(file.key)
    read = pq.read_table(pa.BufferReader(data), partitioning=None)
    assert read.schema == schema
    assert read.equals(rows)
    assert (file.table, file.date, file.rows, file.bytes) == (name, START.date(), 250, len(data))
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    assert file.min_timestamp == START
    assert file.max_timestamp == START + datetime.timedelta(microseconds=249)
    assert type(file).from_json(file.to_json()) == file
    assert pq.ParquetFile(pa.BufferReader(data)).num_row_groups == 3


def test_times_and_sequences_are_deltas_and_dictionaries_only_where_values_recur(store):
    """The encodings are those that were measured smallest, and no text column with own values has a dictionary."""
    rows = rows_of(catalog(current_descriptors())["voice"].schema, 5000)
    recurring = pa.array(["CALL_ENDED", "CALL_RINGING"] * 2500)
    rows = rows.set_column(rows.schema.names.index("type"), "type", recurring)
    (file,) = write.write(store, rows, "voice", 1, Parameters("d"))
    group = pq.ParquetFile(store.open(file.key)).metadata.row_group(0)
    columns = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    encodings = {name: set(column.encodings) - {"RLE", "PLAIN"} for name, column in columns.items()}
    assert encodings["timestamp"] == encodings["sequence"] == {"DELTA_BINARY_PACKED"}
    assert encodings["call_id"] == {"DELTA_LENGTH_BYTE_ARRAY"}
    assert encodings["type"] == encodings["date"] == {"RLE_DICTIONARY"}
    assert {column.compression for column in columns.values()} == {"ZSTD"}


def test_large_partitions_are_split_by_rows(store):
    """No file has more rows than asked; together they are the rows, in order; the names count up."""
    rows = rows_of(catalog(current_descriptors())["sms"].schema, 2500)
    files = write.write(store, rows, "sms", 3, PARAMETERS)
    assert [f.rows for f in files] == [1000, 1000, 500]
    assert [f.key for f in files] == [
        f"tables/sms/day=2026-11-23/0000000003-{n:03d}.parquet" for n in range(3)
    ]
    parts = [pq.read_table(store.open(f.key), partitioning=None) for f in files]
    assert pa.concat_tables(parts).equals(rows)
    assert all(a.max_timestamp < b.min_timestamp for a, b in itertools.pairwise(files))


def test_large_rows_are_split_by_bytes(store, monkeypatch):
    """Rows of megabytes are split so that no file is far larger than the bound; a larger row is a file alone."""
    monkeypatch.setattr(write, "BYTES_PER_FILE", 10_000)
    rows = rows_of(QUARANTINE, 8)
    payloads = [b"x" * size for size in (4000, 4000, 4000, 30_000, 1, 1, 1, 9900)]
    rows = rows.set_column(7, "payload", pa.array(payloads, pa.binary()))
    files = write.write(store, rows, "quarantine", 3, PARAMETERS)
    assert [f.rows for f in files] == [2, 1, 1, 3, 1]
    assert [f.key for f in files][:2] == [
        "quarantine/day=2026-11-23/0000000003.parquet",
        "quarantine/day=2026-11-23/0000000003-001.parquet",
    ]
    parts = [pq.read_table(store.open(f.key), partitioning=None) for f in files]
    assert pa.concat_tables(parts).equals(rows)


def test_how_rows_lie_in_memory_changes_nothing(store):
    """Chunks and slices of the same rows give the same files, so that a redo meets the first try."""
    whole = rows_of(catalog(current_descriptors())["sms"].schema, 1500)
    chunked = pa.concat_tables([whole.slice(0, 1100), whole.slice(1100)])
    first = write.write(store, whole, "sms", 3, PARAMETERS)
    assert write.write(store, chunked, "sms", 3, PARAMETERS) == first


def test_redo_describes_what_is_there(store):
    """An object with the same rows and other bytes, as another library version writes it, is described as it is."""
    rows = rows_of(catalog(current_descriptors())["sms"].schema, 10)
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="none")
    data = sink.getvalue().to_pybytes()
    key = "tables/sms/day=2026-11-23/0000000003-000.parquet"
    store.create(key, data)
    (file,) = write.write(store, rows, "sms", 3, PARAMETERS)
    assert (file.bytes, file.sha256) == (len(data), hashlib.sha256(data).hexdigest())
    assert bytes(store.read(key)) == data


@pytest.mark.parametrize("content", ["fewer rows", "no Parquet"])
def test_other_rows_are_refused(store, content):
    """An object that holds other rows than its epoch is neither replaced nor passed over."""
    rows = rows_of(catalog(current_descriptors())["sms"].schema, 10)
    key = "tables/sms/day=2026-11-23/0000000003-000.parquet"
    if content == "fewer rows":
        write.write(store, rows.slice(0, 9), "sms", 3, PARAMETERS)
    else:
        store.create(key, b"no Parquet")
    with pytest.raises(CorruptError, match=key):
        write.write(store, rows, "sms", 3, PARAMETERS)


def test_nothing_is_written_of_no_rows(store):
    """No rows, no object."""
    rows = rows_of(catalog(current_descriptors())["sms"].schema, 0)
    assert write.write(store, rows, "sms", 3, PARAMETERS) == []
    assert list(store.list("")) == []


def test_reasons_are_counted():
    """The manifest learns how many deliveries were quarantined for which reason."""
    rows = pa.table({"reason": ["no_event", "undecodable", "no_event"]})
    assert write.reasons(rows) == {"no_event": 2, "undecodable": 1}


@pytest.mark.parametrize("partition_by", ["date", "hour"])
def test_readers_agree_on_the_partition_columns(store, partition_by):
    """pyarrow, DuckDB and polars read a table by folder with `date` as a date, hive partitions or not."""
    rows = rows_of(catalog(current_descriptors())["sms"].schema, 10)
    (file,) = write.write(store, rows, "sms", 1, Parameters("d", partition_by=partition_by))
    assert ("/hour=09/" in file.key) == (partition_by == "hour")
    folder = store.uri("tables/sms")
    assert pyarrow.dataset.dataset(folder).to_table().equals(rows)
    by_folder = pyarrow.dataset.dataset(folder, partitioning="hive").to_table()
    assert by_folder.select(rows.schema.names).equals(rows)
    keys = {"day": ["2026-11-23"], **({"hour": [9]} if partition_by == "hour" else {})}
    assert {
        name: by_folder[name].unique().to_pylist() for name in by_folder.column_names[len(rows.schema) :]
    } == keys
    files = f"{folder}/**/*.parquet"
    for hive_partitioning in ("true", "false"):
        sql = f"SELECT count(*), any_value(date) FROM read_parquet('{files}', hive_partitioning={hive_partitioning})"
        assert duckdb.sql(sql + " WHERE date = DATE '2026-11-23'").fetchall() == [(10, START.date())]
    read = polars.scan_parquet(files, hive_partitioning=True).collect()
    assert read.schema["date"] == polars.Date
    assert read.height == 10
