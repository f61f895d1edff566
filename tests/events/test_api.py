"""What is said to the event service, byte by byte as the contract has it, and what is read of a delivery."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wgtwo.consents.v1 import consent_events_pb2 as consents
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.events.v1 import events_pb2 as v1
from wgtwo.subscription.v1 import subscription_events_pb2 as subscription
from wgtwo_pipeline.events import api
from wgtwo_pipeline.events.api import Start, Terms

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
TERMS = Terms(("sms", "voice"), "queue", "durable", 50, 30.0)
HANDSETS = next(method for method in api.V1 if method.name == "StreamHandsetChangeEvents")
uint64 = st.integers(1, 2**64 - 1)


def asked(start, terms=TERMS):
    return v0.SubscribeEventsRequest.FromString(api.subscribe_request(api.V0, terms, start, "client"))


def configured(start):
    request = api.subscribe_request(HANDSETS, TERMS, start, "client")
    return subscription.StreamHandsetChangeEventsRequest.FromString(request).stream_configuration


def test_a_member_asks_for_manual_ack_on_its_terms():
    """Types, queue, durable name, what may be in flight and for how long: as configured."""
    request = asked(Start())
    assert [v0.EventType.Name(number) for number in request.type] == ["SMS_EVENT", "VOICE_EVENT"]
    assert (request.queue_name, request.durable_name, request.client_id) == ("queue", "durable", "client")
    assert request.max_in_flight == 50
    assert request.manual_ack.enable
    assert request.manual_ack.timeout.ToTimedelta() == timedelta(seconds=30)


@pytest.mark.parametrize(
    ("start", "field"),
    [
        (Start("oldest"), "start_at_oldest_possible"),
        (Start("last"), "start_with_last_received"),
        (Start("sequence", sequence=7), "start_at_sequence"),
        (Start("timestamp", timestamp=NOON), "start_at_timestamp"),
        (Start("delta", delta=timedelta(minutes=5)), "start_at_time_delta"),
        (Start("new"), None),
    ],
)
def test_v0_start_positions(start, field):
    """Exactly one position is asked for; new events are what comes without one."""
    request = asked(start)
    assert request.WhichOneof("start_position") == field
    if start.kind == "sequence":
        assert request.start_at_sequence == 7
    if start.kind == "timestamp":
        assert request.start_at_timestamp.ToDatetime(UTC) == NOON
    if start.kind == "delta":
        assert request.start_at_time_delta.ToTimedelta() == start.delta


@pytest.mark.parametrize(
    ("start", "field"),
    [
        (Start("oldest"), "start_at_oldest_possible"),
        (Start("sequence", sequence=7), "start_at_id"),
        (Start("timestamp", timestamp=NOON), "start_at_timestamp"),
        (Start("delta", delta=timedelta(minutes=5)), "start_at_timestamp"),
        (Start("new"), "start_at_new"),
    ],
)
def test_v1_start_positions(start, field):
    """The same words; a delta becomes the time that it means now."""
    found = configured(start)
    assert found.WhichOneof("start_position") == field
    assert (found.durable_queue.custom_name, found.max_in_flight) == ("durable", 50)
    assert found.custom_ack_timeout.ToTimedelta() == timedelta(seconds=30)
    if start.kind == "delta":
        asked_for = found.start_at_timestamp.ToDatetime(UTC)
        assert abs(datetime.now(UTC) - start.delta - asked_for) < timedelta(minutes=1)


def test_v1_methods_are_those_of_the_contract():
    """Each stream has the method that acks it, and a table of its own."""
    assert {
        (method.stream.rpartition("/")[2], method.ack.rpartition("/")[2], *method.tables) for method in api.V1
    } == {
        ("StreamHandsetChangeEvents", "AckHandsetChangeEvent", "handset_change_v1"),
        ("StreamCountryChangeEvents", "AckCountryChangeEvent", "country_change_v1"),
        ("StreamPeriodicCountryEvents", "AckPeriodicCountryEvent", "periodic_country_v1"),
        ("StreamFirstAttachmentEvents", "AckFirstAttachmentEvent", "first_attachment_v1"),
        ("StreamConsentChangeEvents", "AckConsentChangeEvent", "consent_change_v1"),
    }
    services = (subscription, "SubscriptionEventService"), (consents, "ConsentEventService")
    offered = {
        f"/{service.full_name}/{method.name}"
        for module, name in services
        for service in [module.DESCRIPTOR.services_by_name[name]]
        for method in service.methods
    }
    assert {path for method in api.V1 for path in (method.stream, method.ack)} <= offered


def test_v0_needs_one_stream_and_v1_one_for_each_table():
    """Only the streams that feed a wanted table are opened."""
    assert api.methods("v0", ["sms", "voice"]) == (api.V0,)
    found = api.methods("v1", ["handset_change_v1", "consent_change_v1"])
    assert {method.name for method in found} == {"StreamHandsetChangeEvents", "StreamConsentChangeEvents"}


@given(sequence=uint64, inbox=st.text(max_size=20), redelivered=st.booleans())
def test_v0_acks_name_what_was_delivered(sequence, inbox, redelivered):
    """Inbox and sequence go back as they came."""
    response = v0.SubscribeEventsResponse()
    metadata = response.event.metadata
    metadata.sequence, metadata.ack_inbox, metadata.is_redelivered = sequence, inbox, redelivered
    response.event.sms_event.text = "secret"
    request = v0.AckRequest.FromString(api.ack_request(api.V0, response.SerializeToString()))
    assert (request.inbox, request.sequence) == (inbox, sequence)


@given(value=st.text(min_size=1, max_size=20))
def test_v1_acks_name_what_was_delivered(value):
    """The ack's information goes back as it came."""
    response = subscription.StreamHandsetChangeEventsResponse()
    response.metadata.ack_info.value = value
    request = api.ack_request(HANDSETS, response.SerializeToString())
    found = subscription.AckHandsetChangeEventRequest.FromString(request)
    assert found.ack_info.value == value


