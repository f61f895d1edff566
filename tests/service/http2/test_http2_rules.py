"""RFC 9113 as it binds a client: a test for each rule, under the section that has it.

It is over 300 lines because RFC 9113 has so many rules, each of them one short test.
"""

import hpack
import pytest
from peer import (
    HEAD,
    REQUEST,
    TRAILERS,
    Encoder,
    Told,
    connected,
    data,
    goaway,
    opened,
    over,
    settings,
    split,
    u32,
)
from wgtwo_pipeline.service.http2 import frames
from wgtwo_pipeline.service.http2.connection import STREAM_WINDOW, Http2
from wgtwo_pipeline.service.http2.frames import ErrorCode, frame
from wgtwo_pipeline.service.http2.headers import MOST_BYTES
from wgtwo_pipeline.service.http2.outbox import MOST_REPLIES

# 3.4: how a connection begins


def test_the_client_begins_with_the_preface_and_its_settings():
    """Pushes are refused, and the windows are the ones that the memory bounds count with."""
    sent = Http2().take()
    assert sent.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    (kind, flags, number, payload), update = split(sent)
    assert (kind, flags, number) == (frames.SETTINGS, 0, 0)
    pairs = dict(frames.SETTING.iter_unpack(payload))
    assert pairs == {
        frames.ENABLE_PUSH: 0,
        frames.INITIAL_WINDOW_SIZE: STREAM_WINDOW,
        frames.MAX_HEADER_LIST_SIZE: MOST_BYTES,
    }
    assert update == (frames.WINDOW_UPDATE, 0, 0, u32((1 << 30) - 65_535))


def test_no_stream_is_opened_before_the_server_has_said_hello():
    """Only its SETTINGS say how many streams there may be."""
    http = Http2()
    assert http.free == 0
    http.feed(settings((frames.MAX_CONCURRENT_STREAMS, 7)))
    assert http.free == 7


@pytest.mark.parametrize(
    "first",
    [
        frame(frames.PING, 0, 0, bytes(8)),
        frame(frames.SETTINGS, frames.ACK, 0, b""),
        frame(0xBE, 0, 0, b"unknown"),
        data(1, b"x"),
    ],
)
def test_a_server_begins_with_its_settings(first):
    """Whatever else comes first is no HTTP/2."""
    over(Http2(), first, ErrorCode.PROTOCOL_ERROR)


@pytest.mark.parametrize(
    "reply", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x15\x03\x01\x00\x02\x02\x28ssss", b"SSH-2.0-x\n"]
)
def test_another_protocol_is_told_at_once(reply):
    """An HTTP/1 server, a TLS alert: an error, not a frame that is waited for."""
    over(Http2(), reply, ErrorCode.FRAME_SIZE_ERROR)


def test_settings_are_acknowledged():
    """6.5.3: each SETTINGS frame, once; an acknowledgement of ours is none to answer."""
    http = Http2()
    http.take()
    http.feed(settings() + settings((99, 1)) + frame(frames.SETTINGS, frames.ACK, 0, b""))
    assert split(http.take()) == [(frames.SETTINGS, frames.ACK, 0, b"")] * 2


# 4.1 and 4.2: frames


def test_unknown_frames_are_ignored():
    """Extensions must not break those who don't know them: on the connection, on open and on closed streams."""
    http = connected()
    exchange = opened(http)
    unknown = frame(0xBE, 0xFF, 0, b"?") + frame(0xBE, 0, exchange.number, b"?")
    http.feed(unknown + Encoder().answer(exchange.number) + unknown)
    assert exchange.ended == {"grpc-status": "0"}


def test_the_reserved_bit_is_ignored():
    """The highest bit of a stream's number, of a window's increment and of GOAWAY's last stream means nothing."""
    http = connected()
    exchange = opened(http)
    answer = bytearray(Encoder().headers(exchange.number, HEAD))
    answer[5] |= 0x80
    http.feed(bytes(answer))
    http.feed(frame(frames.DATA, 0, exchange.number | 1 << 31, b"data"))
    http.feed(frame(frames.WINDOW_UPDATE, 0, 0, u32(1 << 31 | 5)))
    http.feed(frame(frames.GOAWAY, 0, 0, u32(1 << 31 | exchange.number) + u32(0)))
    assert exchange.got == b"data"
    assert exchange.failed is None


