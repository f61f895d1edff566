"""Decoding by member gives what decoding all members at once gives, whatever the bytes."""

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages_of_all_kinds import STREAMS, broken, deliveries, events
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.events import members
from wgtwo_pipeline.events.decode import decode
from wgtwo_pipeline.events.descriptors import current_descriptors, responses

V0 = ("v0", "Subscribe")
RESPONSE = responses(current_descriptors())[V0]


@contextmanager
def worthwhile(payloads: int) -> Iterator[None]:
    """Decodes by member from so many payloads on."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(members, "WORTHWHILE", payloads)
        yield


def decoded(batch):
    return decode(batch, api="v0", method="Subscribe", descriptors=current_descriptors())


def by_member(payloads):
    with worthwhile(1):
        found = members.by_member(pa.array(payloads, pa.binary()), RESPONSE)
        return {member.name: rows.tolist() for member, rows in found}


def response(**fields):
    return v0.SubscribeEventsResponse(event=v0.Event(**fields)).SerializeToString()


VOICE, SMS = response(voice_event=v0.VoiceEvent()), response(sms_event=v0.SmsEvent(text="t" * 20_000))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_by_member_nothing_is_decoded_otherwise(data):
    """Valid messages, their merges, broken ones and noise, sliced anywhere: the same rows, reasons and positions."""
    of = STREAMS[V0]
    valid = events(of).map(lambda message: message.SerializeToString())
    merged = st.tuples(valid, valid).map(b"".join)
    payloads = data.draw(st.lists(valid | merged | broken(of) | st.binary(max_size=40), max_size=12))
    start = data.draw(st.integers(0, len(payloads)))
    batch = deliveries(payloads).combine_chunks().slice(start)
    with worthwhile(1):
        by = decoded(batch)
    whole = decoded(batch)
    assert by.tables.keys() == whole.tables.keys()
    assert all(by.tables[name].equals(rows) for name, rows in whole.tables.items())
    assert by.quarantine.equals(whole.quarantine)
    assert {name: at.tolist() for name, at in by.positions.items()} == {
        name: at.tolist() for name, at in whole.positions.items()
    }


def test_each_member_is_found():
    """Of every member of the API, also one with a length of three bytes, and whatever else the event sets."""
    every = [response(**{member.name: {}}, service_id="s" * 200) for member in RESPONSE.members]
    found = by_member([*every, SMS])
    assert found == {
        member.name: [at, len(every)] if member.name == "sms_event" else [at]
        for at, member in enumerate(RESPONSE.members)
    }


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\x0a",
        VOICE + VOICE,
        VOICE[:-1],
        VOICE + b"\x00",
        b"\x12" + VOICE[1:],
        bytes([0x0A, 4]) + bytes([0x22, 0, 0x2A, 0]),  # two members
        bytes([0x0A, 4]) + bytes([0x22, 0, 0x22, 0]),  # one, twice
        bytes([0x0A, 4]) + bytes([0x22, 0, 0x80, 1]),  # a varint beside it
        bytes([0x0A, 4]) + bytes([0x22, 0, 0x02, 0]),  # field number 0
        bytes([0x0A, 4]) + bytes([0x22, 0, 0x6A, 1]),  # reaches beyond the event
        bytes([0x0A, 5]) + bytes([0x22, 0x80, 0x80, 0x80, 0x00]),  # a length of four bytes
        bytes([0x0A, 2 * 20]) + bytes([0x22, 0]) + bytes([0x1A, 0]) * 19,  # many fields
        response(service_id="no member"),
    ],
)
def test_what_is_not_certain_is_left_out(payload):
    """And harms neither its neighbours, whose bytes stand right before and behind it."""
    assert by_member([VOICE, payload, SMS]) == {"voice_event": [0], "sms_event": [2]}


def test_a_broken_message_takes_only_its_member_to_the_slow_way():
    """What ptars refuses in one member's batch is told from the rest of it: all others of it are rows."""
    broken_text = bytes([0x0A, 5]) + bytes([0x22, 3, 0x0A, 1, 0xFF])
    rows = [
        response(metadata={"sequence": n + 1}, timestamp={"seconds": 10**9}, sms_event={}) for n in range(3)
    ]
    with worthwhile(1):
        found = decoded(deliveries([rows[0], broken_text, VOICE, rows[1], rows[2]]))
    assert found.tables["sms"]["sequence"].to_pylist() == [1, 2, 3]
    assert found.quarantine["reason"].to_pylist() == ["invalid_utf8", "no_metadata"]
