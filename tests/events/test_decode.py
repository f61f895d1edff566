"""Every delivery becomes the row that protobuf's own reading says, or a row of the quarantine.

It is over 300 lines because each way in which bytes can be wrong is one short test.
"""

import datetime

import pyarrow as pa
import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages_of_all_kinds import RECEIVED_AT, STREAMS, broken, deliveries, events, expected
from wgtwo.consents.v1 import consent_events_pb2 as consents
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.subscription.v1 import subscription_events_pb2 as subscriptions
from wgtwo_pipeline.events.decode import REASONS, decode
from wgtwo_pipeline.events.tables import QUARANTINE, catalog, current_descriptors

V0 = ("v0", "Subscribe")
ZERO_TIME = Timestamp(seconds=-62_135_596_800)  # 0001-01-01, what Go's zero time.Time becomes
BEFORE_1900 = Timestamp(seconds=-2_208_988_801, nanos=999_999_999)
TOO_LARGE = v0.EventMetadata(sequence=2**63)
bounded = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def decoded(payloads, stream=V0, **options):
    api, method = stream
    return decode(deliveries(payloads), api=api, method=method, descriptors=current_descriptors(), **options)


def field(number, value):
    """A length-delimited field on the wire."""
    assert len(value) < 128
    return bytes([number << 3 | 2, len(value)]) + value


def event(**fields):
    defaults = {"metadata": v0.EventMetadata(sequence=7), "timestamp": Timestamp(seconds=1_000_000_000)}
    return v0.Event(**(defaults | fields)).SerializeToString()


def only_row(result):
    (table,) = result.tables.values()
    (row,) = table.to_pylist()
    assert result.quarantine.num_rows == 0
    return row


def only_quarantined(result):
    assert result.tables == {}
    (row,) = result.quarantine.to_pylist()
    return row


@pytest.mark.parametrize("stream", STREAMS)
@bounded
@given(data=st.data())
def test_rows_are_what_protobuf_reads(stream, data):
    """Any valid messages give, in delivery order, the rows and the reasons that upb's reading of them gives."""
    response = STREAMS[stream]
    payloads = [m.SerializeToString() for m in data.draw(st.lists(events(response), max_size=8))]
    if (
        data.draw(st.booleans()) and len(payloads) > 1
    ):  # on the wire, one message after another is their merge
        payloads = [payloads[0] + payloads[1], *payloads[2:], payloads[1] + payloads[0]]
    result = decoded(payloads, stream)
    rows, quarantined = {}, []
    for at, payload in enumerate(payloads):
        received_at = RECEIVED_AT + datetime.timedelta(microseconds=at)
        table, outcome = expected(payload, stream[0], response)
        if table:
            rows.setdefault(table, []).append(outcome | {"received_at": received_at})
        else:
            quarantined.append((outcome, payload, received_at))
    assert {
        name: [{k: v for k, v in row.items() if k != "event_id"} for row in table.to_pylist()]
        for name, table in result.tables.items()
    } == rows
    assert [
        (q["reason"], q["payload"], q["received_at"]) for q in result.quarantine.to_pylist()
    ] == quarantined
    for name, table in result.tables.items():
        table.validate(full=True)
        assert table.schema == catalog(current_descriptors())[name].schema


@pytest.mark.parametrize("stream", STREAMS)
@bounded
@given(data=st.data())
def test_every_delivery_is_accounted_for(stream, data):
    """Whatever the bytes, nothing raises; rows and quarantined are all deliveries; none depends on another."""
    payloads = data.draw(st.lists(broken(STREAMS[stream]) | st.binary(max_size=40), max_size=12))
    result = decoded(payloads, stream)
    rows = sum(table.num_rows for table in result.tables.values())
    assert rows + result.quarantine.num_rows == len(payloads)
    assert result.quarantine.schema == QUARANTINE
    kept = {q["payload"] for q in result.quarantine.to_pylist()}
    for payload in payloads:
        assert (payload in kept) == bool(decoded([payload], stream).quarantine.num_rows)
    for row in result.quarantine.to_pylist():
        assert row["error"] == REASONS[row["reason"]]
        assert (row["api"], row["method"]) == stream


def test_chunks_and_slices_decode_like_the_whole():
    """A table of several chunks, or a slice of a batch, gives the rows of its deliveries."""
    payloads = [
        v0.SubscribeEventsResponse.FromString(
            field(1, event(metadata=v0.EventMetadata(sequence=n), sms_event=v0.SmsEvent(text=str(n))))
        ).SerializeToString()
        for n in range(10)
    ]
    whole = deliveries(payloads)
    chunked = pa.concat_tables([whole.slice(0, 3), whole.slice(3, 0), whole.slice(3)])
    sliced = whole.to_batches()[0].slice(4, 5)
    arguments = {"api": "v0", "method": "Subscribe", "descriptors": current_descriptors()}
    assert decode(chunked, **arguments).tables["sms"].equals(decode(whole, **arguments).tables["sms"])
    assert decode(sliced, **arguments).tables["sms"]["sequence"].to_pylist() == [4, 5, 6, 7, 8]
    assert decode(whole.slice(0, 0), **arguments).tables == {}


