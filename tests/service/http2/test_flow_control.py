"""Windows (RFC 9113, 5.2 and 6.9): neither side sends more than the other has room for, and none is ever lost."""

from hypothesis import given
from hypothesis import strategies as st
from peer import HEAD, Encoder, connected, data, opened, over, reset, settings, split, u32
from wgtwo_pipeline.service.http2 import frames
from wgtwo_pipeline.service.http2.connection import CONNECTION_WINDOW, STREAM_WINDOW
from wgtwo_pipeline.service.http2.frames import ErrorCode, frame

MOST = 2**31 - 1


def update(number: int, more: int) -> bytes:
    return frame(frames.WINDOW_UPDATE, 0, number, u32(more))


def sent_on(http, number: int) -> int:
    """How many bytes of data have gone out on a stream since this was last asked for."""
    return sum(
        len(payload) for kind, _, on, payload in split(http.take()) if (kind, on) == (frames.DATA, number)
    )


# What we send


def test_no_more_is_sent_than_the_connection_has_room_for():
    """65,535 bytes at first; what is left goes out as room is made, and then the stream is ended."""
    http = connected((frames.INITIAL_WINDOW_SIZE, 1 << 20))
    opened(http, bytes(100_000))
    assert sent_on(http, 1) == 65_535
    http.feed(update(0, 10_000))
    assert sent_on(http, 1) == 10_000
    http.feed(update(0, MOST - 10_000))
    assert split(http.take())[-1][1] == frames.END_STREAM


def test_no_more_is_sent_than_a_stream_has_room_for():
    """Its window is its own: others with room go on meanwhile."""
    http = connected((frames.INITIAL_WINDOW_SIZE, 10))
    opened(http, bytes(25))
    second = opened(http, bytes(10))
    assert [payload for kind, _, on, payload in split(http.take()) if kind == frames.DATA] == [bytes(10)] * 2
    http.feed(update(1, 15))
    assert sent_on(http, 1) == 15
    http.feed(Encoder().answer(second.number))
    assert second.ended


def test_a_window_that_is_never_given_back_holds_up_one_request():
    """A stream that the server gives no room ends with its deadline, and takes nothing else with it."""
    http = connected((frames.INITIAL_WINDOW_SIZE, 0))
    stuck = opened(http)
    http.take()
    http.cancel(stuck)
    http.feed(settings((frames.INITIAL_WINDOW_SIZE, 100)))
    assert sent_on(http, stuck.number) == 0
    assert http.free > 0
    opened(http)
    assert sent_on(http, 3) == len(b"request")


def test_requests_that_find_no_room_hold_up_others_before_they_fill_memory():
    """After a few that wait for room no stream is free."""
    http = connected((frames.INITIAL_WINDOW_SIZE, 0))
    opened_count = 0
    while http.free:
        opened(http)
        opened_count += 1
    assert opened_count < 100
    http.feed(settings((frames.INITIAL_WINDOW_SIZE, 100)))
    assert http.free > 0
    ended = [
        on for kind, flags, on, _ in split(http.take()) if kind == frames.DATA and flags & frames.END_STREAM
    ]
    assert len(ended) == opened_count


def test_the_first_window_changes_in_flight():
    """6.9.2: also for streams that are open, whose windows may become negative and have to be made up for."""
    http = connected((frames.INITIAL_WINDOW_SIZE, 100))
    opened(http, bytes(1000))
    assert sent_on(http, 1) == 100
    http.feed(settings((frames.INITIAL_WINDOW_SIZE, 40)))  # -60
    http.feed(update(1, 59))
    assert sent_on(http, 1) == 0
    http.feed(update(1, 11))
    assert sent_on(http, 1) == 10
    http.feed(settings((frames.INITIAL_WINDOW_SIZE, 65_535)))
    assert sent_on(http, 1) == 890


def test_an_increment_of_nothing():
    """6.9: of the connection's window it ends the connection, of a stream's it resets the stream."""
    http = connected()
    reset(http, opened(http), update(1, 0), ErrorCode.PROTOCOL_ERROR)
    over(http, update(0, 0), ErrorCode.PROTOCOL_ERROR)


def test_windows_that_overflow():
    """6.9.1: more than 2^31 - 1 is no window."""
    http = connected((frames.INITIAL_WINDOW_SIZE, MOST))
    reset(http, opened(http, bytes(100_000)), update(1, 65_535 + 1), ErrorCode.FLOW_CONTROL_ERROR)
    http = connected()
    over(http, update(0, MOST), ErrorCode.FLOW_CONTROL_ERROR)


