"""What is made up is believable, fictional and the same everywhere; bytes are joined as protobuf would."""

import re
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.events.v1 import events_pb2 as v1
from wgtwo.subscription.v1 import subscription_events_pb2 as subscription
from wgtwo_pipeline.sandbox.broker.clock import Clock
from wgtwo_pipeline.sandbox.events.draw import Draw
from wgtwo_pipeline.sandbox.events.encode import v0_response, v1_response
from wgtwo_pipeline.sandbox.events.event import Event
from wgtwo_pipeline.sandbox.events.kinds import KINDS, kinds_named
from wgtwo_pipeline.sandbox.events.make import makers

MADE = {
    api: [maker.make(index) for index in range(2000)] for api, maker in makers(0, kinds_named(())).items()
}
FICTIONAL = re.compile(
    r"\+447700900\d{3}"  # Ofcom, "Telephone numbers for use in TV and radio drama programmes"
    r"|\+1202555\d{4}"  # NANPA, 555-0100 to 555-0199
    r"|\+46701740(60[5-9]|6[1-9]\d)"  # PTS, numbers for use in books and films
)


def numbers(message):
    """Every e164 of a message, however deep."""
    for field, value in message.ListFields():
        if field.name == "e164" and field.type == field.TYPE_STRING:
            yield value
        elif field.type == field.TYPE_MESSAGE:
            yield from numbers(value)


def test_every_hundred_events_hold_every_kind_by_its_weight():
    """Whatever the hundred."""
    for made in MADE.values():
        for start in range(0, 2000, 100):
            counts = Counter(event.kind.name for event in made[start : start + 100])
            assert counts == {name: KINDS[name].weight for name in counts}
    assert {event.kind.name for made in MADE.values() for event in made} == set(KINDS)


def test_all_numbers_are_fictional():
    """No number can belong to anybody; IMSIs are of the test network."""
    found = [number for made in MADE.values() for event in made for number in numbers(event.message)]
    assert len(found) > 4000
    assert [number for number in found if not FICTIONAL.fullmatch(number)] == []
    assert {
        event.message.first_attachment_event.imsi.value[:5]
        for event in MADE["v0"]
        if event.kind.name == "first_attachment"
    } == {"00101"}


def test_reports_follow_their_sms_and_calls_their_stages():
    """Each delivery report names an SMS that came before; each call is initiated first and ended last."""
    sent, calls = set(), {}
    for event in (made.message for made in MADE["v0"]):
        match event.WhichOneof("event"):
            case "sms_event":
                sent.add(event.sms_event.id)
            case "sms_delivery_report_event":
                assert event.sms_delivery_report_event.sms_id in sent
            case "voice_event":
                calls.setdefault(event.voice_event.call_id, []).append(event.voice_event.type)
    whole = [stages for stages in calls.values() if len(stages) == 4]
    assert len(whole) == 120
    for stages in whole:
        assert (stages[0], stages[3]) == (v0.VoiceEvent.CALL_INITIATED, v0.VoiceEvent.CALL_ENDED)


def test_revocations_name_a_few_who_have_events():
    """Who revokes has events, so that something is erased; they are few, so that most stays; v1 grants again."""
    for api, made in MADE.items():
        revoked, granted, others = set(), set(), []
        for event in made:
            change = event.message.consent_change_event if event.kind.name == "consent_change_v1" else None
            named = set(numbers(event.message))
            if event.kind.name == "consent_revoke" or (change is not None and change.HasField("revoked")):
                revoked |= named
            elif change is not None:
                granted |= named if change.HasField("added") else set()
            else:
                others.append(named)
        assert 20 < len(revoked) <= 45
        theirs = sum(bool(named & revoked) for named in others)
        assert 0 < theirs < len(others) / 10
        assert api == "v0" or granted & revoked


def test_draws_are_the_same_everywhere():
    """Made-up events follow from these values: a change of them is a change of every seed's events."""
    draw = Draw(7, "call", 3)
    assert [draw.below(1000), draw.pick("abcdef"), draw.hex(8), draw.chance(0.5)] == [
        569,
        "c",
        "aa52805e",
        True,
    ]
    assert Draw(7, "deck").shuffled(range(8)) == [1, 3, 2, 5, 0, 6, 4, 7]


events = st.builds(
    Event,
    number=st.just(1),
    channel=st.just("sms"),
    sequence=st.integers(1, 2**64 - 1),
    timestamp_us=st.just(0),
    body=st.text().map(lambda text: v0.Event(service_id=text).SerializeToString()),
)


@given(events, st.text(), st.booleans())
def test_v0_responses_read_as_protobuf(event, inbox, is_redelivered):
    """Metadata and body, whatever they hold."""
    response = v0.SubscribeEventsResponse.FromString(v0_response(event, inbox, is_redelivered))
    expected = v0.Event.FromString(event.body)
    expected.metadata.sequence = event.sequence
    expected.metadata.is_redelivered = is_redelivered
    expected.metadata.ack_inbox = inbox
    assert response.event == expected


@given(st.text(min_size=1), st.text(), st.booleans())
def test_v1_responses_read_as_protobuf(info, wg2rn, is_redelivered):
    """The metadata's lasting part, the delivery's own, and the body."""
    metadata = v1.Metadata()
    metadata.timestamp.seconds = 5
    metadata.identifier.subscription_identifier.wg2rn = wg2rn
    body = subscription.StreamFirstAttachmentEventsResponse()
    body.first_attachment_event.imsi.value = "00101"
    event = Event(1, "x", 1, 0, body.SerializeToString(), metadata.SerializeToString())
    response = subscription.StreamFirstAttachmentEventsResponse.FromString(
        v1_response(event, info, is_redelivered)
    )
    metadata.ack_info.value, metadata.is_redelivered = info, is_redelivered
    body.metadata.CopyFrom(metadata)
    assert response == body


def test_the_clock_runs_as_fast_as_told():
    """Real time at the start, then times the speed; an advance adds."""
    elapsed = [100.0]
    clock = Clock(60.0, elapsed=lambda: elapsed[0], now=lambda: 1_000.0)
    assert clock.now_us() == 1_000_000_000
    elapsed[0] += 2
    assert clock.now_us() == 1_120_000_000
    clock.advance(30)
    assert clock.now_us() == 1_150_000_000