def test_last_member_of_a_oneof_wins():
    """Of two members of one oneof on the wire, of the event or inside it, only the last counts."""
    two_events = event(voice_event=v0.VoiceEvent(call_id="a")) + event(sms_event=v0.SmsEvent(text="b"))
    two_contents = v0.SmsEvent(text="c").SerializeToString() + v0.SmsEvent(bytes=b"d").SerializeToString()
    plain = event(sms_event=v0.SmsEvent(text="e"))
    result = decoded([field(1, two_events), field(1, plain), field(1, event() + field(9, two_contents))])
    assert set(result.tables) == {"sms"}
    assert result.tables["sms"].select(["text", "bytes"]).to_pylist() == [
        {"text": "b", "bytes": None},
        {"text": "e", "bytes": None},
        {"text": None, "bytes": b"d"},
    ]


def test_parts_of_a_message_are_merged():
    """A submessage that comes in two parts on the wire is one, with the fields of both."""
    parts = field(4, v0.VoiceEvent(call_id="a").SerializeToString()) + field(4, b"\x10\x02")
    assert only_row(decoded([field(1, event()) + field(1, parts)]))["type"] == "CALL_RINGING"
    assert only_row(decoded([field(1, event()) + field(1, parts)]))["call_id"] == "a"


def test_unknown_enum_and_unknown_fields_do_no_harm():
    """An enum number that has no name is that number as text; unknown fields are passed over."""
    unknown = bytes([0xA2, 0x06, 0x01, 0x78])  # field 100
    payload = field(1, event(voice_event=v0.VoiceEvent(type=99)) + unknown) + unknown
    assert only_row(decoded([payload]))["type"] == "99"


@pytest.mark.parametrize(
    ("payload", "reason", "sequence"),
    [
        (b"", "no_event", None),
        (field(1, b""), "no_event", None),
        (field(1, event()), "no_event", 7),
        (field(1, event() + field(15, b"") + field(14, b""))[:-1] + b"\x01", "undecodable", 7),
        (field(1, event() + bytes([0x82, 0x01, 0x00])), "unknown_event", 7),
        (field(1, v0.Event(voice_event=v0.VoiceEvent()).SerializeToString()), "no_metadata", None),
        (field(1, event(timestamp=None, voice_event=v0.VoiceEvent())), "no_timestamp", 7),
        (field(1, event(timestamp=Timestamp(nanos=-1), voice_event=v0.VoiceEvent())), "bad_timestamp", 7),
        (field(1, event(timestamp=ZERO_TIME, voice_event=v0.VoiceEvent())), "no_timestamp", 7),
        (field(1, event(timestamp=BEFORE_1900, voice_event=v0.VoiceEvent())), "no_timestamp", 7),
        (field(1, event(metadata=TOO_LARGE, voice_event=v0.VoiceEvent())), "number_too_large", None),
        (field(1, event() + field(4, b"\x0a\x01\xff")), "invalid_utf8", 7),
        (field(1, event(voice_event=v0.VoiceEvent(call_id="abc")))[:-2], "undecodable", 7),
        (b"\xff\xff\xff", "undecodable", None),
    ],
)
def test_quarantine_says_why(payload, reason, sequence):
    """What cannot become a row keeps its bytes, the reason, and the sequence where it can be read."""
    row = only_quarantined(decoded([payload]))
    assert (row["reason"], row["sequence"], row["payload"]) == (reason, sequence, payload)
    assert row["date"] == RECEIVED_AT.date()
    if reason not in ("no_timestamp", "bad_timestamp") and (sequence or reason == "number_too_large"):
        assert row["timestamp"] == datetime.datetime.fromtimestamp(1_000_000_000, datetime.UTC)
    else:
        assert row["timestamp"] is None


def test_one_bad_message_harms_no_other():
    """Messages before and after one that cannot be read become rows, in delivery order."""
    good = [
        field(1, event(metadata=v0.EventMetadata(sequence=n), voice_event=v0.VoiceEvent())) for n in range(9)
    ]
    result = decoded([*good[:4], b"\x0a", *good[4:], field(1, event() + field(4, b"\x0a\x01\xff"))])
    assert result.tables["voice"]["sequence"].to_pylist() == list(range(9))
    assert result.quarantine["reason"].to_pylist() == ["undecodable", "invalid_utf8"]


