"""A file's rows, also while an erasure replaces it, and where the file is older than a column."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakes import at, journal, publish, sms
from lakes_erased import HERS, HIS, eraser, revoke, sms_of
from wgtwo_pipeline.errors import ChangedError, CorruptError
from wgtwo_pipeline.events.tables import catalog, current_descriptors
from wgtwo_pipeline.lake import parquet, reading
from wgtwo_pipeline.source import files

SMS = catalog(current_descriptors())["sms"]
ALL = SMS.schema.names


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    monkeypatch.setattr(reading.time, "sleep", lambda seconds: None)


def published(store, *payloads, **parameters):
    """The key of the one file that these deliveries become."""
    journal(store, *payloads)
    (file,) = publish(store, **parameters).files
    return file.key


def without(store, key, sequences):
    """Replaces a file by one without these rows, as an erasure does."""
    data, tag = store.read_tagged(key)
    rows = pq.read_table(pa.BufferReader(data))
    keep = pa.array([sequence not in sequences for sequence in rows["sequence"].to_pylist()])
    store.replace(key, parquet.reencode(data, rows.filter(keep), {}), tag)


def flat(batches):
    return [number for batch in batches for number in batch]


def read(store, key, after_batch=lambda: None, columns=ALL, since=None):
    """The sequences of each batch; `after_batch` happens while the consumer has the first."""
    found = []
    for batch in files.batches(store, key, SMS, columns, since):
        found.append(batch["sequence"].to_pylist())
        if len(found) == 1:
            after_batch()
    return found


def test_rows_come_in_order_in_bounded_batches(store, monkeypatch):
    """A row group at a time, and of it so many at a time."""
    monkeypatch.setattr(files, "BATCH_ROWS", 3)
    key = published(store, *(sms(n, at(n)) for n in range(10)), row_group_rows=5)
    assert read(store, key) == [[0, 1, 2], [3, 4], [5, 6, 7], [8, 9]]


def test_a_row_group_is_read_once(store, monkeypatch):
    """Its statistics say that it is passed, also where its last row's time is the largest of the group."""
    real, numbers = pq.ParquetFile.read_row_group, []
    monkeypatch.setattr(
        pq.ParquetFile,
        "read_row_group",
        lambda parquet, number, **how: numbers.append(number) or real(parquet, number, **how),
    )
    key = published(store, *(sms(n, at(n)) for n in range(12)), row_group_rows=4)
    assert flat(read(store, key)) == list(range(12))
    assert numbers == [0, 1, 2]


@pytest.mark.parametrize("gone", [{0}, {3, 4}, {5}, {4, 5, 6}, {9}, set(range(5, 10)), set(range(10))])
def test_a_file_that_is_replaced_while_it_is_read_is_read_on_without_what_was_erased(store, gone):
    """What was emitted does not come again, what is left is not lost, what was erased does not come any more."""
    key = published(store, *(sms(n, at(n // 3)) for n in range(10)), row_group_rows=5)
    first, *others = read(store, key, lambda: without(store, key, gone))
    assert first == [0, 1, 2, 3, 4]
    assert flat(others) == [n for n in range(5, 10) if n not in gone]


def test_a_replacement_between_two_reads_of_one_object_is_met_by_beginning_again(store, monkeypatch):
    """Pinned reads say so; a reader that had half of each would give rows that are in neither."""
    key = published(store, *(sms(n, at(n)) for n in range(10)), row_group_rows=5)
    met = iter([ChangedError(key), ChangedError(key)])
    real = pq.ParquetFile.read_row_group

    def changes(parquet_file, group, **options):
        if group == 1 and (error := next(met, None)) is not None:
            raise error
        return real(parquet_file, group, **options)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", changes)
    assert read(store, key) == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert next(met, None) is None


def test_an_erased_event_is_not_emitted_again(store):
    """The real eraser: whoever reads the epoch from then on gets everybody else's events."""
    journal(store, *(sms_of(HERS if n % 2 else HIS, n, at(n)) for n in range(6)), revoke(HERS, 6, at(6)))
    (key,) = [file.key for file in publish(store).files if file.table == "sms"]
    assert flat(read(store, key)) == list(range(6))
    assert len(list(eraser(store).erase())) == 1
    assert flat(read(store, key)) == [0, 2, 4]


def test_a_file_without_rows_gives_nothing(store):
    """It stays where it is when all that it held was erased."""
    key = published(store, sms(1))
    without(store, key, {1})
    assert read(store, key) == []


def test_a_column_that_came_later_is_null(store):
    """And one that this version does not know is left out."""
    key = published(store, sms(1), sms(2, at(1)))
    rows = pq.read_table(pa.BufferReader(store.read(key)))
    older = rows.drop_columns(["text"]).append_column("unheard_of", pa.array([1, 2]))
    data, tag = store.read_tagged(key)
    store.replace(key, parquet.reencode(data, older, {}), tag)
    (batch,) = files.batches(store, key, SMS, ALL)
    assert batch.schema == SMS.schema
    assert batch["text"].to_pylist() == [None, None]
    assert batch["id"].to_pylist() == ["sms-1", "sms-2"]


def test_rows_before_a_time_are_left_out(store):
    """To the microsecond; the identity's columns are read whether asked for or not."""
    key = published(store, *(sms(n, at(n)) for n in range(10)), row_group_rows=3)
    assert flat(read(store, key, columns=["text"], since=at(4))) == [4, 5, 6, 7, 8, 9]
    (batch, *_) = files.batches(store, key, SMS, ["text"])
    assert batch.schema.names == ["timestamp", "sequence", "text"]


def test_what_is_no_parquet_is_named(store):
    """The fix is a copy."""
    key = published(store, sms(1))
    _, tag = store.read_tagged(key)
    store.replace(key, b"no such thing", tag)
    with pytest.raises(CorruptError, match=f"{key} is not the Parquet file"):
        read(store, key)


def test_a_batch_s_coder_keeps_it(store):
    """And says its size without encoding it."""
    (batch,) = files.batches(store, published(store, sms(1)), SMS, ALL)
    coder = files.BatchCoder()
    assert coder.decode(coder.encode(batch)).equals(batch)
    assert coder.estimate_size(batch) == batch.nbytes
    assert not coder.is_deterministic()
