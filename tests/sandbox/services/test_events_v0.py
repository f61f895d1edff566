"""The v0 event service over a real connection keeps the contract."""

import threading
import time
from collections import Counter

import grpc
import pytest
from patience import PATIENCE_SECONDS, wait_until
from sandbox_client import drain, key, status_of, take, three_a_minute_apart
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.sandbox.broker.state import acked, emitted, unacked
from wgtwo_pipeline.sandbox.events.kinds import V0_BY_NUMBER

QUEUE = {"queue_name": "q", "durable_name": "d"}
FAST = {"rate": 5000.0, "types": ("voice", "sms")}


def test_all_kinds_arrive_whole(sandbox, connect):
    """Each of a hundred events arrives once, of every type, and byte for byte as emitted but for its metadata."""
    began = time.time()
    handle = sandbox(rate=5000, count=100, types=tuple(k.name for k in V0_BY_NUMBER.values()))
    got = take(connect(handle.address).subscribe(), 100)
    assert {key(event)[0] for event in got} == {k.name for k in V0_BY_NUMBER.values()}
    assert len({key(event) for event in got}) == 100
    bodies = {event.key: event.body for event in handle.call(emitted)}
    for event in got:
        assert not event.metadata.is_redelivered
        expected, identity = v0.Event(), key(event)
        expected.ParseFromString(bodies[identity])
        event.ClearField("metadata")
        assert event == expected
        assert began - 1 < event.timestamp.ToNanoseconds() / 1e9 < time.time() + 1


def test_every_event_acked_and_never_more_in_flight_than_asked(sandbox, connect):
    """2,000 events through a durable queue with manual ack: all acked, 50 in flight at most, nothing redelivered."""
    handle = sandbox(rate=20000, count=2000, types=tuple(k.name for k in V0_BY_NUMBER.values()))
    client = connect(handle.address)
    stream = client.subscribe(manual_seconds=30, max_in_flight=50, **QUEUE)
    opened = client.channel.unary_unary("/wgtwo.events.v0.EventsService/Ack")
    pending, got = [], Counter()
    for event in (response.event for response in stream):
        got[key(event)] += 1
        request = v0.AckRequest(inbox=event.metadata.ack_inbox, sequence=event.metadata.sequence)
        pending.append(opened.future(request.SerializeToString(), timeout=PATIENCE_SECONDS))
        if len(pending) >= 25:
            pending.pop(0).result()
        if sum(got.values()) == 2000:
            break
    assert all(future.result() == b"" for future in pending)
    stream.cancel()
    (group,) = handle.state()["groups"]
    assert set(got.values()) == {1}
    assert (group["acked"], group["unacked"], group["backlog"], group["redelivered"]) == (2000, 0, 0, 0)
    assert 1 < group["most_in_flight"] <= 50
    assert set(handle.call(lambda core: list(acked(core, group["number"])))) == set(got)


def test_unacked_holds_back_the_rest(sandbox, connect):
    """Without acks a stream brings max_in_flight events and then nothing."""
    handle = sandbox(count=100, **FAST)
    stream = connect(handle.address).subscribe(manual_seconds=600, max_in_flight=7, **QUEUE)
    take(stream, 7)
    wait_until(lambda: handle.state()["exhausted"])
    (group,) = handle.state()["groups"]
    assert (group["delivered"], group["unacked"], group["backlog"]) == (7, 7, 93)
    stream.cancel()
    assert drain(stream) == ([], grpc.StatusCode.CANCELLED)


def test_redelivery_keeps_the_event_and_marks_it(sandbox, connect):
    """After the ack timeout the same event comes again, marked, content unchanged; after an ack it does not."""
    handle = sandbox(count=1, types=("sms",), rate=1000)
    client = connect(handle.address)
    first, second = take(client.subscribe(manual_seconds=0.3, **QUEUE), 2)
    assert (first.metadata.is_redelivered, second.metadata.is_redelivered) == (False, True)
    assert first.metadata.sequence == second.metadata.sequence
    assert first.metadata.ack_inbox != second.metadata.ack_inbox
    for event in (first, second):
        event.ClearField("metadata")
    assert first == second