def test_the_largest_sequence_and_the_earliest_time_are_rows():
    """2^63-1 and the first moment of 1900 are the last that every reader takes: they become rows."""
    largest = v0.EventMetadata(sequence=2**63 - 1)
    earliest = Timestamp(seconds=-2_208_988_800)
    row = only_row(
        decoded([field(1, event(metadata=largest, timestamp=earliest, voice_event=v0.VoiceEvent()))])
    )
    assert row["sequence"] == 2**63 - 1
    assert row["date"] == datetime.date(1900, 1, 1)


@pytest.mark.parametrize("repeated", [False, True])
def test_a_number_that_no_column_holds_is_quarantined(repeated):
    """Also one of a field that the API may add, alone or in a list; its neighbours become rows."""
    files = FileDescriptorSet.FromString(current_descriptors())
    (file,) = [file for file in files.file if file.name == "wgtwo/events/v0/events.proto"]
    (voice,) = [message for message in file.message_type if message.name == "VoiceEvent"]
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    voice.field.add(name="cost", number=9, type=FieldDescriptorProto.TYPE_UINT64, label=label)

    def payload(*numbers):
        varints = b"".join(b"\x48" + varint(number) for number in numbers)
        return field(1, event() + field(4, varints))

    good, bad = payload(5), payload(*([3] if repeated else []), 2**63)
    result = decode(
        deliveries([good, bad, good]), api="v0", method="Subscribe", descriptors=files.SerializeToString()
    )
    assert result.tables["voice"]["cost"].to_pylist() == [[5], [5]] if repeated else [5, 5]
    assert [(q["reason"], q["payload"]) for q in result.quarantine.to_pylist()] == [("number_too_large", bad)]


def varint(number):
    """A number on the wire."""
    more = number >> 7
    return bytes([number & 0x7F | (0x80 if more else 0)]) + (varint(more) if more else b"")


