"""The server's side of a connection made by hand, and an exchange that remembers what it was told."""

import struct

import hpack
import pytest
from wgtwo_pipeline.service.http2 import frames
from wgtwo_pipeline.service.http2.connection import Exchange, Http2
from wgtwo_pipeline.service.http2.frames import PREFACE, ErrorCode, ProtocolError, frame

REQUEST = (
    (":method", "POST"),
    (":scheme", "http"),
    (":path", "/test.Service/Call"),
    (":authority", "127.0.0.1:50051"),
    ("te", "trailers"),
    ("content-type", "application/grpc"),
    ("grpc-timeout", "10000m"),
)
HEAD = ((":status", "200"), ("content-type", "application/grpc"))
TRAILERS = (("grpc-status", "0"),)


def u32(number: int) -> bytes:
    return struct.pack(">I", number)


def settings(*pairs: tuple[int, int]) -> bytes:
    return frame(frames.SETTINGS, 0, 0, b"".join(struct.pack(">HI", *pair) for pair in pairs))


def goaway(last: int, code: int = 0, text: bytes = b"") -> bytes:
    return frame(frames.GOAWAY, 0, 0, u32(last) + u32(code) + text)


def data(number: int, payload: bytes, end: bool = False) -> bytes:
    return frame(frames.DATA, frames.END_STREAM if end else 0, number, payload)


class Encoder:
    """Header blocks of one server."""

    def __init__(self) -> None:
        self.hpack = hpack.Encoder()

    def headers(self, number: int, fields, end: bool = False, flags: int = frames.END_HEADERS) -> bytes:
        block = self.hpack.encode(fields)
        return frame(frames.HEADERS, flags | (frames.END_STREAM if end else 0), number, block)

    def answer(self, number: int, body: bytes = b"answer") -> bytes:
        return self.headers(number, HEAD) + data(number, body) + self.headers(number, TRAILERS, end=True)


class Told(Exchange):
    """What an exchange was told: `got` bytes, then `ended` with fields, or `failed` with a code and why."""

    def __init__(self) -> None:
        super().__init__()
        self.got = b""
        self.ended = None
        self.failed = None

    def data(self, buffer, begin, end):
        assert self.ended is None
        assert self.failed is None
        self.got += buffer[begin:end]

    def end(self, trailers):
        assert self.ended is None
        assert self.failed is None
        self.ended = dict(trailers.fields)

    def reset(self, code, why):
        assert self.ended is None
        assert self.failed is None
        self.failed = code, why


def connected(*pairs: tuple[int, int]) -> Http2:
    """A connection whose server has said hello with these settings; what the client has sent so far is taken."""
    http = Http2()
    http.feed(settings(*pairs))
    http.take()
    return http


def opened(http: Http2, body: bytes = b"request") -> Told:
    exchange = Told()
    assert http.free > 0
    http.request(REQUEST, body, exchange)
    return exchange


def split(sent: bytes) -> list[tuple[int, int, int, bytes]]:
    """Frames as (type, flags, stream, payload); the preface is left out."""
    sent = sent.removeprefix(PREFACE)
    found = []
    while sent:
        high, low, kind, flags, number = frames.HEAD.unpack_from(sent)
        size = high << 16 | low
        found.append((kind, flags, number, sent[9 : 9 + size]))
        assert len(found[-1][3]) == size
        sent = sent[9 + size :]
    return found


def over(http: Http2, sent: bytes, code: ErrorCode) -> None:
    """These bytes of the server end the connection with this code, and the client's goodbye says so."""
    with pytest.raises(ProtocolError) as error:
        http.feed(sent)
    assert error.value.code == code
    kind, _, number, payload = split(http.take())[-1]
    assert (kind, number, payload[4:]) == (frames.GOAWAY, 0, u32(code))
    assert http.spent
    assert http.free == 0


def reset(http: Http2, exchange: Told, sent: bytes, code: ErrorCode) -> None:
    """These bytes reset this stream with this code; the connection goes on."""
    http.feed(sent)
    assert exchange.failed is not None
    assert exchange.failed[0] == code
    assert (frames.RST_STREAM, 0, exchange.number, u32(code)) in split(http.take())
    other = opened(http)
    http.feed(Encoder().answer(other.number))
    assert other.got == b"answer"
