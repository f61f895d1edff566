"""The catalogue says what the project promises to analysts, whatever the descriptors later become."""

import datetime

import pyarrow as pa
import pytest
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorSet
from wgtwo_pipeline.events.tables import QUARANTINE, catalog, current_descriptors, partitions

TIME = pa.timestamp("us", "UTC")
HEADS = {
    "v0": {
        "timestamp": TIME,
        "sequence": pa.int64(),
        "service_id": pa.string(),
        "owner_phone_number": pa.string(),
        "owner_sub": pa.string(),
        "received_at": TIME,
    },
    "v1": {"timestamp": TIME, "event_id": pa.string(), "subscription": pa.string(), "received_at": TIME},
}
# Own columns as promised; those without a type are strings.
OWN = {
    "voice": "call_id type from_number to_number caller_id_hidden:bool",
    "voicemail": "voicemail_id type from_number to_number",
    "location_update": "number previous_msc previous_vlr previous_sgsn previous_mme"
    " current_msc current_vlr current_sgsn current_mme",
    "country_change": "msisdn previous_code previous_name current_code current_name",
    "token_audit": "operation operator_token_new_client_id operator_token_new_name operator_token_new_rights:list"
    " operator_token_old_client_id operator_token_old_name operator_token_old_rights:list",
    "sms": "id from_e164 from_national_phone_number from_text_address to_e164 to_national_phone_number"
    " to_text_address direction text uuid bytes:binary",
    "sms_delivery_report": "id from_e164 from_national_phone_number from_text_address to_e164"
    " to_national_phone_number to_text_address direction sms_id status",
    "consent_revoke": "msisdn",
    "handset_update": "previous_imei previous_software_version current_imei current_software_version imsi number",
    "first_attachment": "number imsi",
    "periodic_country": "number imsi country_code country_name",
    "handset_change_v1": "previous_imei previous_software_version current_imei current_software_version imsi number",
    "country_change_v1": "previous_code previous_name current_code current_name number",
    "first_attachment_v1": "number imsi",
    "periodic_country_v1": "number imsi country_code country_name",
    "consent_change_v1": "added:list updated:list revoked:bool number tenant",
}
TYPES = {"": pa.string(), "bool": pa.bool_(), "list": pa.list_(pa.string()), "binary": pa.binary()}
METHODS = {
    "handset_change_v1": "StreamHandsetChangeEvents",
    "country_change_v1": "StreamCountryChangeEvents",
    "first_attachment_v1": "StreamFirstAttachmentEvents",
    "periodic_country_v1": "StreamPeriodicCountryEvents",
    "consent_change_v1": "StreamConsentChangeEvents",
}


def expected_schema(name: str) -> pa.Schema:
    own = {}
    for column in OWN[name].split():
        column, _, kind = column.partition(":")
        own[column] = TYPES[kind]
    head = HEADS["v1" if name.endswith("_v1") else "v0"]
    return pa.schema(list((head | own | {"date": pa.date32()}).items()))


@pytest.mark.parametrize("name", OWN)
def test_schema_is_the_promised_one(name):
    """Every table has exactly the promised columns, in order, with their types."""
    assert catalog(current_descriptors())[name].schema == expected_schema(name)


def test_catalogue_has_the_promised_tables_and_no_other():
    """One table per event type, each with its stream's method and its identity."""
    tables = catalog(current_descriptors())
    assert set(tables) == set(OWN)
    for name, table in tables.items():
        assert table.name == name
        if name.endswith("_v1"):
            assert (table.api, table.method) == ("v1", METHODS[name])
            assert table.identity == ("timestamp", "event_id")
            assert table.event_field == name.removesuffix("_v1") + "_event"
        else:
            assert (table.api, table.method) == ("v0", "Subscribe")
            assert table.identity == ("timestamp", "sequence")
            assert table.event_field == name + "_event"


def test_quarantine_schema_is_the_promised_one():
    """The quarantine has exactly the promised columns."""
    assert QUARANTINE.names == [
        *("received_at", "reason", "error", "api", "method", "sequence", "timestamp", "payload", "date")
    ]
    assert QUARANTINE.field("payload").type == pa.binary()
    assert QUARANTINE.field("date").type == pa.date32()


def test_no_column_is_unsigned():
    """Athena, Iceberg and Delta have no such type, Spark makes decimals of it: also of what the API may add."""
    added = [
        changed(V0, "VoiceEvent", name="cost", number=9, type=kind)
        for kind in (FieldDescriptorProto.TYPE_UINT32, FieldDescriptorProto.TYPE_UINT64)
    ]
    tables = [t for descriptors in (current_descriptors(), *added) for t in catalog(descriptors).values()]
    for schema in [QUARANTINE, *(table.schema for table in tables)]:
        assert not [field for field in schema if pa.types.is_unsigned_integer(field.type)]
    assert [catalog(each)["voice"].schema.field("cost").type for each in added] == [pa.int64()] * 2


