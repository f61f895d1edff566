"""The thread that owns the connections: GOAWAY, silence, limits and ends, against a server made by hand.

It is over 300 lines since every test scripts the server's side of a conversation of its own.
"""

import itertools
import threading
import time

import pytest
from patience import PATIENCE_SECONDS, wait_until
from wgtwo_pipeline.service.http2 import frames
from wgtwo_pipeline.service.http2.frames import ErrorCode, frame
from wgtwo_pipeline.service.transport import MAX_WAITING_BYTES, StreamEndedError

STREAM = "/test.Service/Stream"
MIB = 1 << 20


def u32(number: int) -> bytes:
    return number.to_bytes(4, "big")


def goaway(last: int, code: int = 0, text: bytes = b"") -> bytes:
    return frame(frames.GOAWAY, 0, 0, u32(last) + u32(code) + text)


def limit(streams: int) -> bytes:
    return frame(frames.SETTINGS, 0, 0, b"\0\x03" + u32(streams))


def ended(stream, seconds: float = PATIENCE_SECONDS) -> StreamEndedError:
    try:
        while stream.receive(100, 100, 0, seconds):
            pass
    except StreamEndedError as end:
        return end
    raise AssertionError("it did not end")


# One connection


def test_streams_and_calls_share_a_connection(hands, open_http2):
    """And the second call's headers are but references to what the first one said."""
    transport = open_http2(hands.target)
    stream = transport.stream(STREAM, b"ask")
    connection = hands.next_connection()
    (first,) = connection.await_requests()
    assert connection.requests[first][":path"] == STREAM
    sizes = []
    for at in range(3):
        results = transport.begin(b"x")
        number = connection.await_requests(at + 2)[-1]
        connection.say(connection.answer(number))
        assert results() == ["OK"]
        sizes.append(
            next(len(payload) for kind, _, on, payload in connection.frames if (kind, on) == (1, number))
        )
    assert sizes[1] == sizes[2] == len(connection.requests[3])
    assert stream.connected


def test_deliveries_may_be_cut_and_joined_anyhow(hands, open_http2):
    """Several messages in a frame, one in several, prefixes in two halves, empty ones."""
    messages = [b"", b"one", bytes(20_000), b"\0" * 5, b"last"]
    whole = b"".join(len(each).to_bytes(5, "big") + each for each in messages)
    stream = open_http2(hands.target).stream(STREAM, b"")
    connection = hands.next_connection()
    (number,) = connection.await_requests()
    connection.say(connection.headers(number, ((":status", "200"),)))
    for _ in range(2):
        at = 0
        for size in itertools.cycle([1, 2, 9, 5000, 16_000]):
            connection.say(frame(frames.DATA, 0, number, whole[at : at + size]))
            at += size
            if at >= len(whole):
                break
    got = []
    while len(got) < 2 * len(messages):
        got += [each.payload for each in stream.receive(100, 100, 0, PATIENCE_SECONDS)]
    assert got == messages * 2


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (b"\1\0\0\0\1x", "RESOURCE_EXHAUSTED"),  # compressed, which nobody has asked for
        (b"\0\xff\xff\xff\xff", "RESOURCE_EXHAUSTED"),  # larger than any
    ],
)
def test_messages_that_cannot_be_taken(hands, open_http2, message, code):
    """They end the stream, on both sides; nothing of them is kept or waited for."""
    stream = open_http2(hands.target).stream(STREAM, b"")
    connection = hands.next_connection()
    (number,) = connection.await_requests()
    connection.say(connection.headers(number, ((":status", "200"),)), frame(frames.DATA, 0, number, message))
    assert ended(stream).code == code
    connection.await_(lambda each: each.count(frames.RST_STREAM))


def test_a_stream_that_ends_within_a_message(hands, open_http2):
    """With a status of success it is none."""
    stream = open_http2(hands.target).stream(STREAM, b"")
    connection = hands.next_connection()
    (number,) = connection.await_requests()
    connection.say(connection.headers(number, ((":status", "200"),)))
    connection.say(frame(frames.DATA, 0, number, b"\0\0\0\0\x05cut"))
    connection.say(connection.headers(number, (("grpc-status", "0"),), end=True))
    assert ended(stream).code == "INTERNAL"