@pytest.mark.parametrize("size", [(1 << 14) + 1, 1 << 16, (1 << 24) - 1])
def test_a_frame_larger_than_agreed(size):
    """It is refused by its head: nothing of it is waited for or kept."""
    over(
        connected(),
        frames.HEAD.pack(size >> 16, size & 0xFFFF, frames.DATA, 0, 1),
        ErrorCode.FRAME_SIZE_ERROR,
    )


def test_a_frame_of_the_largest_size():
    """16,384 bytes are what every side has to take."""
    http = connected()
    exchange = opened(http)
    http.feed(Encoder().headers(exchange.number, HEAD) + data(exchange.number, bytes(1 << 14)))
    assert len(exchange.got) == 1 << 14


@pytest.mark.parametrize(
    ("kind", "flags", "number", "size"),
    [
        (frames.PRIORITY, 0, 1, 4),
        (frames.RST_STREAM, 0, 1, 3),
        (frames.RST_STREAM, 0, 1, 5),
        (frames.SETTINGS, 0, 0, 5),
        (frames.SETTINGS, frames.ACK, 0, 6),
        (frames.PING, 0, 0, 7),
        (frames.PING, frames.ACK, 0, 9),
        (frames.GOAWAY, 0, 0, 7),
        (frames.WINDOW_UPDATE, 0, 0, 3),
        (frames.WINDOW_UPDATE, 0, 1, 5),
    ],
)
def test_frames_of_a_wrong_size(kind, flags, number, size):
    """6.3 to 6.9: types with a size of their own have no other."""
    http = connected()
    opened(http)
    over(http, frame(kind, flags, number, bytes(size)), ErrorCode.FRAME_SIZE_ERROR)


@pytest.mark.parametrize(
    ("kind", "number", "size"),
    [
        (frames.DATA, 0, 1),
        (frames.HEADERS, 0, 1),
        (frames.PRIORITY, 0, 5),
        (frames.RST_STREAM, 0, 4),
        (frames.CONTINUATION, 0, 1),
        (frames.SETTINGS, 1, 6),
        (frames.PING, 1, 8),
        (frames.GOAWAY, 1, 8),
    ],
)
def test_frames_where_they_do_not_belong(kind, number, size):
    """6.1 to 6.10: frames of streams on none, and those of the connection on a stream."""
    http = connected()
    opened(http)
    over(http, frame(kind, 0, number, bytes(size)), ErrorCode.PROTOCOL_ERROR)


# 5.1: the states of streams


@pytest.mark.parametrize("number", [2, 3, 4, 2**31 - 1])
@pytest.mark.parametrize(
    "make",
    [
        lambda number: data(number, b"x"),
        lambda number: Encoder().headers(number, HEAD),
        lambda number: frame(frames.RST_STREAM, 0, number, u32(0)),
        lambda number: frame(frames.WINDOW_UPDATE, 0, number, u32(1)),
    ],
    ids=["data", "headers", "reset", "window"],
)
def test_streams_that_were_never_opened(number, make):
    """A server opens none, as it must not push, and the client has not got so far."""
    http = connected()
    opened(http)
    over(http, make(number), ErrorCode.PROTOCOL_ERROR)


def test_priorities_mean_nothing():
    """5.3.2: they may name any stream, and come inside of HEADERS."""
    http = connected()
    exchange = opened(http)
    http.feed(frame(frames.PRIORITY, 0, 12345, bytes(5)))
    block = Encoder().hpack.encode(HEAD)
    flags = frames.END_HEADERS | frames.PRIORITIZED
    http.feed(frame(frames.HEADERS, flags, exchange.number, bytes(5) + block))
    assert exchange.head.status == "200"


@pytest.mark.parametrize(
    "late", [data(1, b"x"), Encoder().headers(1, TRAILERS, end=True)], ids=["data", "headers"]
)
def test_a_server_that_goes_on_after_the_end(late):
    """5.1: after END_STREAM nothing may come but what the end could have crossed."""
    http = connected()
    exchange = opened(http)
    http.feed(Encoder().answer(exchange.number))
    over(http, late, ErrorCode.STREAM_CLOSED)


def test_windows_and_resets_after_the_end_are_harmless():
    """5.1: they may have been sent before the end was known."""
    http = connected()
    exchange = opened(http)
    http.feed(Encoder().answer(exchange.number))
    http.feed(frame(frames.WINDOW_UPDATE, 0, 1, u32(5)) + frame(frames.RST_STREAM, 0, 1, u32(0)))
    http.feed(frame(frames.WINDOW_UPDATE, 0, 1, u32(0)))
    assert exchange.failed is None


