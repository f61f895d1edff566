"""Every fault does what its flag says, and nothing but that."""

import itertools
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields

import grpc
import pytest
from google.protobuf.message import DecodeError
from patience import wait_until
from sandbox_client import drain, key, take
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.sandbox.broker.state import emitted
from wgtwo_pipeline.sandbox.options import MALFORMATIONS, OPTIONS, Faults, SandboxSettings

QUEUE = {"queue_name": "q", "durable_name": "d"}
ONE = {"count": 1, "rate": 1000.0, "types": ("sms",)}


def test_options_and_settings_agree():
    """Each option names a field of the settings with the same default, has a help, and no fault is without one."""
    defaults = SandboxSettings()
    for option in OPTIONS:
        assert getattr(defaults, option.field) == option.default
        assert option.help
    assert {spec.name for spec in fields(Faults)} <= {option.field for option in OPTIONS}


@pytest.mark.parametrize(
    "wrong",
    [
        {"drop_acks": 1.1},
        {"malform": -0.1},
        {"malform_kinds": ("odd",)},
        {"latency_seconds": -1},
        {"latency_seconds": float("nan")},
        {"fail_tokens": "all"},
        {"clock_speed": True},
        {"cut_status": "maybe"},
        {"rate": -1},
        {"count": -1},
        {"clock_speed": 0},
        {"types": ("fax",)},
        {"oauth_client": "nosecret", "oauth_address": "127.0.0.1:0"},
        {"oauth_client": "id:secret"},
    ],
)
def test_settings_that_cannot_work_are_refused(wrong):
    """The message names the setting."""
    with pytest.raises(ConfigurationError, match=next(iter(wrong))):
        SandboxSettings(**wrong)


@pytest.mark.parametrize(
    ("status", "codes"),
    [("ok", {grpc.StatusCode.OK}), ("unavailable", {grpc.StatusCode.UNAVAILABLE})],
)
def test_streams_are_cut(sandbox, connect, status, codes):
    """Each stream ends after the time, with the status asked for; the next goes on without loss."""
    handle = sandbox(rate=500, types=("sms",), cut_streams_seconds=0.2, cut_status=status)
    client, got, ends = connect(handle.address), [], set()
    for _ in range(3):
        responses, end = drain(client.subscribe(**QUEUE))
        got += [response.event.metadata.sequence for response in responses]
        ends.add(end)
    assert ends == codes
    assert set(got) == set(range(1, max(got) + 1))


def test_stalled_streams_stay_open_and_silent(sandbox, connect):
    """After the time nothing comes any more, and the stream does not end."""
    handle = sandbox(rate=200, types=("sms",), stall_streams_seconds=0.3)
    stream, got = connect(handle.address).subscribe(), []

    def read():
        with pytest.raises(grpc.RpcError):
            got.extend(map(id, stream))

    def emitted():
        return handle.state()["emitted"]["v0"]

    def silent():
        before, more = len(got), emitted() + 100
        wait_until(lambda: emitted() >= more)
        return len(got) == before > 0

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(read)
        wait_until(silent)
        assert emitted() > len(got) + 100
        assert not done.done()
        stream.cancel()
    assert stream.code() == grpc.StatusCode.CANCELLED


def test_what_timed_out_before_it_was_sent_is_sent_once(sandbox, connect):
    """A stream that was stalled through three ack timeouts then brings the event once, not four times."""
    handle = sandbox(stall_streams_seconds=0.001, rate=0, types=("sms",))
    stream = connect(handle.address).subscribe(manual_seconds=30, **QUEUE)
    wait_until(lambda: handle.state()["groups"])
    time.sleep(0.002)  # the stream is stalled for certain
    handle.call(lambda core: core.make_next())
    for _ in range(3):
        handle.call(lambda core: core.clock.advance(31))
        handle.call(lambda core: core.engine.tick(core.clock.now_us()))
    assert handle.state()["groups"][0]["redelivered"] == 3
    handle.call(lambda core: core.change_faults({"stall_streams_seconds": 0}))
    handle.call(lambda core: core.make_next())  # what comes before it is all that comes of the first
    assert [event.metadata.sequence for event in take(stream, 2)] == [1, 2]