@pytest.mark.parametrize("code", list(ErrorCode))
def test_a_stream_that_is_reset_can_be_opened_again(hands, open_http2, code):
    """Whatever the code: it has ended, and says so; the connection is used again."""
    transport = open_http2(hands.target)
    stream = transport.stream(STREAM, b"")
    connection = hands.next_connection()
    (number,) = connection.await_requests()
    connection.say(frame(frames.RST_STREAM, 0, number, u32(code)))
    expected = {ErrorCode.CANCEL: "CANCELLED", ErrorCode.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED"}
    assert ended(stream).code == expected.get(code, "UNAVAILABLE")
    transport.stream(STREAM, b"")
    connection.await_requests(2)


def test_a_receiver_that_does_not_come_stops_the_server(hands, open_http2):
    """Windows are given back as long as there is room, then not any more, and again once something was taken."""
    stream = open_http2(hands.target).stream(STREAM, b"")
    connection = hands.next_connection()
    (number,) = connection.await_requests()
    connection.say(connection.headers(number, ((":status", "200"),)))
    piece = frame(frames.DATA, 0, number, (16_379).to_bytes(5, "big") + bytes(16_379))
    sent = 0

    def given_back(each):
        return sum(int.from_bytes(p, "big") for kind, _, on, p in each.frames if (kind, on) == (8, number))

    def send(pieces: int) -> None:
        nonlocal sent
        connection.say(piece * pieces)
        sent += pieces * 16_384
        wait_until(lambda: stream.waiting * 16_384 == sent)

    while sent < MAX_WAITING_BYTES:
        connection.await_(lambda each: 8 * MIB + given_back(each) - sent >= MIB)
        send(MIB // 16_384)
    send(7 * MIB // 16_384 - 1)  # what its window allows, nobody having taken anything
    assert given_back(connection) < MAX_WAITING_BYTES
    while stream.waiting:
        stream.receive(1000, 1000, 0, PATIENCE_SECONDS)
    connection.await_(lambda each: given_back(each) == sent)


# GOAWAY


def test_goaway_loses_no_call(hands, open_http2):
    """Answered by the old connection what it has taken, by a new one what it has not."""
    transport = open_http2(hands.target)
    results = transport.begin(b"1", b"2", b"3", b"4")
    old = hands.next_connection()
    numbers = old.await_requests(4)
    old.say(goaway(numbers[1]))
    new = hands.next_connection()
    old.say(*(old.answer(number) for number in numbers[:2]))
    new.say(*(new.answer(number) for number in new.await_requests(2)))
    assert results() == ["OK"] * 4
    old.await_(lambda each: each.closed)  # it has ended with its last exchange
    assert not new.closed


def test_a_stream_outlives_goaway(hands, open_http2):
    """What goes on goes on, on the old connection; what is new is on the new one."""
    transport = open_http2(hands.target)
    stream = transport.stream(STREAM, b"")
    old = hands.next_connection()
    (number,) = old.await_requests()
    old.say(goaway(2**31 - 1), old.headers(number, ((":status", "200"),)))
    results = transport.begin(b"x")
    new = hands.next_connection()
    new.say(new.answer(new.await_requests()[0]))
    assert results() == ["OK"]
    old.say(frame(frames.DATA, 0, number, b"\0\0\0\0\x05still"))
    assert [each.payload for each in stream.receive(1, 1, 0, PATIENCE_SECONDS)] == [b"still"]
    old.say(old.headers(number, (("grpc-status", "14"),), end=True))
    assert ended(stream).code == "UNAVAILABLE"
    old.await_(lambda each: each.closed)


def test_calls_that_are_always_refused_fail_in_the_end(hands, open_http2):
    """A few times they are made again, not for ever."""
    transport = open_http2(hands.target)
    results = transport.begin(b"x")
    connection = hands.next_connection()
    for at in range(1, 5):
        number = connection.await_requests(at)[-1]
        connection.say(frame(frames.RST_STREAM, 0, number, u32(ErrorCode.REFUSED_STREAM)))
    assert results() == ["UNAVAILABLE"]
    assert len(connection.requests) == 4


def test_a_server_that_finds_pings_too_frequent_gets_fewer(hands, open_http2):
    """GOAWAY with ENHANCE_YOUR_CALM: the next connection is pinged half as often."""
    transport = open_http2(hands.target, keepalive_seconds=0.5)
    transport.stream(STREAM, b"")
    old = hands.next_connection()
    old.await_(lambda each: each.count(frames.PING))
    old.say(goaway(0, ErrorCode.ENHANCE_YOUR_CALM, b"too_many_pings"))
    old.await_(lambda each: each.closed)
    wait_until(lambda: transport._client._channel._keepalive_seconds == 1.0)


# Silence


def test_a_ping_that_is_answered_keeps_a_quiet_stream(hands, open_http2):
    """Silence is no death as long as somebody is there."""
    stream = open_http2(hands.target, keepalive_seconds=3).stream(STREAM, b"")
    connection = hands.next_connection()
    for at in range(1, 3):
        connection.await_(lambda each, at=at: each.count(frames.PING) >= at)
        connection.say(frame(frames.PING, frames.ACK, 0, bytes(8)))
    assert stream.receive(1, 1, 0, 0) == []


def test_a_connection_without_exchanges_is_not_pinged(hands, open_http2):
    """gRPC's servers take that for abuse."""
    transport = open_http2(hands.target, keepalive_seconds=0.1)
    results = transport.begin(b"x")
    connection = hands.next_connection()
    connection.say(connection.answer(connection.await_requests()[0]))
    assert results() == ["OK"]
    time.sleep(1)
    assert not connection.count(frames.PING)


def test_calls_that_find_silence_leave_a_stream_where_it_is(hands, open_http2):
    """A connection that brought no answer in time is asked whether it lives; meanwhile calls take another one."""
    transport = open_http2(hands.target)
    stream = transport.stream(STREAM, b"")
    old = hands.next_connection()
    number = old.await_requests()[0]
    assert transport.begin(b"x", seconds=0.3)() == ["DEADLINE_EXCEEDED"]
    old.await_(lambda each: each.count(frames.PING))
    old.await_(lambda each: each.count(frames.RST_STREAM))
    results = transport.begin(b"y")
    new = hands.next_connection()
    new.say(new.answer(new.await_requests()[0]))
    assert results() == ["OK"]
    old.say(frame(frames.PING, frames.ACK, 0, bytes(8)))
    old.say(old.headers(number, ((":status", "200"),)), frame(frames.DATA, 0, number, b"\0\0\0\0\x01x"))
    assert len(stream.receive(1, 1, 0, PATIENCE_SECONDS)) == 1


def test_a_slow_answer_is_no_silence(hands, open_http2):
    """A call without an answer in time ends alone, where the connection brings others."""
    transport = open_http2(hands.target)
    slow = transport.begin(b"slow", seconds=0.5)
    connection = hands.next_connection()
    connection.await_requests()
    others = transport.begin(b"x")
    number = connection.await_requests(2)[-1]
    connection.say(connection.answer(number))
    assert others() == ["OK"]
    assert slow() == ["DEADLINE_EXCEEDED"]
    transport.begin(b"y")
    connection.await_requests(3)  # the same connection
    assert not connection.count(frames.PING)


# Limits and floods


def test_calls_take_turns_where_few_are_allowed(hands, open_http2):
    """Never more at once than the server lets."""
    hands.greeting = limit(2)
    results = open_http2(hands.target).begin(*[b"x"] * 5)
    connection = hands.next_connection()
    answered = 0
    while answered < 5:
        numbers = connection.await_requests(min(answered + 2, 5))
        assert len(numbers) <= answered + 2
        connection.say(connection.answer(numbers[answered]))
        answered += 1
    assert results() == ["OK"] * 5


def test_a_stream_that_takes_the_only_place_leaves_calls_another_connection(hands, open_http2):
    """A server that allows one stream at a time would never get an ack."""
    hands.greeting = limit(1)
    transport = open_http2(hands.target)
    stream = transport.stream(STREAM, b"")
    first = hands.next_connection()
    (number,) = first.await_requests()
    results = transport.begin(b"1", b"2")
    second = hands.next_connection()
    for at in range(1, 3):
        second.say(second.answer(second.await_requests(at)[-1]))
    assert results() == ["OK", "OK"]
    first.say(first.headers(number, ((":status", "200"),)), frame(frames.DATA, 0, number, b"\0\0\0\0\x01x"))
    assert len(stream.receive(1, 1, 0, PATIENCE_SECONDS)) == 1


def test_a_server_that_breaks_the_protocol_is_told_and_left(hands, open_http2):
    """The stream ends as after any lost connection, and the server gets a GOAWAY that says why."""
    stream = open_http2(hands.target).stream(STREAM, b"")
    connection = hands.next_connection()
    connection.await_requests()
    connection.say(frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, u32(2)))
    end = ended(stream)
    assert end.code == "UNAVAILABLE"
    assert "push" in end.detail
    connection.await_(lambda each: each.closed)
    assert connection.frames[-1][0] == frames.GOAWAY


def test_a_flood_of_pings_without_reading_ends_the_connection(hands, open_http2):
    """What cannot be answered is not collected for ever."""
    stream = open_http2(hands.target).stream(STREAM, b"")
    connection = hands.next_connection()
    connection.await_requests()
    connection._client.settimeout(PATIENCE_SECONDS)
    pings = frame(frames.PING, 0, 0, bytes(8)) * 20_000
    flooding = threading.Thread(target=lambda: [connection.say(pings) for _ in range(100)], daemon=True)
    # The test's reader would take the answers: it is kept from that by its own lock.
    with connection._changed:
        flooding.start()
        end = ended(stream)
    assert end.code == "UNAVAILABLE"


# Beginning and end


def test_a_server_that_does_not_say_hello(hands, open_http2, monkeypatch):
    """What accepts and stays silent, such as a broken middlebox, is given up."""
    from wgtwo_pipeline.service import channel

    monkeypatch.setattr(channel, "_HELLO_SECONDS", 0.3)
    hands.greeting = b""
    transport = open_http2(hands.target)
    results = transport.begin(b"x")
    hands.next_connection()
    assert results() == ["UNAVAILABLE"]


def test_an_idle_connection_is_not_kept(hands, open_http2, monkeypatch):
    """It may have been dropped on the way, unsaid; the next call takes a new one."""
    from wgtwo_pipeline.service import channel

    monkeypatch.setattr(channel, "_IDLE_SECONDS", 0.3)
    transport = open_http2(hands.target)
    for _ in range(2):
        results = transport.begin(b"x")
        connection = hands.next_connection()
        connection.say(connection.answer(connection.await_requests()[0]))
        assert results() == ["OK"]
        connection.await_(lambda each: each.closed)


def test_after_close_nothing_is_left(hands, open_http2):
    """The thread has ended, the connection is closed; calls and streams say that they are too late."""
    transport = open_http2(hands.target)
    stream = transport.stream(STREAM, b"")
    connection = hands.next_connection()
    connection.await_requests()
    transport.close()
    assert ended(stream).code == "CANCELLED"
    connection.await_(lambda each: each.closed)
    thread = transport._client._channel._thread
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()
    assert transport.begin(b"x")() == ["CANCELLED"]
    assert ended(transport.stream(STREAM, b"")).code == "CANCELLED"


def test_a_callback_that_fails_stops_nothing(hands, open_http2, caplog):
    """The error is told, since it is ours; the thread goes on."""
    transport = open_http2(hands.target)

    def fails(results):
        raise RuntimeError("a bug")

    transport.start_many(STREAM, [b"x"], PATIENCE_SECONDS, fails)
    connection = hands.next_connection()
    connection.say(connection.answer(connection.await_requests()[0]))
    wait_until(lambda: "a bug" in caplog.text)
    results = transport.begin(b"y")
    new = hands.next_connection()
    new.say(new.answer(new.await_requests()[0]))
    assert results() == ["OK"]