def test_acks_count_late_and_on_another_connection(sandbox, connect):
    """The first delivery's ack, sent after the timeout and over another connection, stops further redelivery."""
    handle = sandbox(count=1, types=("sms",), rate=1000)
    stream = connect(handle.address).subscribe(manual_seconds=600, **QUEUE)
    (first,) = take(stream, 1)
    handle.call(lambda core: core.clock.advance(601))
    take(stream, 1)
    connect(handle.address).ack(first)
    (group,) = handle.state()["groups"]
    assert (group["acked"], group["unacked"]) == (1, 0)
    handle.call(lambda core: (core.clock.advance(601), core.engine.tick(core.clock.now_us())))
    (group,) = handle.state()["groups"]
    assert (group["delivered"], group["redelivered"], group["waiting"]) == (2, 1, 0)
    stream.cancel()
    rest, _ = drain(stream)
    assert rest == []


def test_acks_of_unknown_things_are_harmless(sandbox, connect):
    """Any inbox and sequence is answered with success and changes nothing."""
    handle = sandbox(count=1, types=("sms",), rate=1000)
    client = connect(handle.address)
    (event,) = take(client.subscribe(manual_seconds=30, **QUEUE), 1)
    inbox = event.metadata.ack_inbox
    for wrong in ("", "nonsense", "_INBOX.x.1.sms.2.1", inbox.replace("sms", "voice"), "." * 5):
        event.metadata.ack_inbox = wrong
        client.ack(event)
    (group,) = handle.state()["groups"]
    assert (group["acked"], group["unacked"]) == (0, 1)


def test_four_members_share_a_queue_and_one_goes(sandbox, connect):
    """All four get some; what the one that goes had not acked comes to the others; each event is acked once."""
    handle = sandbox(count=400, rate=800, types=("voice", "sms"))
    acked_by, lock = [Counter() for _ in range(4)], threading.Lock()
    all_have_some = threading.Barrier(4)
    clients = [connect(handle.address) for _ in range(4)]
    streams = [client.subscribe(manual_seconds=1, max_in_flight=10, **QUEUE) for client in clients]

    def consume(member):
        for taken, response in enumerate(drain_lazily(streams[member])):
            if taken == 20:  # none goes on before all have so many
                all_have_some.wait(PATIENCE_SECONDS)
            if member == 0 and taken == 20:
                streams[0].cancel()
                return
            clients[member].ack(response.event)
            with lock:
                acked_by[member][key(response.event)] += 1

    threads = [threading.Thread(target=consume, args=(member,)) for member in range(4)]
    for thread in threads:
        thread.start()
    wait_until(lambda: sum(group["acked"] for group in handle.state()["groups"]) == 400)
    for stream in streams:
        stream.cancel()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert all(len(own) >= 20 for own in acked_by)
    assert set().union(*acked_by) == {event.key for event in handle.call(emitted)}
    assert handle.state()["groups"][0]["redelivered"] >= 1


def drain_lazily(stream):
    try:
        yield from stream
    except grpc.RpcError:
        return


def test_a_durable_goes_on_and_a_queue_starts_anew(sandbox, connect):
    """A disconnected durable gets what came meanwhile; a queue without durable name gets new events only."""
    handle = sandbox(rate=0)
    client = connect(handle.address)
    durable = client.subscribe(manual_seconds=30, oldest=False, client_id="me", durable_name="d")
    queue = client.subscribe(manual_seconds=30, oldest=False, client_id="me", queue_name="q")
    wait_until(lambda: len(handle.state()["groups"]) == 2)
    durable.cancel()
    queue.cancel()
    wait_until(lambda: len(handle.state()["groups"]) == 1)
    handle.call(lambda core: [core.make_next() for _ in range(20)])
    got = take(client.subscribe(manual_seconds=30, oldest=False, client_id="me", durable_name="d"), 20)
    assert len({key(event) for event in got}) == 20
    nothing, _ = drain(
        client.subscribe(manual_seconds=30, oldest=False, client_id="me", queue_name="q", seconds=0.5)
    )
    assert nothing == []


def test_an_expired_position_makes_the_start_position_count(sandbox, connect):
    """An hour after its last client left, and not before, a durable group is forgotten."""
    handle = sandbox(rate=0)
    client = connect(handle.address)
    stream = client.subscribe(manual_seconds=30, oldest=False, **QUEUE)
    wait_until(lambda: handle.state()["groups"])
    stream.cancel()
    wait_until(lambda: not handle.state()["groups"][0]["members"])
    handle.call(lambda core: core.clock.advance(3599))
    assert len(handle.state()["groups"]) == 1
    handle.call(lambda core: core.clock.advance(2))
    wait_until(lambda: not handle.state()["groups"])


