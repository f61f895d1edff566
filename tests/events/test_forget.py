"""An erasure takes its subjects' events and nothing else, by the letter of the rule: said here once more, by hand.

It is over 300 lines because the rule is written here once more, by hand.
"""

import re
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages_of_all_kinds import RECEIVED_AT, STREAMS, deliveries, events
from wgtwo.consents.v1 import consent_events_pb2 as consents
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.events import numbers
from wgtwo_pipeline.events.decode import decode
from wgtwo_pipeline.events.forget import QUARANTINE, Subjects, forget, suppress
from wgtwo_pipeline.events.numbers import canonical, token
from wgtwo_pipeline.events.owners import QUARANTINED, owners
from wgtwo_pipeline.events.tables import catalog, current_descriptors

KEY = b"k" * numbers.KEY_BYTES
HERS, HIS = "4790000001", "46701740699"
UNTIL = datetime(2026, 11, 23, 12, tzinfo=UTC)
FORMS = {
    HERS: ("+4790000001", "004790000001", "4790000001", "+47 900 00 001", "90000001", "090000001"),
    HIS: ("+46701740699", "46701740699"),
}
TEXTS = ("", "Parcels", "2000", "call 4790000001!", "14790000001", "4790000001")
NUMBER_MESSAGES = {
    "wgtwo.common.v0.PhoneNumber",
    "wgtwo.common.v0.NationalPhoneNumber",
    "wgtwo.common.v0.TextAddress",
    "wgtwo.common.v1.E164",
}
SINGLE = {
    "location_update": "number",
    "country_change": "msisdn",
    "consent_revoke": "msisdn",
    "handset_update": "number",
    "first_attachment": "number",
    "periodic_country": "number",
}
SIDES = (
    ("from_e164", "from_national_phone_number", "from_text_address"),
    (
        "to_e164",
        "to_national_phone_number",
        "to_text_address",
    ),
)
NUMBER_COLUMNS = {"owner_phone_number", "number", "msisdn", "from_number", "to_number", *SIDES[0], *SIDES[1]}
bounded = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def us(time):
    return int(time.timestamp() * 1_000_000)


def subjects(*numbers_, everywhere=(), until=UNTIL, countries=("47",), **more):
    return Subjects(
        KEY,
        until_us := {token(number, KEY): us(until) for number in numbers_},
        until_us,
        {token(number, KEY): us(until) for number in everywhere},
        countries=countries,
        **more,
    )


def names(text, column, number, *, country=True):
    """Whether a number column's value is this number, as the document writes it."""
    if not text:
        return False
    national = column.endswith("national_phone_number")
    digits = re.sub("[^0-9]", "", text)
    if column.endswith("text_address") and not re.fullmatch(r"\+?[0-9 ()./-]+", text):
        return False
    forms = {digits.removeprefix("00")}
    if (national or column.endswith("text_address")) and country:
        forms.add("47" + digits.removeprefix("0"))
    return number in forms


def owner_columns(table, row):
    """Which columns say whose a row is."""
    if row.get("owner_phone_number"):
        return ["owner_phone_number"]
    if table.endswith("_v1"):
        return ["number"]
    if table in SINGLE:
        return [SINGLE[table]]
    if table in ("voice", "voicemail"):
        return ["from_number", "to_number"]
    if table in ("sms", "sms_delivery_report"):
        direction = row["direction"]
        return [
            *(SIDES[0] if direction != "TO_SUBSCRIBER" else ()),
            *(SIDES[1] if direction != "FROM_SUBSCRIBER" else ()),
        ]
    return []


def is_hers(table, row, number=HERS, *, country=True):
    return any(names(row[column], column, number, country=country) for column in owner_columns(table, row))


