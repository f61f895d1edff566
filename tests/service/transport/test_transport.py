"""The contract suite of the seam: every implementation of Transport passes all of it, against a real server.

It is over 300 lines because it is one suite, which every client passes whole.
"""

import multiprocessing
import pickle
import threading
import time
from concurrent import futures

import grpc
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import PATIENCE_SECONDS, wait_until
from scripted_server import CALL, STREAM, Relay, ScriptedServer
from wgtwo_pipeline.errors import ServiceError
from wgtwo_pipeline.service.transport import MAX_WAITING_BYTES, StreamEndedError

MIB = 1 << 20
HOUR = 3600.0
"""Longer than any test may take: that something returns at all shows that it did not wait for so long."""


def drain(stream, max_count: int = 100) -> tuple[list[bytes], StreamEndedError]:
    payloads: list[bytes] = []
    while True:
        try:
            payloads += [item.payload for item in stream.receive(max_count, max_count, 0.01, 5)]
        except StreamEndedError as end:
            return payloads, end


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(sent=st.lists(st.binary(max_size=40), max_size=60), max_count=st.integers(1, 70))
def test_deliveries_come_in_order_and_as_raw_bytes(connect, server, sent, max_count):
    """Whatever bytes the server sends come once, in order, before the end is told, at most max_count at a time."""
    server.stream = lambda request, context: iter(sent)
    payloads, end = drain(connect(server.target).stream(STREAM, b""), max_count)
    assert payloads == sent
    assert end.code == "OK"


def test_the_request_reaches_the_server_as_it_is(connect, server):
    """A stream's request is sent as raw bytes."""
    server.stream = lambda request, context: iter([request])
    assert drain(connect(server.target).stream(STREAM, b"\xff\x00ask"))[0] == [b"\xff\x00ask"]


def test_full_batches_do_not_linger(connect, server, release):
    """With max_count deliveries there, receive returns at once, whatever the linger time."""

    def stream(request, context):
        yield from [b"x"] * 25
        release.wait()

    server.stream = stream
    open_stream = connect(server.target).stream(STREAM, b"")
    assert [len(open_stream.receive(10, 10, HOUR, HOUR)) for _ in range(2)] == [10, 10]


def test_what_comes_right_behind_enough_is_taken_along(connect, server, release):
    """Once `enough` wait, receive goes on while more come, up to max_count."""

    def stream(request, context):
        yield from [b"x"] * 4000
        release.wait()

    server.stream = stream
    open_stream = connect(server.target).stream(STREAM, b"")
    wait_until(lambda: open_stream.waiting == 4000)
    assert [len(open_stream.receive(10, 1500, HOUR, HOUR)) for _ in range(3)] == [1500, 1500, 1000]


def test_enough_does_not_wait_for_more_that_does_not_come(connect, server, release):
    """With `enough` there and nothing behind, receive returns long before the linger time is over."""

    def stream(request, context):
        yield from [b"x"] * 25
        release.wait()

    server.stream = stream
    open_stream = connect(server.target).stream(STREAM, b"")
    came = 0
    while came < 25:  # a busy machine may pause between any two
        came += len(open_stream.receive(1, 50, HOUR, HOUR))
    assert came == 25


def test_few_deliveries_linger_and_then_come(connect, server, release):
    """With fewer than enough, receive waits until the oldest is linger_seconds old."""

    def stream(request, context):
        yield b"first"
        release.wait()

    server.stream = stream
    open_stream = connect(server.target).stream(STREAM, b"")
    (item,) = open_stream.receive(10, 10, 0.3, HOUR)
    assert time.time() - item.received_at_us / 1e6 > 0.29


def test_a_delivery_that_has_waited_long_enough_is_not_kept_waiting(connect, server, release, monkeypatch):
    """Time spent before receive was called counts as lingering."""

    def stream(request, context):
        yield b"first"
        release.wait()

    server.stream = stream
    open_stream = connect(server.target).stream(STREAM, b"")
    wait_until(lambda: open_stream.waiting == 1)
    now = time.time
    monkeypatch.setattr(time, "time", lambda: now() + HOUR)
    assert len(open_stream.receive(10, 10, HOUR, 2 * HOUR)) == 1


def test_nothing_in_time_is_an_empty_list(connect, server, release):
    """Where nothing comes, receive returns an empty list after timeout_seconds; the stream goes on."""

    def stream(request, context):
        release.wait()
        yield b"late"

    server.stream = stream
    open_stream = connect(server.target).stream(STREAM, b"")
    started = time.monotonic()
    assert open_stream.receive(10, 10, HOUR, 0.2) == []
    assert time.monotonic() - started > 0.19
    release.set()
    assert [item.payload for item in open_stream.receive(1, 1, 0, PATIENCE_SECONDS)] == [b"late"]