def test_dates_before_1970_are_rounded_down():
    """The date is the UTC day that the event lies in, also before 1970; nanos are cut to microseconds."""
    payload = field(1, event(timestamp=Timestamp(seconds=-1, nanos=999), voice_event=v0.VoiceEvent()))
    row = only_row(decoded([payload]))
    assert row["timestamp"] == datetime.datetime(1969, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
    assert row["date"] == datetime.date(1969, 12, 31)


def test_empty_message_is_true_or_false():
    """`revoked` is true where it is set and false where another member is."""
    metadata = {"timestamp": Timestamp(seconds=1)}
    payloads = [
        consents.StreamConsentChangeEventsResponse(
            metadata=metadata, consent_change_event=change
        ).SerializeToString()
        for change in (
            consents.ConsentChangeEvent(revoked=consents.ConsentRevoked(), tenant="t"),
            consents.ConsentChangeEvent(added=consents.ConsentAdded(scopes=["a"])),
        )
    ]
    table = decoded(payloads, ("v1", "StreamConsentChangeEvents")).tables["consent_change_v1"]
    assert table["revoked"].to_pylist() == [True, False]
    assert table["added"].to_pylist() == [None, ["a"]]
    assert table["tenant"].to_pylist() == ["t", None]


HANDSET = ("v1", "StreamHandsetChangeEvents")


def event_id(payload, stream=HANDSET):
    return only_row(decoded([payload], stream))["event_id"]


def test_event_id_names_the_event_and_not_the_delivery():
    """A redelivery has the id of its event, also in another order on the wire; any other event has another."""
    metadata = {
        "timestamp": Timestamp(seconds=5, nanos=6),
        "identifier": {"subscription_identifier": {"wg2rn": "s"}},
    }
    change = {"number": {"e164": "+47"}, "current": {"imei_sv": {"imei": "1"}}}

    def payload(metadata=metadata, change=change):
        response = subscriptions.StreamHandsetChangeEventsResponse(
            metadata=metadata, handset_change_event=change
        )
        return response.SerializeToString()

    first = event_id(payload())
    assert len(first) == 32
    assert int(first, 16)
    again = payload(metadata | {"ack_info": {"value": "other"}, "is_redelivered": True})
    assert event_id(again) == first
    head = field(
        1, subscriptions.StreamHandsetChangeEventsResponse(metadata=metadata).metadata.SerializeToString()
    )
    number, current = field(4, b"\x0a\x03+47"), field(2, field(1, field(1, b"1")))
    assert event_id(field(2, number + current) + head) == first
    assert event_id(head + field(2, current) + field(2, number)) == first
    unknown = bytes([0xA2, 0x06, 0x01, 0x78])
    others = [
        payload(metadata | {"timestamp": Timestamp(seconds=5, nanos=7)}),
        payload(metadata | {"identifier": {"subscription_identifier": {"value": "s"}}}),
        payload(metadata, change | {"imsi": {}}),
        head + field(2, number + current + unknown),
        head + field(2, number + current + unknown[:-1] + b"y"),
    ]
    assert len({first, *map(event_id, others)}) == 6


@pytest.mark.parametrize("tail", [b"\xfa\xff\xff\xff\xff\x01\x00", b"\xa3\x06" * 120 + b"\xa4\x06" * 120])
def test_event_that_only_ptars_reads_is_quarantined(tail):
    """Bytes of which upb makes nothing give no id, so they are quarantined and harm no other."""
    payload = subscriptions.StreamHandsetChangeEventsResponse(
        metadata={"timestamp": Timestamp(seconds=5)}, handset_change_event={}
    ).SerializeToString()
    result = decoded([payload, payload + tail], HANDSET)
    assert result.tables["handset_change_v1"].num_rows == 1
    assert result.quarantine["reason"].to_pylist() == ["undecodable"]
    assert only_quarantined(decoded([payload + tail], HANDSET))["reason"] == "undecodable"


def test_event_id_is_what_it_was():
    """Ids are stored, so the way to compute them may never change."""
    response = subscriptions.StreamHandsetChangeEventsResponse(
        metadata={"timestamp": Timestamp(seconds=5, nanos=6)},
        handset_change_event={"number": {"e164": "+47"}},
    )
    assert event_id(response.SerializeToString()) == "48d62cb1730533ce426f1b60c45b2698"


def test_descriptors_of_the_epoch_decide():
    """A newer or older set of descriptors decodes by what it says, whatever the code was built with."""
    files = FileDescriptorSet.FromString(current_descriptors())
    (events_file,) = [f for f in files.file if f.name == "wgtwo/events/v0/events.proto"]
    (voice,) = [m for m in events_file.message_type if m.name == "VoiceEvent"]
    optional = {"label": FieldDescriptorProto.LABEL_OPTIONAL, "type": FieldDescriptorProto.TYPE_MESSAGE}
    voice.field.add(name="answered", number=9, type_name=".google.protobuf.Timestamp", **optional)
    descriptors = files.SerializeToString()
    good = Timestamp(seconds=3).SerializeToString()
    bad = Timestamp(nanos=-1).SerializeToString()
    payloads = [field(1, event() + field(4, field(9, time))) for time in (good, bad)] + [
        field(1, event() + field(4, b""))
    ]
    result = decode(deliveries(payloads), api="v0", method="Subscribe", descriptors=descriptors)
    answered = datetime.datetime(1970, 1, 1, 0, 0, 3, tzinfo=datetime.UTC)
    assert result.tables["voice"]["answered"].to_pylist() == [answered, None]
    assert result.quarantine["reason"].to_pylist() == ["bad_timestamp"]
    assert "answered" not in decoded(payloads).tables["voice"].schema.names


def test_fields_without_a_flat_form_are_kept():
    """Lists of enums are names; lists of messages are their bytes; an optional scalar that is not set is null."""
    files = FileDescriptorSet.FromString(current_descriptors())
    (events_file,) = [f for f in files.file if f.name == "wgtwo/events/v0/events.proto"]
    (voice,) = [m for m in events_file.message_type if m.name == "VoiceEvent"]
    repeated, kind = FieldDescriptorProto.LABEL_REPEATED, FieldDescriptorProto
    enum_name = ".wgtwo.events.v0.VoiceEvent.VoiceEventType"
    voice.field.add(name="types", number=20, label=repeated, type=kind.TYPE_ENUM, type_name=enum_name)
    handset = ".wgtwo.events.v0.Handset"
    voice.field.add(name="handsets", number=21, label=repeated, type=kind.TYPE_MESSAGE, type_name=handset)
    one = {"label": FieldDescriptorProto.LABEL_OPTIONAL, "proto3_optional": True, "oneof_index": 0}
    voice.field.add(name="cost", number=22, type=kind.TYPE_INT64, **one)
    voice.oneof_decl.add(name="_cost")
    types, handsets = b"\xa2\x01\x02\x01\x63", b"\xaa\x01\x03\x0a\x01x" + b"\xaa\x01\x00"
    payloads = [field(1, event() + field(4, own)) for own in (types + handsets, b"", types, b"\xb0\x01\x00")]
    result = decode(deliveries(payloads), api="v0", method="Subscribe", descriptors=files.SerializeToString())
    voice_rows = result.tables["voice"]
    assert voice_rows["types"].to_pylist() == [["CALL_INITIATED", "99"], [], ["CALL_INITIATED", "99"], []]
    assert voice_rows["handsets"].to_pylist() == [[b"\x0a\x01x", b""], [], [], []]
    assert voice_rows["cost"].to_pylist() == [None, None, None, 0]