def put_numbers(draw, message):
    """Gives every phone number of a message one of a few forms of a few numbers."""
    for field in message.DESCRIPTOR.fields:
        if field.message_type is None or field.is_repeated or not message.HasField(field.name):
            continue
        inner = getattr(message, field.name)
        if field.message_type.full_name in NUMBER_MESSAGES:
            of = draw(st.sampled_from([*FORMS[HERS], *FORMS[HIS], *TEXTS]))
            setattr(inner, inner.DESCRIPTOR.fields[0].name, of)
        else:
            put_numbers(draw, inner)


@st.composite
def numbered(draw, stream):
    message = draw(events(STREAMS[stream]))
    put_numbers(draw, message)
    near = draw(st.sampled_from([None, 0, 1, -1, 3600 * 10**6]))
    holder = message.event if stream[0] == "v0" else message.metadata
    if near is not None:
        holder.timestamp.FromDatetime(UNTIL + timedelta(microseconds=near))
    return message.SerializeToString()


def rows_of(payloads, stream):
    api, method = stream
    return decode(deliveries(payloads), api=api, method=method, descriptors=current_descriptors()).tables


@pytest.mark.parametrize("stream", STREAMS)
@bounded
@given(data=st.data())
def test_the_subjects_events_go_and_no_other(stream, data):
    """Of every table: exactly the subject's rows up to the time go; every other stays, in order, as it was."""
    payloads = data.draw(st.lists(numbered(stream), max_size=8))
    country = data.draw(st.booleans())
    asked = subjects(HERS, countries=("47",) if country else ())
    for table, rows in rows_of(payloads, stream).items():
        whose = owners(current_descriptors())[table]
        left, erased, blanked = forget(rows, whose, asked)
        expected = [
            row
            for row in rows.to_pylist()
            if row["timestamp"] > UNTIL or not is_hers(table, row, country=country)
        ]
        assert left.to_pylist() == expected
        assert (erased, blanked) == (len(rows) - len(expected), 0)
        assert left.schema == rows.schema
        assert forget(left, whose, asked) == (left, 0, 0)


@pytest.mark.parametrize("stream", STREAMS)
@bounded
@given(data=st.data())
def test_everywhere_leaves_the_number_nowhere(stream, data):
    """`everywhere`: what stays of others differs in the number only, which no column holds any more."""
    payloads = data.draw(st.lists(numbered(stream), max_size=8))
    asked = subjects(HERS, everywhere=(HERS,))
    for table, rows in rows_of(payloads, stream).items():
        whose = owners(current_descriptors())[table]
        left, erased, blanked = forget(rows, whose, asked)
        stayed = forget(rows, whose, subjects(HERS)).rows
        assert erased == len(rows) - len(stayed) == len(rows) - len(left)
        assert left.schema == rows.schema
        differ = 0
        for before, after in zip(stayed.to_pylist(), left.to_pylist(), strict=True):
            changed = {name for name in before if before[name] != after[name]}
            differ += bool(changed)
            for name in changed:
                assert before["timestamp"] <= UNTIL
                nulled = after[name] is None and name in NUMBER_COLUMNS and names(before[name], name, HERS)
                assert nulled or after[name] == before[name].replace(HERS, "*" * len(HERS))
            if before["timestamp"] <= UNTIL:
                texts = [text for text in after.values() if isinstance(text, str)]
                assert not any(re.search(f"(?<![0-9]){HERS}(?![0-9])", text) for text in texts)
                for name in NUMBER_COLUMNS & {*after}:
                    assert not names(after[name], name, HERS)
        assert blanked == differ
        assert forget(left, whose, asked) == (left, 0, 0)