def test_arrival_times_are_microseconds_since_the_epoch(connect, server, release):
    """received_at_us says when a delivery arrived, not when it was received."""

    def stream(request, context):
        yield b"x"
        release.wait()

    server.stream = stream
    before = time.time_ns() // 1000
    open_stream = connect(server.target).stream(STREAM, b"")
    wait_until(lambda: open_stream.waiting == 1)
    after = time.time_ns() // 1000
    (item,) = open_stream.receive(1, 1, 0, PATIENCE_SECONDS)
    assert before <= item.received_at_us <= after


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.INTERNAL, grpc.StatusCode.OK])
def test_the_end_is_told_after_the_last_delivery_and_again(connect, server, code):
    """A stream that ends, also with OK, is told with its code and detail once all is received, at each call."""

    def stream(request, context):
        yield b"x"
        if code is not grpc.StatusCode.OK:
            context.abort(code, "that was all")

    server.stream = stream
    open_stream = connect(server.target).stream(STREAM, b"")
    payloads, end = drain(open_stream)
    assert payloads == [b"x"]
    assert end.code == code.name
    assert code is grpc.StatusCode.OK or end.detail == "that was all"
    with pytest.raises(StreamEndedError):
        open_stream.receive(1, 1, 0, 0)


def test_big_events_pass(connect, server):
    """An event of 20 MiB is received whole: gRPC's usual limit of 4 MiB is not ours."""
    event = bytes(20 * MIB)
    server.stream = lambda request, context: iter([event])
    assert drain(connect(server.target).stream(STREAM, b""))[0] == [event]


def test_what_waits_is_bounded(connect, server):
    """A receiver that does not come stops the reading, and so the server, at a bound; all comes when it does."""
    count, size, sent = 60, 4 * MIB, []

    def stream(request, context):
        for number in range(count):
            sent.append(number)
            yield number.to_bytes(4, "big") + bytes(size - 4)

    server.stream = stream
    open_stream = connect(server.target).stream(STREAM, b"")
    wait_until(lambda: open_stream.waiting * size >= MAX_WAITING_BYTES - size)
    time.sleep(0.3)
    assert open_stream.waiting * size <= MAX_WAITING_BYTES + size
    assert len(sent) < count
    # However long it may linger: a full buffer is not waited for.
    numbers = [
        int.from_bytes(item.payload[:4], "big") for item in open_stream.receive(count, count, HOUR, HOUR)
    ]
    payloads, _ = drain(open_stream)
    assert numbers + [int.from_bytes(payload[:4], "big") for payload in payloads] == list(range(count))


def test_cancelling_ends_a_stream_at_once(connect, server, release):
    """cancel ends a silent stream, wakes its receiver, keeps what had come, tells the server, and may be repeated."""
    cancelled = threading.Event()

    def stream(request, context):
        context.add_callback(cancelled.set)
        yield b"x"
        release.wait()

    server.stream = stream
    open_stream = connect(server.target).stream(STREAM, b"")
    wait_until(lambda: open_stream.waiting == 1)
    with futures.ThreadPoolExecutor(1) as pool:
        drained = pool.submit(drain, open_stream, 1)
        open_stream.cancel()
        open_stream.cancel()
        payloads, end = drained.result(PATIENCE_SECONDS)
    assert payloads == [b"x"]
    assert end.code == "CANCELLED"
    assert cancelled.wait(PATIENCE_SECONDS)


def test_closing_wakes_a_reader_that_has_stopped_reading(connect, server, monkeypatch):
    """A stream whose buffer is full ends without being received from, and what waits can still be received."""
    monkeypatch.setattr("wgtwo_pipeline.service.grpcio_client._CLOSE_SECONDS", HOUR)
    server.stream = lambda request, context: iter([bytes(4 * MIB)] * 40)
    transport = connect(server.target)
    open_stream = transport.stream(STREAM, b"")
    wait_until(lambda: open_stream.waiting * 4 * MIB >= MAX_WAITING_BYTES)
    time.sleep(0.1)  # between the last delivery and the pause there is nothing to be seen from here
    transport.close()  # would take an hour
    payloads, end = drain(open_stream)
    assert len(payloads) >= 15
    assert end.code == "CANCELLED"


def test_calls_answer_in_order(connect, server):
    """call_many returns one result a request, in their order, however the server reorders them."""

    def call(request, context):
        time.sleep(0.05 if request < b"\x05" else 0)
        return b"re:" + request

    server.call = call
    requests = [bytes([number]) for number in range(40)]
    results = connect(server.target).call_many(CALL, requests, PATIENCE_SECONDS)
    assert [result.response for result in results] == [b"re:" + request for request in requests]
    assert {result.code for result in results} == {"OK"}
    assert connect(server.target).call_many(CALL, [], PATIENCE_SECONDS) == []


def test_calls_run_at_once(connect, server):
    """The calls of one call_many are all under way together."""
    together = threading.Barrier(20)

    def call(request, context):
        together.wait(PATIENCE_SECONDS)
        return b""

    server.call = call
    results = connect(server.target).call_many(CALL, [b""] * 20, PATIENCE_SECONDS)
    assert {result.code for result in results} == {"OK"}