def test_connections_are_reset(sandbox, connect):
    """Streams break with UNAVAILABLE, and a new connection goes on."""
    handle = sandbox(rate=200, types=("sms",), reset_connections_seconds=0.3)
    client = connect(handle.address)
    _, status = drain(client.subscribe(manual_seconds=30, max_in_flight=200, **QUEUE))
    assert status == grpc.StatusCode.UNAVAILABLE
    assert handle.state()["counts"]["connections_reset"] >= 1
    handle.call(lambda core: core.change_faults({"reset_connections_seconds": 0}))
    take(connect(handle.address).subscribe(manual_seconds=30, max_in_flight=200, **QUEUE), 5)


def test_dropped_acks_are_answered_and_not_counted(sandbox, connect):
    """The event comes again although its ack was answered."""
    handle = sandbox(drop_acks=1.0, **ONE)
    client = connect(handle.address)
    stream = client.subscribe(manual_seconds=0.3, **QUEUE)
    (event,) = take(stream, 1)
    client.ack(event)
    (again,) = take(stream, 1)
    assert again.metadata.is_redelivered
    assert handle.state()["groups"][0]["acked"] == 0


def test_refused_acks_fail_and_are_not_counted(sandbox, connect):
    """UNAVAILABLE; once the fault is over the same ack counts."""
    handle = sandbox(refuse_acks=1.0, **ONE)
    client = connect(handle.address)
    (event,) = take(client.subscribe(manual_seconds=30, **QUEUE), 1)
    with pytest.raises(grpc.RpcError) as caught:
        client.ack(event)
    assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
    handle.call(lambda core: core.change_faults({"refuse_acks": 0}))
    client.ack(event)
    assert handle.state()["groups"][0]["acked"] == 1


def test_lost_ack_replies_count_and_never_come(sandbox, connect):
    """The caller runs into its deadline, yet the ack has counted."""
    handle = sandbox(lose_ack_replies=1.0, **ONE)
    client = connect(handle.address)
    (event,) = take(client.subscribe(manual_seconds=30, **QUEUE), 1)
    with pytest.raises(grpc.RpcError) as caught:
        client.ack(event, seconds=0.4)
    assert caught.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: handle.state()["groups"][0]["acked"] == 1)


def test_deliveries_are_duplicated_unmarked(sandbox, connect):
    """The same bytes twice, not marked as redelivered."""
    handle = sandbox(duplicate_deliveries=1.0, **ONE)
    first, second = take(connect(handle.address).subscribe(**QUEUE), 2)
    assert first == second
    assert not second.metadata.is_redelivered


def test_latency_delays_deliveries_and_acks(sandbox, connect):
    """At least so long, each."""
    handle = sandbox(latency_seconds=0.3, **ONE)
    client = connect(handle.address)
    wait_until(lambda: handle.state()["emitted"]["v0"] == 1)
    started = time.monotonic()
    (event,) = take(client.subscribe(manual_seconds=30, **QUEUE), 1)
    delivered = time.monotonic()
    client.ack(event)
    assert delivered - started >= 0.3
    assert time.monotonic() - delivered >= 0.3


def test_probabilities_strike_as_often_as_told_and_reproducibly(sandbox):
    """Of 2,000 draws about a fifth strike, the same ones for the same seed, others for another."""

    def strikes(seed):
        handle = sandbox(rate=0, seed=seed, drop_acks=0.2)
        return handle.call(lambda core: [core.happens("drop_acks") for _ in range(2000)])

    first = strikes(1)
    assert 300 < sum(first) < 500
    assert strikes(1) == first
    assert strikes(2) != first


def raw_events(handle, connect, count):
    """Deliveries as bytes, for what no parser takes."""
    client = connect(handle.address)
    request = v0.SubscribeEventsRequest()
    request.start_at_oldest_possible.SetInParent()
    stream = client.stream("/wgtwo.events.v0.EventsService/Subscribe", request, answer=None)
    return list(itertools.islice(stream, count))


def malformed_sandbox(sandbox, way, types=("voice", "sms")):
    return sandbox(count=20, rate=2000, types=types, malform=1.0, malform_kinds=(way,))