@pytest.mark.parametrize("stream", STREAMS)
@bounded
@given(data=st.data())
def test_deliveries_are_suppressed_as_their_rows_are(stream, data):
    """Decoding the deliveries that stay gives the rows that stay, and forgetting them again changes nothing."""
    api, method = stream
    described = {"api": api, "method": method, "descriptors": current_descriptors()}
    payloads = data.draw(st.lists(numbered(stream) | st.binary(max_size=40), max_size=8))
    came = deliveries(payloads).combine_chunks().to_batches()
    batch = came[0] if came else pa.RecordBatch.from_pylist([], deliveries([]).schema)
    asked = subjects(HERS, everywhere=data.draw(st.sampled_from([(), (HERS,)])))
    found = suppress(batch, asked, **described)
    before = decode(batch, **described)
    for table, rows in before.tables.items():
        left = forget(rows, owners(current_descriptors())[table], asked)
        assert found.erased.get(table, 0) == left.erased
        assert found.blanked.get(table, 0) == left.blanked
        if len(left.rows):
            identity = list(catalog(current_descriptors())[table].identity)
            assert found.decoded.tables[table].select(identity) == left.rows.select(identity)
    assert len(found.deliveries) == len(batch) - sum(found.erased.values())
    again = suppress(found.deliveries, asked, **described)
    assert (again.erased, again.blanked) == ({}, {})
    assert again.deliveries.equals(found.deliveries)
    assert again.decoded.tables == found.decoded.tables
    assert again.decoded.quarantine == found.decoded.quarantine


@pytest.mark.parametrize(
    ("text", "kind", "country", "expected"),
    [
        ("+47 900 00 001", "international", None, HERS),
        ("004790000001", "international", None, HERS),
        ("4790000001", "international", None, HERS),
        ("90000001", "national", "47", HERS),
        ("090000001", "national", "47", HERS),
        ("90000001", "national", None, None),
        ("Parcels", "text", "47", None),
        ("Bank 24", "text", None, None),
        ("+4790000001", "text", None, HERS),
        ("", "international", None, None),
        (None, "international", None, None),
        ("anonymous", "international", None, None),
    ],
)
def test_forms_of_one_number_are_one(text, kind, country, expected):
    """Spaces, a plus and a leading 00 make no other number; a national one needs its country."""
    assert canonical(text, kind, country) == expected


def test_a_token_is_of_the_number_and_of_the_key():
    """Another lake's key makes another token; eight bytes."""
    assert token(HERS, KEY) != token(HIS, KEY)
    assert token(HERS, KEY) != token(HERS, b"l" * 32)
    assert len(token(HERS, KEY)) == 8


def quarantined(*payloads, timestamp=None):
    times = pa.array([timestamp] * len(payloads), pa.timestamp("us", "UTC"))
    received = pa.array([RECEIVED_AT] * len(payloads), pa.timestamp("us", "UTC"))
    return pa.table({"received_at": received, "timestamp": times, "payload": pa.array(payloads, pa.binary())})


@pytest.mark.parametrize(
    ("payload", "goes"),
    [
        (b"\x08\x0b+4790000001\xff", True),
        (b"4790000001", True),
        (b"x004790000001x", True),
        (b"90000001", True),
        (b"14790000001", False),
        (b"47900000012", False),
        (b"\x12\x0b+47900000012\x00", True),  # the digit behind it is the key of field 6: the length says so
        (b"\x12\x0a47900000012\x00", True),
        (b"\x12\x0e+47 900 00 0012\x00", True),
        (b"\xff\xff broken", False),
        (b"", False),
    ],
)
def test_quarantined_bytes_go_by_their_digits(payload, goes):
    """The number's digits, with no other digit on either side: or in a field that is just as long."""
    left, erased, _ = forget(quarantined(b"other", payload, b"last"), QUARANTINED, subjects(HERS))
    assert left["payload"].to_pylist() == [b"other", *([] if goes else [payload]), b"last"]
    assert erased == goes


def test_quarantined_bytes_that_say_no_time_may_be_as_old_as_the_history():
    """Without a time of its own, a delivery goes if it can be of an event from before the time."""
    held = b"\x0b+4790000001"
    asked = [subjects(HERS, until=RECEIVED_AT - timedelta(minutes=age)) for age in (29, 30, 31)]
    assert [forget(quarantined(held), QUARANTINED, each).erased for each in asked] == [1, 1, 0]
    own = quarantined(held, timestamp=RECEIVED_AT - timedelta(minutes=1))
    assert [forget(own, QUARANTINED, each).erased for each in (asked[0], subjects(HERS))] == [0, 1]