def test_one_failed_call_fails_alone(connect, server):
    """A failed call is a result with its code and detail; the others succeed and nothing is raised."""

    def call(request, context):
        if request == b"bad":
            context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no such inbox")
        return request

    server.call = call
    first, bad, last = connect(server.target).call_many(CALL, [b"1", b"bad", b"2"], PATIENCE_SECONDS)
    assert (first.response, last.response) == (b"1", b"2")
    assert bad == ("FAILED_PRECONDITION", "no such inbox", None)


def test_call_many_keeps_its_time(connect, server, release):
    """A call without an answer is DEADLINE_EXCEEDED after the timeout; the answered ones keep their results."""

    def call(request, context):
        if request == b"slow":
            release.wait()
        return b""

    server.call = call
    started = time.monotonic()
    results = connect(server.target).call_many(CALL, [b"", b"slow"], 0.5)
    assert [result.code for result in results] == ["OK", "DEADLINE_EXCEEDED"]
    assert time.monotonic() - started > 0.4  # and it is over before `release` lets the answer go


def test_calls_to_nobody_are_results(connect, server):
    """Where nobody listens each call is UNAVAILABLE, and nothing is raised."""
    transport = connect(server.target)
    server.stop()
    assert [result.code for result in transport.call_many(CALL, [b"", b""], PATIENCE_SECONDS)] == [
        "UNAVAILABLE"
    ] * 2


def test_streams_and_calls_share_a_transport_between_threads(connect, server):
    """Several threads may stream and call on one transport at the same time; nothing is mixed up."""
    server.stream = lambda request, context: (request + bytes([n]) for n in range(200))
    transport = connect(server.target)

    def work(number: int) -> bool:
        name = bytes([number])
        payloads, _ = drain(transport.stream(STREAM, name))
        results = transport.call_many(CALL, payloads, PATIENCE_SECONDS)
        expected = [name + bytes([n]) for n in range(200)]
        return payloads == expected and [r.response for r in results] == [b"re:" + p for p in expected]

    with futures.ThreadPoolExecutor(4) as pool:
        assert all(pool.map(work, range(4)))


def test_closing_ends_everything(connect, server, release):
    """After close, streams have ended and calls fail; closing again does nothing."""
    server.stream = lambda request, context: iter(lambda: release.wait() and None, None)
    transport = connect(server.target)
    open_stream = transport.stream(STREAM, b"")
    transport.close()
    transport.close()
    assert drain(open_stream)[1].code == "CANCELLED"
    assert transport.call_many(CALL, [b""], 1)[0].code != "OK"
    with pytest.raises((StreamEndedError, ServiceError)):
        transport.stream(STREAM, b"").receive(1, 1, 0, 5)


def test_a_transport_is_not_pickled(connect, server):
    """Pickling a transport is refused with the reason, so that it can't slip into a worker's closure."""
    with pytest.raises(TypeError, match="threads and sockets"):
        pickle.dumps(connect(server.target))


def test_the_server_may_come_back(connect, server):
    """A stream that breaks with its server can be opened again on the same transport when the server is back."""
    server.stream = lambda request, context: iter([b"x"])
    transport = connect(server.target)
    assert drain(transport.stream(STREAM, b""))[0] == [b"x"]
    server.stop()
    assert drain(transport.stream(STREAM, b""))[1].code == "UNAVAILABLE"
    again = ScriptedServer(server.port)
    again.stream = lambda request, context: iter([b"y"])
    try:
        wait_until(lambda: drain(transport.stream(STREAM, b""))[0] == [b"y"])
    finally:
        again.stop()


def test_silently_dead_connections_end(connect, server, release):
    """A stream whose connection goes dead without a word ends by keepalive instead of waiting for ever."""

    def stream(request, context):
        yield b"x"
        release.wait()

    server.stream = stream
    with Relay(server.port) as relay:
        open_stream = connect(relay.target, keepalive_seconds=1).stream(STREAM, b"")
        assert len(open_stream.receive(1, 1, 0, PATIENCE_SECONDS)) == 1
        wait_until(
            lambda: relay.quiet_seconds() > 0.3
        )  # else grpcio may be waiting for another ping's answer
        relay.silent.set()
        _, end = drain(open_stream)
    assert end.code == "UNAVAILABLE"


def test_a_spawned_process_opens_its_own(connect, server):
    """What reaches another process is the Service; a transport opened there works while the parent's is open."""
    assert connect(server.target).call_many(CALL, [b"parent"], PATIENCE_SECONDS)[0].code == "OK"
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(_call_from_child, (server.target,)) == b"re:child"


def _call_from_child(target: str) -> bytes | None:
    from wgtwo_pipeline.service.open import open_transport
    from wgtwo_pipeline.service.settings import Service

    transport = open_transport(Service(target, plaintext=True))
    try:
        return transport.call_many("/test.Service/Call", [b"child"], PATIENCE_SECONDS)[0].response
    finally:
        transport.close()