@given(payload=st.binary(max_size=80))
@pytest.mark.parametrize("method", [api.V0, HANDSETS], ids=["v0", "v1"])
def test_no_bytes_make_it_raise(method, payload):
    """Whatever a service sends: an ack, or nothing to ack."""
    assert api.ack_request(method, payload) is None or api.ack_request(method, payload)


@given(kept=st.floats(0, 1), sequence=uint64)
def test_a_delivery_cut_behind_its_metadata_is_acked(kept, sequence):
    """What is broken after that must not come again for ever."""
    metadata = v0.EventMetadata(sequence=sequence, ack_inbox="inbox").SerializeToString()
    body = b"\x0a" + bytes((len(metadata),)) + metadata
    event = body + b"\x52\x7f" + bytes(int(kept * 126))  # a field of 127 bytes that ends too soon
    payload = b"\x0a\xff\x01" + event
    request = v0.AckRequest.FromString(api.ack_request(api.V0, payload))
    assert (request.inbox, request.sequence) == ("inbox", sequence)


def test_invalid_utf_8_is_acked_as_it_came():
    """Bytes that are no text go back unchanged."""
    payload = b"\x0a\x08\x0a\x06\x08\x05\x1a\x02\xff\xfe"
    assert b"\xff\xfe" in api.ack_request(api.V0, payload)


def test_a_delivery_without_anything_to_ack_says_so():
    """It is journaled all the same."""
    assert api.ack_request(api.V0, v0.SubscribeEventsResponse().SerializeToString()) is None
    assert api.ack_request(HANDSETS, b"") is None


def test_v1_says_itself_whether_an_ack_counts():
    """An answer with status OK may refuse all the same; what cannot be read is no success."""

    def answer(status):
        return v1.AckResponse(ack_status=v1.AckStatus(status_code=status)).SerializeToString()

    assert api.ack_accepted(HANDSETS, answer(v1.AckStatus.STATUS_CODE_SUCCESS))
    for name, number in v1.AckStatus.StatusCode.items():
        assert api.ack_accepted(HANDSETS, answer(number)) == (name == "STATUS_CODE_SUCCESS")
    assert not api.ack_accepted(HANDSETS, b"")
    assert not api.ack_accepted(HANDSETS, b"\xff")
    assert api.ack_accepted(api.V0, b"anything")
