"""The v1 services over a real connection keep the contract."""

import itertools

import grpc
import pytest
from patience import PATIENCE_SECONDS, wait_until
from sandbox_client import drain, status_of, three_a_minute_apart
from wgtwo.consents.v1 import consent_events_pb2 as consents
from wgtwo.events.v1 import events_pb2 as v1
from wgtwo.subscription.v1 import subscription_events_pb2 as subscription
from wgtwo_pipeline.sandbox.broker.state import emitted
from wgtwo_pipeline.sandbox.events.kinds import KINDS

V1 = tuple(kind for kind in KINDS.values() if kind.api == "v1")
SUCCESS, FAILURE = v1.AckStatus.STATUS_CODE_SUCCESS, v1.AckStatus.STATUS_CODE_FAILURE
HANDSET = KINDS["handset_change_v1"]


def messages(kind, suffix):
    return getattr(consents if kind.service.startswith("wgtwo.consents") else subscription, suffix)


def open_stream(client, kind, seconds=PATIENCE_SECONDS, oldest=True, **configuration):
    request = messages(kind, f"Stream{kind.method}EventsRequest")()
    request.stream_configuration.MergeFrom(v1.StreamConfiguration(**configuration))
    if oldest and request.stream_configuration.WhichOneof("start_position") is None:
        request.stream_configuration.start_at_oldest_possible.SetInParent()
    answer = messages(kind, f"Stream{kind.method}EventsResponse")
    return client.stream(f"/{kind.service}/Stream{kind.method}Events", request, answer, seconds)


def ack(client, kind, value):
    request = messages(kind, f"Ack{kind.method}EventRequest")()
    request.ack_info.value = value
    answer = messages(kind, f"Ack{kind.method}EventResponse")
    return client.call(f"/{kind.service}/Ack{kind.method}Event", request, answer).ack_status.status_code


@pytest.mark.parametrize("kind", V1, ids=lambda kind: kind.method)
def test_each_method_streams_and_acks_its_kind(sandbox, connect, kind):
    """Fifty events of the method's kind arrive as emitted, in default configuration, and are acked."""
    handle = sandbox(rate=5000, count=50, types=(kind.name,))
    client = connect(handle.address)
    got = []
    for response in open_stream(client, kind):
        assert getattr(response, kind.payload).ByteSize() > 0
        assert not response.metadata.is_redelivered
        assert ack(client, kind, response.metadata.ack_info.value) == SUCCESS
        got.append(response)
        if len(got) == 50:
            break
    for event, response in zip(handle.call(emitted), got, strict=True):
        assert v1.Metadata.FromString(event.head).timestamp == response.metadata.timestamp
        response.ClearField("metadata")
        assert response.SerializeToString() == event.body
    (group,) = handle.state()["groups"]
    assert (group["acked"], group["unacked"], group["most_in_flight"] <= 50) == (50, 0, True)


def test_timestamps_and_identifiers_tell_v1_events_apart(sandbox):
    """No two events of a method have the same timestamp; all but tenants' have an identifier."""
    handle = sandbox(rate=0, types=tuple(kind.name for kind in V1))
    handle.call(lambda core: [core.make_next() for _ in range(500)])
    seen = set()
    for event in handle.call(emitted):
        metadata = v1.Metadata.FromString(event.head)
        seen.add((event.channel, metadata.timestamp.ToNanoseconds()))
        response = messages(KINDS[event.channel], f"Stream{KINDS[event.channel].method}EventsResponse")()
        response.ParseFromString(event.body)
        of_tenant = event.channel == "consent_change_v1" and response.consent_change_event.tenant
        assert bool(metadata.identifier.subscription_identifier.wg2rn) == (not of_tenant)
    assert len(seen) == 500


@pytest.mark.parametrize(
    "configuration",
    [
        {"max_in_flight": 201},
        {"custom_ack_timeout": {"seconds": 9}},
        {"custom_ack_timeout": {"seconds": 601}},
        {"custom_ack_timeout": {"seconds": 9, "nanos": 999_999_999}},
        {"custom_ack_timeout": {"seconds": 600, "nanos": 1}},
        {"custom_ack_timeout": {"seconds": 10**15}},
        {"custom_ack_timeout": {"nanos": 1}},
        {"start_at_timestamp": {"seconds": 10**15}},
    ],
)
def test_what_is_out_of_range_is_refused(sandbox, connect, configuration):
    """INVALID_ARGUMENT, naming the field."""
    client = connect(sandbox(rate=0).address)
    code, detail = status_of(lambda: open_stream(client, HANDSET, **configuration))
    assert code == grpc.StatusCode.INVALID_ARGUMENT
    assert next(iter(configuration)) in detail


@pytest.mark.parametrize(
    "configuration",
    [
        {},
        {"max_in_flight": 1},
        {"max_in_flight": 200},
        {"custom_ack_timeout": {"seconds": 10}},
        {"custom_ack_timeout": {"seconds": 600}},
    ],
)
def test_what_is_in_range_is_served(sandbox, connect, configuration):
    """The bounds themselves are allowed; nothing given means 50 in flight."""
    handle = sandbox(rate=5000, count=300, types=(HANDSET.name,))
    wait_until(lambda: handle.state()["exhausted"])
    stream = open_stream(connect(handle.address), HANDSET, **configuration)
    at_once = configuration.get("max_in_flight", 50)
    assert len(list(itertools.islice(stream, at_once))) == at_once
    (group,) = handle.state()["groups"]
    assert (group["delivered"], group["backlog"]) == (at_once, 300 - at_once)