def test_what_crosses_a_cancellation_is_ignored():
    """Nobody hears of it; but the table of header fields and the connection's window are kept up."""
    http, encoder = connected(), Encoder()
    cancelled, other = opened(http), opened(http)
    http.cancel(cancelled)
    http.cancel(cancelled)
    assert split(http.take()).count((frames.RST_STREAM, 0, 1, u32(ErrorCode.CANCEL))) == 1
    http.feed(encoder.answer(cancelled.number))
    assert (cancelled.got, cancelled.ended, cancelled.failed) == (b"", None, None)
    http.feed(encoder.answer(other.number))  # says its fields by the table that the other answer has filled
    assert other.ended == {"grpc-status": "0"}


# 5.1.2: how many streams


def test_no_more_streams_than_the_server_allows():
    """The limit counts open streams, may change at any time, and may be zero."""
    http = connected((frames.MAX_CONCURRENT_STREAMS, 2))
    first, _ = opened(http), opened(http)
    assert http.free == 0
    http.feed(settings((frames.MAX_CONCURRENT_STREAMS, 0)))
    assert http.free == 0
    http.feed(settings((frames.MAX_CONCURRENT_STREAMS, 3)))
    assert http.free == 1
    http.feed(Encoder().answer(first.number))
    assert http.free == 2


def test_streams_run_out():
    """5.1.1: numbers are never used twice; after the last one a connection is spent."""
    http = connected()
    http._next = 2**31 - 1
    exchange = opened(http)
    assert http.spent
    assert http.free == 0
    http.feed(Encoder().answer(exchange.number))
    assert exchange.ended


# 6.1 and 6.2: padding


def test_padding_is_no_data():
    """Of data and of headers, up to the whole frame."""
    http = connected()
    exchange = opened(http)
    block = Encoder().hpack.encode(HEAD)
    http.feed(frame(frames.HEADERS, frames.END_HEADERS | frames.PADDED, 1, b"\x03" + block + b"\0\0\0"))
    http.feed(frame(frames.DATA, frames.PADDED, 1, b"\x02data\0\0"))
    http.feed(frame(frames.DATA, frames.PADDED, 1, b"\x05" + bytes(5)))
    http.feed(frame(frames.DATA, frames.PADDED | frames.END_STREAM, 1, b"\0"))
    assert exchange.got == b"data"
    assert exchange.ended == dict(HEAD)


@pytest.mark.parametrize("payload", [b"", b"\x01", b"\x05data"])
def test_padding_larger_than_its_frame(payload):
    """It would reach into the next one."""
    http = connected()
    opened(http)
    over(http, frame(frames.DATA, frames.PADDED, 1, payload), ErrorCode.PROTOCOL_ERROR)


