"""`audit` compares the Iceberg tables with the manifests, and finds what somebody else has done to them."""

import lakes
import pyarrow.parquet as pq
import pytest
from catalog_steps import bring_up, entries
from wgtwo_pipeline.audit.audit import examine
from wgtwo_pipeline.lake import iceberg
from wgtwo_pipeline.register import log, tables
from wgtwo_pipeline.register.catalogs import open_target
from wgtwo_pipeline.register.store_io import StoreIO


def found(store):
    """The audit's findings, as text."""
    return [str(finding) for finding in examine(store)[0].kept]


def load(store):
    return open_target("lake", store).load("sms")


@pytest.fixture
def registered(store):
    bring_up(store)
    return store


def test_a_registered_lake_passes(registered):
    """Every file that a table shows is compared; a table that is behind is right, too."""
    findings, _ = examine(registered)
    assert (findings.total, findings.proved["registered_files"]) == (0, 4)
    lakes.journal(registered, *(lakes.sms(n, lakes.at(n, day=2)) for n in range(100, 130)))
    lakes.publish(registered)
    assert found(registered) == []


def test_a_lake_without_a_catalog_passes(store):
    """A lake needs no catalog."""
    findings, _ = examine(store)
    assert (findings.total, findings.proved["registered_files"]) == (0, 0)


def change(store, change):
    """Somebody else commits something to the table."""
    with load(store).transaction() as transaction:
        change(transaction)


def test_a_file_that_is_shown_twice(registered):
    """An engine appended one of our files again."""
    entry = next(entries(load(registered)))

    def again(transaction):
        with transaction.update_snapshot().fast_append() as snapshot:
            snapshot.append_data_file(entry)

    change(registered, again)
    assert ["twice" in each for each in found(registered)] == [True]


def test_a_file_that_is_not_shown(registered):
    """An engine deleted rows."""

    def without(transaction):
        entry = next(entries(load(registered)))
        with transaction.update_snapshot().overwrite() as snapshot:
            snapshot.delete_data_file(entry)

    change(registered, without)
    assert ["does not show tables/sms/" in each for each in found(registered)] == [True]


def test_a_number_that_is_ahead(registered):
    """A table cannot show an epoch that nobody has committed."""
    change(registered, lambda transaction: transaction.set_properties({iceberg.REGISTERED_THROUGH: "9"}))
    assert ["up to 9, committed are 2" in each for each in found(registered)] == [True]


def test_bounds_of_text(store, monkeypatch):
    """Metadata that says the least and greatest text of a file may say phone numbers."""
    monkeypatch.setitem(tables._PROPERTIES, "write.metadata.metrics.default", "full")
    bring_up(store)
    said = found(store)
    assert any("value of text, which may be a phone number" in each for each in said)
    assert not any("value of received_at" in each for each in said)


def test_metadata_that_cannot_be_read(registered):
    """What a snapshot refers to is gone: readers fail, and so does the audit, with the fix."""
    registered.delete([key for key in registered.keys("iceberg/sms/metadata/") if key.endswith("-m0.avro")])
    assert ["cannot be read" in each for each in found(registered)] == [True]


def test_a_file_that_is_described_otherwise(registered):
    """An entry says how large its file is, and how many rows it has: as its manifest does."""
    entry = next(entries(load(registered)))

    def lies(transaction):
        key = StoreIO(registered).key(entry.file_path)
        footer = pq.read_metadata(registered.open(key))
        describer = tables.Describer(transaction.table_metadata)
        with transaction.update_snapshot().overwrite() as snapshot:
            snapshot.delete_data_file(entry)
            snapshot.append_data_file(
                describer.describe(entry.file_path, log.day_of(key), entry.file_size_in_bytes + 1, footer)
            )

    change(registered, lies)
    assert [f"{entry.file_size_in_bytes + 1:,} bytes" in each for each in found(registered)] == [True]