def test_without_explicit_ack_everything_comes(sandbox, connect):
    """Sent is acked."""
    handle = sandbox(rate=5000, count=120, types=(HANDSET.name,))
    got = list(itertools.islice(open_stream(connect(handle.address), HANDSET, disable_explicit_ack={}), 120))
    assert len(got) == handle.state()["groups"][0]["delivered"] == 120
    assert {response.metadata.ack_info.value for response in got} == {""}


def test_the_default_is_a_durable_queue_and_new_events(sandbox, connect):
    """Two connections share; nothing old comes; the position stays for half an hour after the last has gone."""
    handle = sandbox(rate=0, types=(HANDSET.name,))
    handle.call(lambda core: [core.make_next() for _ in range(5)])
    clients = [connect(handle.address) for _ in range(2)]
    streams = [open_stream(client, HANDSET, oldest=False) for client in clients]
    wait_until(lambda: sum(len(group["members"]) for group in handle.state()["groups"]) == 2)
    handle.call(lambda core: [core.make_next() for _ in range(10)])
    (group,) = handle.state()["groups"]
    assert [member["delivered"] for member in group["members"]] == [5, 5]
    for stream in streams:
        stream.cancel()
    wait_until(lambda: not handle.state()["groups"][0]["members"])
    handle.call(lambda core: core.clock.advance(1795))
    assert len(handle.state()["groups"]) == 1
    handle.call(lambda core: core.clock.advance(10))
    wait_until(lambda: not handle.state()["groups"])


def test_custom_names_and_regular_streams_share_nothing(sandbox, connect):
    """Each gets every event."""
    handle = sandbox(rate=5000, count=10, types=(HANDSET.name,))
    client = connect(handle.address)
    for configuration in ({}, {"durable_queue": {"custom_name": "other"}}, {"regular": {}}, {"regular": {}}):
        stream = open_stream(client, HANDSET, **configuration)
        assert len(list(itertools.islice(stream, 10))) == 10
        assert handle.state()["groups"][-1]["delivered"] == 10
        stream.cancel()


def test_an_unacked_event_comes_again(sandbox, connect):
    """After 30 s of the sandbox's clock, marked, with the same timestamp and content."""
    handle = sandbox(rate=5000, count=1, types=(HANDSET.name,), clock_speed=100.0)
    stream = open_stream(connect(handle.address), HANDSET)
    first, second = next(stream), next(stream)
    assert (first.metadata.is_redelivered, second.metadata.is_redelivered) == (False, True)
    assert first.metadata.ack_info != second.metadata.ack_info
    assert first.metadata.timestamp == second.metadata.timestamp
    assert first.handset_change_event == second.handset_change_event


def test_ack_statuses(sandbox, connect):
    """Success for what is acked, now or before; failure for what was never given out here, and by the fault."""
    handle = sandbox(rate=5000, count=1, types=(HANDSET.name,))
    client = connect(handle.address)
    value = next(open_stream(client, HANDSET)).metadata.ack_info.value
    assert ack(client, HANDSET, "") == FAILURE
    assert ack(client, HANDSET, "bm9uc2Vuc2U=") == FAILURE
    assert ack(client, KINDS["first_attachment_v1"], value) == FAILURE
    handle.call(lambda core: core.change_faults({"refuse_acks": 1.0}))
    assert ack(client, HANDSET, value) == FAILURE
    assert handle.state()["groups"][0]["acked"] == 0
    handle.call(lambda core: core.change_faults({"refuse_acks": 0.0}))
    assert ack(client, HANDSET, value) == SUCCESS
    assert ack(client, HANDSET, value) == SUCCESS
    assert handle.state()["groups"][0]["acked"] == 1


def test_start_positions(sandbox, connect):
    """By id, by timestamp, oldest, new."""
    handle = sandbox(rate=0, types=(HANDSET.name,))

    now_us = handle.call(three_a_minute_apart)
    client = connect(handle.address)
    stamp = {"seconds": now_us // 1_000_000 - 150}
    positions = (
        ({"start_at_id": 2}, 2),
        ({"start_at_timestamp": stamp}, 2),
        ({"start_at_oldest_possible": {}}, 3),
        ({"start_at_new": {}}, 0),
    )
    for more, (configuration, count) in enumerate(positions):
        stream = open_stream(client, HANDSET, oldest=False, regular={}, **configuration)
        wait_until(lambda: handle.state()["groups"])
        handle.call(lambda core: core.make_next())  # what comes before it is all that comes
        newest = v1.Metadata.FromString(handle.call(emitted)[-1].head).timestamp
        expected = count + more + 1 if count else 1
        got = [response.metadata.timestamp for response in itertools.islice(stream, expected)]
        assert (len(got), got[-1]) == (expected, newest), configuration
        stream.cancel()
        wait_until(lambda: not handle.state()["groups"])


def test_streams_are_ended_by_force(sandbox, connect):
    """After the lifetime, give or take a tenth."""
    handle = sandbox(rate=0, stream_lifetime_seconds=0.3)
    _, status = drain(open_stream(connect(handle.address), HANDSET))
    assert status in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)