def test_descriptors_are_the_same_bytes_each_time_and_ordered():
    """The descriptors are deterministic and list each file after those that it imports."""
    current_descriptors.cache_clear()
    first = current_descriptors()
    current_descriptors.cache_clear()
    assert current_descriptors() == first
    seen: set[str] = set()
    for file in FileDescriptorSet.FromString(first).file:
        assert seen.issuperset(file.dependency)
        seen.add(file.name)


def message(files: FileDescriptorSet, file_name: str, name: str) -> DescriptorProto:
    (file,) = [f for f in files.file if f.name == file_name]
    (found,) = [m for m in file.message_type if m.name == name]
    return found


def changed(file_name: str, message_name: str, **field: object) -> bytes:
    """The current descriptors with one field more."""
    files = FileDescriptorSet.FromString(current_descriptors())
    field.setdefault("label", FieldDescriptorProto.LABEL_OPTIONAL)
    message(files, file_name, message_name).field.add(**field)
    return files.SerializeToString()


V0 = "wgtwo/events/v0/events.proto"


def test_new_field_becomes_a_column_at_the_end():
    """A field added to an event is a column after the event's others, and changes no other table."""
    descriptors = changed(V0, "VoiceEvent", name="cost", number=9, type=FieldDescriptorProto.TYPE_DOUBLE)
    before, after = catalog(current_descriptors()), catalog(descriptors)
    assert after["voice"].schema.names == [*before["voice"].schema.names[:-1], "cost", "date"]
    assert after["voice"].schema.field("cost").type == pa.float64()
    for name in before.keys() - {"voice"}:
        assert after[name].schema == before[name].schema


def test_new_field_of_all_events_follows_their_own_columns():
    """A field added to the envelope is a column of every v0 table, at the end."""
    descriptors = changed(V0, "Event", name="tenant", number=20, type=FieldDescriptorProto.TYPE_STRING)
    for name, table in catalog(current_descriptors()).items():
        added = ["tenant"] if table.api == "v0" else []
        assert catalog(descriptors)[name].schema.names == [*table.schema.names[:-1], *added, "date"]


def test_new_event_becomes_a_table():
    """A member added to the event's oneof is a table of its own."""
    descriptors = changed(
        V0,
        "Event",
        name="data_event",
        number=16,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=".wgtwo.events.v0.Handset",
        oneof_index=0,
    )
    table = catalog(descriptors)["data"]
    assert table.schema.names == [*HEADS["v0"], "imei_sv_imei", "imei_sv_software_version", "date"]


@pytest.mark.parametrize(
    ("type_name", "expected"),
    [
        (".google.protobuf.Timestamp", {"extra": TIME}),
        (".google.protobuf.Empty", {"extra": pa.bool_()}),
        (".google.protobuf.Duration", {"extra_seconds": pa.int64(), "extra_nanos": pa.int32()}),
        (".wgtwo.events.v0.VoiceEvent", {"extra": pa.binary()}),
    ],
)
def test_rule_covers_every_kind_of_message(type_name, expected):
    """Timestamps, empty and well-known messages follow the rule; one that contains itself is kept as bytes."""
    descriptors = changed(
        *(V0, "VoiceEvent"),
        name="extra",
        number=9,
        type=FieldDescriptorProto.TYPE_MESSAGE,
        type_name=type_name,
    )
    schema = catalog(descriptors)["voice"].schema
    assert {f.name: f.type for f in schema if f.name.startswith("extra")} == expected


@pytest.mark.parametrize("name", ["date", "day", "hour"])
def test_column_never_takes_a_name_of_ours(name):
    """A field that the API names like one of the shared columns, or a folder's key, gets a column of another name."""
    descriptors = changed(V0, "VoiceEvent", name=name, number=9, type=FieldDescriptorProto.TYPE_STRING)
    assert catalog(descriptors)["voice"].schema.names[-2:] == [f"event_{name}", "date"]


def test_partitions_are_each_day_or_hour_with_its_rows_in_order():
    """Every row is in the partition of its own date (and hour), in the order it had; also before 1970."""
    days = [datetime.date(1, 1, 1), datetime.date(1969, 12, 31), datetime.date(2026, 11, 23)]
    dates = [days[2], days[0], days[1], days[2], days[1], days[2]]
    times = [
        datetime.datetime.combine(day, datetime.time(hour, 59, 59, 999_999), datetime.UTC)
        for day, hour in zip(dates, [9, 23, 0, 9, 0, 10], strict=True)
    ]
    rows = pa.table(
        {
            "n": [0, 1, 2, 3, 4, 5],
            "timestamp": pa.array(times, TIME),
            "date": pa.array(dates, pa.date32()),
        }
    )
    by_day = {name: part["n"].to_pylist() for name, part in partitions(rows)}
    assert by_day == {"0001-01-01": [1], "1969-12-31": [2, 4], "2026-11-23": [0, 3, 5]}
    by_hour = [(name, part["n"].to_pylist()) for name, part in partitions(rows, "hour")]
    assert by_hour == [
        ("0001-01-01/23", [1]),
        ("1969-12-31/00", [2, 4]),
        ("2026-11-23/09", [0, 3]),
        ("2026-11-23/10", [5]),
    ]
    assert list(partitions(rows.slice(0, 0))) == []
