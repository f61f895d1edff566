"""No phone number, name or text of an event is in any object of a catalog, whatever the files hold."""

import io
import json

import fastavro
import lakes
import pytest
from catalog_steps import bring_up, rows_of
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.lake import iceberg
from wgtwo_pipeline.register import tables
from wgtwo_pipeline.register.catalogs import open_target

NUMBERS = [f"+47900{number:05d}" for number in range(0, 100_000, 7_001)]
TEXT = "meet me at noon"


def personal(number, phone):
    """An SMS with as much of a person in it as there can be."""
    response = v0.SubscribeEventsResponse.FromString(
        lakes.sms(number, lakes.at(number, day=number % 3), TEXT)
    )
    event = response.event
    event.owner.phone_number.e164 = phone
    event.sms_event.from_e164.e164 = phone
    event.sms_event.to_e164.e164 = NUMBERS[0]
    return response.SerializeToString()


@pytest.fixture
def filled(empty):
    for epoch in range(3):
        lakes.journal(empty, *(personal(100 * epoch + n, phone) for n, phone in enumerate(NUMBERS)))
        lakes.publish(empty)
    return empty


def texts(store):
    """Every object of the catalog as text: JSON and hints as they are, Avro decoded (it is compressed)."""
    for key in store.keys(iceberg.ROOT):
        data = bytes(store.read(key))
        if key.endswith(".avro"):
            reader = fastavro.reader(io.BytesIO(data))
            yield key, json.dumps(reader.metadata) + "".join(repr(record) for record in reader)
        elif not key.endswith(".parquet"):
            yield key, data.decode()


def leaks(store):
    secrets = [TEXT, *(number[1:] for number in NUMBERS)]
    return {key for key, text in texts(store) for secret in secrets if secret in text}


def test_no_metadata_holds_personal_data(filled):
    """Neither bounds, nor partitions, nor summaries: no object but the Parquet files holds a number."""
    bring_up(filled)
    assert NUMBERS[1] in {row["from_e164"] for row in rows_of(open_target("lake", filled).load("sms"))}
    assert len(list(texts(filled))) == 5
    assert leaks(filled) == set()


def test_it_would_be_found(filled, monkeypatch):
    """With Iceberg's own default the metadata says the least and the greatest number of each file."""
    monkeypatch.setitem(tables._PROPERTIES, "write.metadata.metrics.default", "truncate(16)")
    bring_up(filled)
    assert leaks(filled) != set()