def test_a_priority_larger_than_its_frame():
    """Five bytes, or there is none."""
    http = connected()
    opened(http)
    flags = frames.END_HEADERS | frames.PRIORITIZED
    over(http, frame(frames.HEADERS, flags, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR)


# 6.4: RST_STREAM


@pytest.mark.parametrize("code", [*ErrorCode, 14, 2**32 - 1])
def test_a_stream_that_is_reset(code):
    """Whatever the code, one stream ends and the others don't."""
    http, encoder = connected(), Encoder()
    first, second = opened(http), opened(http)
    http.feed(encoder.headers(first.number, HEAD) + frame(frames.RST_STREAM, 0, first.number, u32(code)))
    http.feed(encoder.answer(second.number))
    assert first.failed[0] == code
    assert "reset" in first.failed[1]
    assert second.ended == {"grpc-status": "0"}


# 6.5: SETTINGS


@pytest.mark.parametrize(
    ("setting", "value", "code"),
    [
        (frames.ENABLE_PUSH, 1, ErrorCode.PROTOCOL_ERROR),
        (frames.ENABLE_PUSH, 2, ErrorCode.PROTOCOL_ERROR),
        (frames.INITIAL_WINDOW_SIZE, 2**31, ErrorCode.FLOW_CONTROL_ERROR),
        (frames.MAX_FRAME_SIZE, (1 << 14) - 1, ErrorCode.PROTOCOL_ERROR),
        (frames.MAX_FRAME_SIZE, 1 << 24, ErrorCode.PROTOCOL_ERROR),
    ],
)
def test_settings_that_cannot_be(setting, value, code):
    """6.5.2."""
    over(connected(), settings((setting, value)), code)


@pytest.mark.parametrize(
    ("setting", "value"),
    [
        (frames.ENABLE_PUSH, 0),
        (frames.MAX_FRAME_SIZE, (1 << 24) - 1),
        (frames.HEADER_TABLE_SIZE, 2**32 - 1),
        (0, 1),
        (4711, 2**32 - 1),
    ],
)
def test_settings_that_may_be(setting, value):
    """Unknown ones, too; and frames do not get larger because the server would take larger ones."""
    http = connected((setting, value))
    opened(http, bytes(40_000))
    assert max(len(payload) for *_, payload in split(http.take())) == 1 << 14


# 6.6: PUSH_PROMISE


def test_a_push_is_refused():
    """It was forbidden by our SETTINGS."""
    http = connected()
    opened(http)
    over(http, frame(frames.PUSH_PROMISE, frames.END_HEADERS, 1, u32(2)), ErrorCode.PROTOCOL_ERROR)


# 6.7: PING


def test_a_ping_is_answered_with_its_bytes():
    """And an answer to ours with nothing."""
    http = connected()
    http.feed(frame(frames.PING, 0, 0, b"12345678") + frame(frames.PING, frames.ACK, 0, bytes(8)))
    assert split(http.take()) == [(frames.PING, frames.ACK, 0, b"12345678")]


# 6.8: GOAWAY


def test_streams_above_the_last_one_can_be_made_again():
    """GOAWAY says which streams the server has not looked at; the others get their answers; none is opened."""
    http, encoder = connected(), Encoder()
    first, second, third = opened(http), opened(http), opened(http)
    http.feed(goaway(first.number, 0, b"maintenance\x1b[31m"))
    assert [each.failed[0] for each in (second, third)] == [ErrorCode.REFUSED_STREAM] * 2
    assert "maintenance" in second.failed[1]
    assert "\x1b" not in second.failed[1]
    assert http.spent
    assert http.free == 0
    assert http.goodbye[0] == ErrorCode.NO_ERROR
    http.feed(encoder.answer(first.number))
    assert first.ended == {"grpc-status": "0"}
    assert not http.exchanges


def test_a_going_away_in_two_steps():
    """The first one names no stream as refused; the second one does."""
    http = connected()
    first, second = opened(http), opened(http)
    http.feed(goaway(2**31 - 1))
    assert (first.failed, second.failed) == (None, None)
    assert http.spent
    http.feed(goaway(first.number))
    assert first.failed is None
    assert second.failed[0] == ErrorCode.REFUSED_STREAM


def test_what_a_refused_stream_still_brings_is_ignored():
    """A server that answers all the same does no harm."""
    http, encoder = connected(), Encoder()
    exchange = opened(http)
    http.feed(goaway(0))
    http.feed(encoder.answer(exchange.number))
    assert exchange.got == b""


# 8.1: what an answer consists of


def test_informational_answers_are_passed_over():
    """Any number of 1xx before the answer."""
    http, encoder = connected(), Encoder()
    exchange = opened(http)
    for status in ("100", "103", "199"):
        http.feed(encoder.headers(exchange.number, [(":status", status), ("link", "</x>")]))
    http.feed(encoder.answer(exchange.number))
    assert exchange.head.status == "200"
    assert exchange.ended == {"grpc-status": "0"}


def test_trailers_alone_are_an_answer():
    """One frame of headers that ends the stream."""
    http = connected()
    exchange = opened(http)
    http.feed(Encoder().headers(exchange.number, (*HEAD, ("grpc-status", "5")), end=True))
    assert exchange.ended["grpc-status"] == "5"
    assert exchange.ended[":status"] == "200"


@pytest.mark.parametrize(
    "script",
    [
        lambda encoder: encoder.headers(1, [(":status", "100")], end=True),
        lambda encoder: encoder.headers(1, [(":status", "101")]),
        lambda encoder: encoder.headers(1, TRAILERS, end=True),
        lambda encoder: encoder.headers(1, []),
        lambda encoder: data(1, b"x"),
        lambda encoder: encoder.headers(1, HEAD) + encoder.headers(1, HEAD),
        lambda encoder: encoder.headers(1, HEAD) + encoder.headers(1, TRAILERS),
        lambda encoder: encoder.headers(1, HEAD) + encoder.headers(1, [(":status", "100")]),
        lambda encoder: encoder.headers(1, [(":status", "2000")]),
        lambda encoder: encoder.headers(1, [(":status", "abc")]),
        lambda encoder: encoder.headers(1, [(":status", "200"), (":status", "200")]),
        lambda encoder: encoder.headers(1, [(":status", "200"), (":path", "/")]),
        lambda encoder: encoder.headers(1, [("a", "b"), (":status", "200")]),
        lambda encoder: encoder.headers(1, [*HEAD, ("Upper", "case")]),
        lambda encoder: encoder.headers(1, [*HEAD, ("with space", "x")]),
        lambda encoder: encoder.headers(1, [*HEAD, ("", "x")]),
        lambda encoder: encoder.headers(1, [*HEAD, ("connection", "close")]),
        lambda encoder: encoder.headers(1, [*HEAD, ("transfer-encoding", "chunked")]),
        lambda encoder: encoder.headers(1, [*HEAD, ("a", "line\r\nbreak")]),
        lambda encoder: encoder.headers(1, [*HEAD, ("a", "\0")]),
    ],
)
def test_answers_that_are_malformed(script):
    """8.1 to 8.3: they reset their stream, and nothing of them counts."""
    http = connected()
    exchange = opened(http)
    http.feed(script(encoder := Encoder()))
    assert exchange.failed[0] == ErrorCode.PROTOCOL_ERROR
    assert (frames.RST_STREAM, 0, 1, u32(ErrorCode.PROTOCOL_ERROR)) in split(http.take())
    other = opened(http)
    http.feed(encoder.answer(other.number))
    assert other.ended == {"grpc-status": "0"}


def test_an_answer_before_the_request_is_sent():
    """8.1: a server need not read all of a request; the rest is not sent, and the stream not left half open."""
    http = connected()
    exchange = opened(http, bytes(100_000))
    http.feed(Encoder().answer(exchange.number))
    assert exchange.ended == {"grpc-status": "0"}
    assert split(http.take())[-1] == (frames.RST_STREAM, 0, 1, u32(ErrorCode.NO_ERROR))
    http.feed(frame(frames.WINDOW_UPDATE, 0, 0, u32(1 << 20)))
    assert http.take() == b""


# 10.5: hostile servers


@pytest.mark.parametrize(
    "ask",
    [frame(frames.PING, 0, 0, bytes(8)), settings(), frame(frames.DATA, frames.PADDED, 1, b"\x01\0")],
    ids=["pings", "settings", "padding"],
)
def test_floods_are_bounded(ask):
    """Whoever asks and does not read the answers is cut off; whoever reads them may ask as often as he likes."""
    http = connected()
    opened(http)
    http.feed(Encoder().headers(1, HEAD))
    http.take()
    for _ in range(3):
        http.feed(ask * (MOST_REPLIES // 2))
        assert len(http.take()) < 20 * MOST_REPLIES
    over(http, ask * (MOST_REPLIES + 1), ErrorCode.ENHANCE_YOUR_CALM)


def test_frames_without_data_cost_nothing():
    """Empty frames of data leave no trace."""
    http = connected()
    exchange = opened(http)
    http.take()
    http.feed(Encoder().headers(1, HEAD) + data(1, b"") * 10_000 + data(1, b"x"))
    assert exchange.got == b"x"
    assert http.take() == b""


def test_requests_are_what_was_asked_for():
    """A stream's headers and body as they were given."""
    http = connected()
    opened(http, b"body")
    (kind, flags, number, block), body = split(http.take())
    assert (kind, flags, number) == (frames.HEADERS, frames.END_HEADERS, 1)
    assert tuple(hpack.Decoder().decode(block)) == REQUEST
    assert body == (frames.DATA, frames.END_STREAM, 1, b"body")


def test_headers_of_the_largest_sizes_are_continued():
    """A token may be longer than a frame."""
    http = connected()
    http.request((*REQUEST, ("authorization", "Bearer " + "x" * 60_000)), b"body", Told())
    kinds = [(kind, flags) for kind, flags, *_ in split(http.take())]
    assert kinds[0] == (frames.HEADERS, 0)
    assert kinds[-2] == (frames.CONTINUATION, frames.END_HEADERS)
    assert kinds[-1] == (frames.DATA, frames.END_STREAM)