def test_a_first_window_that_makes_one_overflow():
    """6.9.2: that ends the connection."""
    http = connected((frames.INITIAL_WINDOW_SIZE, 0))
    opened(http, bytes(100_000))
    http.feed(update(1, MOST - 1))
    over(http, settings((frames.INITIAL_WINDOW_SIZE, MOST)), ErrorCode.FLOW_CONTROL_ERROR)


@given(
    sizes=st.lists(st.integers(0, 50_000), min_size=1, max_size=8),
    first=st.integers(0, 70_000),
    updates=st.lists(st.tuples(st.integers(0, 8), st.integers(1, 50_000)), max_size=30),
)
def test_all_that_is_asked_for_is_sent_within_the_windows(sizes, first, updates):
    """Whatever room the server gives and when: never more than that, each body once and whole, each end once."""
    http = connected((frames.INITIAL_WINDOW_SIZE, first))
    exchanges = [opened(http, bytes([at + 1]) * size) for at, size in enumerate(sizes)]
    room = {0: 65_535} | {exchange.number: first for exchange in exchanges}
    bodies = dict.fromkeys(room, b"")
    ended = []

    def look() -> None:
        for kind, flags, number, payload in split(http.take()):
            if kind == frames.DATA:
                room[0] -= len(payload)
                room[number] -= len(payload)
                assert min(room[0], room[number]) >= 0 or not payload
                bodies[number] += payload
                ended.extend([number] * bool(flags & frames.END_STREAM))

    look()
    for at, more in updates:
        number = 0 if at == 0 else exchanges[(at - 1) % len(exchanges)].number
        room[number] += more
        http.feed(update(number, more))
        look()
    for number in room:
        room[number] += 1 << 24
        http.feed(update(number, 1 << 24))
    look()
    assert [bodies[exchange.number] for exchange in exchanges] == [
        bytes([at + 1]) * size for at, size in enumerate(sizes)
    ]
    assert sorted(ended) == [exchange.number for exchange in exchanges]


# What we take


def test_a_stream_s_window_is_given_back_when_its_data_was_taken():
    """Not before: that is what stops a server whose data nobody takes."""
    http = connected()
    exchange = opened(http)
    http.feed(Encoder().headers(1, HEAD) + data(1, bytes(16_000)) * 3)
    assert not [each for each in split(http.take()) if each[0] == frames.WINDOW_UPDATE]
    http.took(exchange, 48_000)
    assert split(http.take()) == [(frames.WINDOW_UPDATE, 0, 1, u32(48_000))]
    http.feed(Encoder().answer(1))


def test_a_server_that_sends_more_than_there_is_room_for():
    """It is not kept: the stream is reset."""
    http = connected()
    exchange = opened(http)
    http.feed(Encoder().headers(1, HEAD))
    for _ in range(STREAM_WINDOW // 16_384):
        http.feed(data(1, bytes(16_384)))
    assert exchange.failed is None
    reset(http, exchange, data(1, b"x"), ErrorCode.FLOW_CONTROL_ERROR)
    assert len(exchange.got) == STREAM_WINDOW


def test_padding_is_given_back_by_itself():
    """It counts against the window, and there is nobody to take it."""
    http = connected()
    exchange = opened(http)
    http.take()
    http.feed(Encoder().headers(1, HEAD) + frame(frames.DATA, frames.PADDED, 1, b"\x64data" + bytes(100)))
    assert split(http.take()) == [(frames.WINDOW_UPDATE, 0, 1, u32(101))]
    assert exchange.room == STREAM_WINDOW - 4


def test_the_connection_s_window_is_given_back_whoever_the_data_was_for():
    """Also what comes on a stream that was cancelled: else the connection would starve in the end."""
    http = connected()
    kept, cancelled = opened(http), opened(http)
    encoder = Encoder()
    http.feed(encoder.headers(1, HEAD) + encoder.headers(3, HEAD))
    http.cancel(cancelled)
    http.take()
    chunk = data(1, bytes(16_384)) + data(3, bytes(16_384))
    returned = 0
    for _ in range(CONNECTION_WINDOW // (2 * 32_768)):
        http.feed(chunk)
        http.took(kept, 16_384)
        kept.got = b""
        returned += sum(
            int.from_bytes(payload, "big")
            for kind, _, number, payload in split(http.take())
            if (kind, number) == (frames.WINDOW_UPDATE, 0)
        )
    assert returned == CONNECTION_WINDOW // 2


def test_a_window_is_not_widened_for_a_stream_that_has_ended():
    """Nothing is sent for it."""
    http = connected()
    exchange = opened(http)
    http.feed(Encoder().answer(1))
    http.take()
    http.took(exchange, 6)
    assert http.take() == b""