def test_an_accelerated_clock_times_out_sooner(sandbox, connect):
    """At 100 times the speed an ack timeout of 30 s is over in 0.3 s: a hundredth of what its clock says."""
    handle = sandbox(count=1, types=("sms",), rate=1000, clock_speed=100.0)
    client = connect(handle.address)
    began_us = handle.call(lambda core: core.clock.now_us())  # before the first delivery can be
    began = time.monotonic()
    take(client.subscribe(manual_seconds=30, **QUEUE), 2)
    took = time.monotonic() - began
    took_by_its_clock = (handle.call(lambda core: core.clock.now_us()) - began_us) / 1e6
    assert took_by_its_clock >= 30
    assert took <= took_by_its_clock / 100 * 1.001


@pytest.mark.parametrize(
    ("position", "expected"),
    [
        (None, []),
        ("start_at_sequence", [2, 3]),
        ("start_at_timestamp", [2, 3]),
        ("start_at_time_delta", [2, 3]),
        ("start_with_last_received", [3]),
        ("start_at_oldest_possible", [1, 2, 3]),
    ],
)
def test_start_positions_on_the_wire(sandbox, connect, position, expected):
    """Each member of `start_position` starts where it says; the events here are 3, 2 and 1 minutes old."""
    handle = sandbox(rate=0, types=("sms",))

    now_us = handle.call(three_a_minute_apart)
    request = v0.SubscribeEventsRequest()
    match position:
        case "start_at_sequence":
            request.start_at_sequence = 2
        case "start_at_timestamp":
            request.start_at_timestamp.FromMicroseconds(now_us - 150_000_000)
        case "start_at_time_delta":
            request.start_at_time_delta.seconds = 150
        case str(name):
            getattr(request, name).SetInParent()
    client = connect(handle.address)
    method = "/wgtwo.events.v0.EventsService/Subscribe"
    stream = client.stream(method, request, v0.SubscribeEventsResponse)
    wait_until(lambda: handle.state()["groups"])
    handle.call(lambda core: core.make_next())  # the fourth: what comes before it is all that comes
    got = take(stream, len(expected) + 1)
    assert [event.metadata.sequence for event in got] == [*expected, 4]


def test_wrong_requests_are_refused(sandbox, connect):
    """Unknown types, negative timeouts and times that are none are INVALID_ARGUMENT."""
    client = connect(sandbox(rate=0).address)
    year_31_million = {"start_at_timestamp": {"seconds": 10**15}}
    for wrong in ({"type": [77]}, {"type": [0]}, {"manual_seconds": -1}, year_31_million):
        code, _ = status_of(lambda wrong=wrong: client.subscribe(**wrong))
        assert code == grpc.StatusCode.INVALID_ARGUMENT


def test_streams_end_and_positions_stay(sandbox, connect):
    """A stream ends after its lifetime with OK or UNAVAILABLE, and its successor goes on where it was."""
    handle = sandbox(rate=200, types=("sms",), stream_lifetime_seconds=0.4)
    client, got, ends = connect(handle.address), [], set()
    for _ in range(8):
        responses, status = drain(client.subscribe(**QUEUE))
        got += [response.event.metadata.sequence for response in responses]
        ends.add(status)
    assert ends <= {grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE}
    assert sorted(set(got)) == list(range(1, max(got) + 1))


def test_idle_streams_end_sooner(sandbox, connect):
    """A stream on which nothing comes ends after the idle time."""
    _, status = drain(connect(sandbox(rate=0, stream_idle_seconds=0.2).address).subscribe())
    assert status in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)


def test_members_that_vanish_leave_nothing_behind(sandbox, connect):
    """When a client's connection closes, its streams leave their groups."""
    handle = sandbox(rate=100)
    client = connect(handle.address)
    for _ in range(5):
        take(client.subscribe(), 1)
    client.close()
    wait_until(lambda: not handle.state()["groups"])


def test_state_lists_unacked_by_identity(sandbox, connect):
    """What is unacked can be told by (type, sequence)."""
    handle = sandbox(count=2, rate=1000, types=("sms",))
    take(connect(handle.address).subscribe(manual_seconds=30, **QUEUE), 2)
    (group,) = handle.state()["groups"]
    assert handle.call(lambda core: unacked(core, group["number"])) == [("sms", 1), ("sms", 2)]