def test_everyone():
    """An operator's consent for all: what belongs to anybody goes, and all that nobody can read."""

    def event(**fields):
        sent = v0.Event(metadata=v0.EventMetadata(sequence=1), timestamp=Timestamp(seconds=1), **fields)
        return v0.SubscribeEventsResponse(event=sent).SerializeToString()

    owner = v0.Owner(phone_number={"e164": "+4790000001"})
    payloads = [
        event(voice_event=v0.VoiceEvent(from_number={"e164": "+4790000001"})),
        event(token_audit_event=v0.TokenAuditEvent(operation="CREATED")),
        event(location_update_event=v0.LocationUpdateEvent(), owner=owner),
        b"\xff broken",
    ]
    batch = deliveries(payloads).to_batches()[0]
    asked = Subjects(KEY, everyone_until_us=us(UNTIL))
    found = suppress(batch, asked, api="v0", method="Subscribe", descriptors=current_descriptors())
    assert found.erased == {"voice": 1, "location_update": 1, QUARANTINE: 1}
    assert list(found.decoded.tables) == ["token_audit"]


def test_what_is_later_than_all_that_is_asked_for_is_not_looked_at(monkeypatch):
    """Requests that are in force cost publishing almost nothing: no number of a new event is made a token."""
    asked, voice = subjects(HERS), owners(current_descriptors())["voice"]

    def at(time):
        return pa.table({"timestamp": pa.array([time], pa.timestamp("us", "UTC")), "to_number": [f"+{HERS}"]})

    assert forget(at(UNTIL), voice, asked).erased == 1
    monkeypatch.delattr(numbers, "token")
    later = at(UNTIL + timedelta(microseconds=1))
    assert forget(later, voice, asked) == (later, 0, 0)


def test_a_file_from_before_a_column_existed():
    """Columns that an older file does not have count as null."""
    rows = pa.table({"timestamp": pa.array([UNTIL], pa.timestamp("us", "UTC")), "to_number": ["+4790000001"]})
    assert (
        forget(rows, owners(current_descriptors())["voice"], subjects(HERS, everywhere=(HERS,))).erased == 1
    )


def test_a_tenants_consent_is_nobodys_event():
    """v1's consent for a tenant names no subscriber: only its operator can say whom it concerns."""
    response = consents.StreamConsentChangeEventsResponse()
    response.metadata.timestamp.FromDatetime(UNTIL)
    response.consent_change_event.revoked.SetInParent()
    response.consent_change_event.tenant = "4790000001"
    rows = rows_of([response.SerializeToString()], ("v1", "StreamConsentChangeEvents"))["consent_change_v1"]
    assert forget(rows, owners(current_descriptors())["consent_change_v1"], subjects(HERS)).erased == 0


def test_a_revocation_that_came_later_stays_until_it_is_obeyed():
    """Events go up to the grace after a revocation; what follows the revocation itself is still to be read."""

    def revoked(seconds):
        response = v0.SubscribeEventsResponse()
        response.event.metadata.sequence = seconds
        response.event.timestamp.FromDatetime(UNTIL + timedelta(seconds=seconds))
        response.event.consent_revoke_event.msisdn.e164 = "+4790000001"
        return response.SerializeToString()

    rows = rows_of([revoked(0), revoked(60)], ("v0", "Subscribe"))["consent_revoke"]
    mine = token(HERS, KEY)
    asked = Subjects(KEY, {mine: us(UNTIL + timedelta(minutes=5))}, {mine: us(UNTIL)})
    left = forget(rows, owners(current_descriptors())["consent_revoke"], asked)
    assert left.rows["sequence"].to_pylist() == [60]