@pytest.mark.parametrize("way", MALFORMATIONS)
def test_malformed_events_are_sent_and_the_books_say_which(sandbox, connect, way):
    """All 20 arrive over one stream, and each is listed with the way in which it is malformed."""
    handle = malformed_sandbox(sandbox, way)
    assert len(raw_events(handle, connect, 20)) == 20
    assert Counter(event.malformed for event in handle.call(emitted)) == {way: 20}


@pytest.mark.parametrize("way", ["unset_oneof", "unknown_member"])
def test_events_without_a_known_payload(sandbox, connect, way):
    """They parse, have metadata and no known payload; an unknown member's bytes are there."""
    for raw in raw_events(malformed_sandbox(sandbox, way), connect, 20):
        event = v0.SubscribeEventsResponse.FromString(raw).event
        assert event.WhichOneof("event") is None
        assert event.metadata.sequence > 0
        sizes = len(event.SerializeToString())
        event.DiscardUnknownFields()
        assert (len(event.SerializeToString()) < sizes) == (way == "unknown_member")


def test_events_with_unknown_enum_values(sandbox, connect):
    """They parse, and the enum has a number that it does not know."""
    for raw in raw_events(malformed_sandbox(sandbox, "unknown_enum", ("voice",)), connect, 20):
        event = v0.SubscribeEventsResponse.FromString(raw).event
        assert event.voice_event.type not in v0.VoiceEvent.VoiceEventType.values()
        assert event.voice_event.call_id


def test_events_with_unknown_fields_are_whole_but_for_them(sandbox, connect):
    """Everything that is known is there."""
    for raw in raw_events(malformed_sandbox(sandbox, "unknown_fields"), connect, 20):
        event = v0.SubscribeEventsResponse.FromString(raw).event
        size = event.ByteSize()
        event.DiscardUnknownFields()
        assert event.ByteSize() < size
        assert event.WhichOneof("event") in ("voice_event", "sms_event")


@pytest.mark.parametrize("way", ["invalid_utf8", "truncated"])
def test_events_that_no_parser_takes(sandbox, connect, way):
    """They arrive as bytes and do not parse; a client that reads bytes is not disturbed."""
    for raw in raw_events(malformed_sandbox(sandbox, way), connect, 20):
        with pytest.raises(DecodeError):
            v0.SubscribeEventsResponse.FromString(raw)


def test_malformed_events_stay_what_they_are_when_redelivered(sandbox, connect):
    """A redelivery has the same content byte for byte but for its metadata."""
    handle = sandbox(count=1, rate=1000, types=("voice",), malform=1.0, malform_kinds=("unknown_enum",))
    first, second = take(connect(handle.address).subscribe(manual_seconds=0.3, **QUEUE), 2)
    assert key(first) == key(second)
    for event in (first, second):
        event.ClearField("metadata")
    assert first.SerializeToString() == second.SerializeToString()


def test_a_share_of_events_is_malformed(sandbox):
    """About one in ten of 1,000, in all ways, the same ones for the same seed."""

    def malformed(seed):
        handle = sandbox(rate=0, seed=seed, malform=0.1)
        handle.call(lambda core: [core.make_next() for _ in range(1000)])
        return [(event.key, event.malformed) for event in handle.call(emitted) if event.malformed]

    first = malformed(3)
    assert 120 < len(first) < 260  # of two APIs
    assert {way for _, way in first} == set(MALFORMATIONS)
    assert malformed(3) == first


def test_the_same_seed_makes_the_same_events(sandbox):
    """Content follows from the seed; only timestamps differ."""

    def contents(seed):
        handle = sandbox(rate=0, seed=seed, types=("all",))
        handle.call(lambda core: [core.make_next() for _ in range(300)])
        result = []
        for event in handle.call(emitted):
            if event.head:  # v1: the timestamp is in the metadata
                result.append((event.key, event.body))
            else:
                message = v0.Event.FromString(event.body)
                message.ClearField("timestamp")
                result.append((event.key, message.SerializeToString()))
        return result

    first = contents(7)
    assert len(first) == 600
    assert contents(7) == first
    assert contents(8) != first
