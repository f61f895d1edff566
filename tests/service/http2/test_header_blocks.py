"""Header blocks are looked up where that is sound, and only there; what cannot be read ends the connection."""

import itertools
import logging

import hpack
import pytest
from hypothesis import given
from hypothesis import strategies as st
from peer import HEAD, REQUEST, TRAILERS, Encoder, Told, connected, opened, over, reset, settings, split
from wgtwo_pipeline.service.http2 import frames
from wgtwo_pipeline.service.http2.frames import ErrorCode, frame
from wgtwo_pipeline.service.http2.headers import MOST_BYTES, Reader, Writer

FIELDS = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "grpc-status", "grpc-message", "content-type", "x-long-name"]),
        st.sampled_from(["", "0", "1", "application/grpc", "x" * 30, "y" * 500]),
    ),
    max_size=6,
).map(tuple)


@given(sections=st.lists(FIELDS, min_size=1, max_size=30), sizes=st.lists(st.integers(0, 5000), max_size=30))
def test_answers_are_read_as_hpack_says(sections, sizes):
    """Whatever comes in whatever order, with a table of any size: the same as without looking anything up."""
    encoder, plain, reader = hpack.Encoder(), hpack.Decoder(), Reader()
    for fields, size in itertools.zip_longest(sections, sizes[: len(sections)]):
        if size is not None and size <= 4096:
            encoder.header_table_size = size
        block = encoder.encode(fields)
        section = reader.known.get(block) or reader.read(block)
        assert dict(section.fields) == dict(plain.decode(block))


@given(sections=st.lists(FIELDS, min_size=1, max_size=30), sizes=st.lists(st.integers(0, 9000), max_size=30))
def test_requests_are_written_as_hpack_says(sections, sizes):
    """Whatever is asked for in whatever order, with a table of any size: a server reads just that."""
    decoder, writer = hpack.Decoder(), Writer()
    for fields, size in itertools.zip_longest(sections, sizes[: len(sections)]):
        if size is not None:
            writer.resize(size)
            decoder.max_allowed_table_size = size
        assert tuple(decoder.decode(writer.write(fields))) == fields


def test_the_same_bytes_may_mean_something_else_later():
    """A reference counts from the newest entry of the table: another block moves what it stands for."""
    encoder, reader = hpack.Encoder(), Reader()
    said = [encoder.encode([field]) for field in (("a", "1"), ("a", "1"), ("b", "2"), ("b", "2"))]
    assert said[1] == said[3]
    found = [reader.known.get(block) or reader.read(block) for block in said]
    assert [dict(section.fields) for section in found] == [{"a": "1"}] * 2 + [{"b": "2"}] * 2


def test_the_same_request_costs_a_look_up():
    """From the second time on it is the same bytes, a reference each field."""
    writer = Writer()
    _, second, third = (writer.write(REQUEST) for _ in range(3))
    assert second is third
    assert len(second) == len(REQUEST)


def test_the_table_of_the_server_may_shrink_and_grow():
    """6.5.2: the next block says so, and uses no more than allowed."""
    http = connected()
    decoder = hpack.Decoder()

    def asked() -> tuple:
        opened(http)
        block = next(payload for kind, _, _, payload in split(http.take()) if kind == frames.HEADERS)
        return tuple(decoder.decode(block))

    assert asked() == asked() == REQUEST
    for size in (0, 100, 4096, 2**32 - 1):
        http.feed(settings((frames.HEADER_TABLE_SIZE, size)))
        decoder.max_allowed_table_size = min(size, 4096)
        assert asked() == asked() == REQUEST
        assert decoder.header_table_size <= size


def test_what_is_remembered_is_bounded():
    """A server that invents new combinations of references all the time fills nothing."""
    reader = Reader()
    for block in itertools.islice(itertools.product(range(0x81, 0xBE), repeat=3), 10_000):
        reader.read(bytes(block))
    assert len(reader.known) <= 64


@pytest.mark.parametrize(
    "block",
    [
        b"\x80",  # index 0
        b"\xff\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01",  # an integer without end
        b"\xff\x7f",  # an index that the table does not have
        b"\x40\x0aname",  # a literal that is cut off
        b"\x40",
        b"\x3f\xe2\x1f",  # a table larger than agreed: 4097 bytes
        b"\x88\x20",  # a size after a field
        b"\x40\x81\xff\x00",  # Huffman: padding longer than 7 bits, or an end of string
    ],
)
def test_blocks_that_cannot_be_read(block):
    """4.3: the table is lost, and with it the connection."""
    http = connected()
    opened(http)
    over(http, frame(frames.HEADERS, frames.END_HEADERS, 1, block), ErrorCode.COMPRESSION_ERROR)


def test_headers_larger_than_agreed():
    """10.5.1: a few bytes that stand for very many are not blown up."""
    http, encoder = connected(), Encoder()
    opened(http)
    big = encoder.hpack.encode([*HEAD, ("x", "y" * 4000)])
    references = bytes([0x80 | 62]) * 1000  # the newest entry of the table, a thousand times
    over(http, frame(frames.HEADERS, frames.END_HEADERS, 1, big + references), ErrorCode.COMPRESSION_ERROR)


@pytest.mark.parametrize("size", [0, 1, 16_384])
def test_headers_without_end(size):
    """10.5.1: CONTINUATION frames, also empty ones, are not collected for ever."""
    http = connected()
    opened(http)
    http.feed(frame(frames.HEADERS, 0, 1, b"\x88"))
    over(http, frame(frames.CONTINUATION, 0, 1, bytes(size)) * MOST_BYTES, ErrorCode.ENHANCE_YOUR_CALM)


@pytest.mark.parametrize("cut", range(1, 20))
def test_headers_are_continued(cut):
    """6.10: cut anywhere, with the flags of the first frame."""
    http = connected()
    exchange = opened(http)
    block = Encoder().hpack.encode((*HEAD, ("grpc-status", "7")))
    pieces = [block[:cut], block[cut:], b""]
    http.feed(frame(frames.HEADERS, frames.END_STREAM, 1, pieces[0]))
    http.feed(
        frame(frames.CONTINUATION, 0, 1, pieces[1]) + frame(frames.CONTINUATION, frames.END_HEADERS, 1, b"")
    )
    assert exchange.ended["grpc-status"] == "7"


@pytest.mark.parametrize(
    "other",
    [
        frame(frames.DATA, 0, 1, b"x"),
        frame(frames.HEADERS, frames.END_HEADERS, 1, b"\x88"),
        frame(frames.PING, 0, 0, bytes(8)),
        frame(frames.CONTINUATION, frames.END_HEADERS, 3, b""),
        frame(0xBE, 0, 0, b"unknown"),
    ],
)
def test_headers_are_not_interrupted(other):
    """6.10: not even by frames that nobody knows."""
    http = connected()
    opened(http), opened(http)
    http.feed(frame(frames.HEADERS, 0, 1, b"\x88"))
    over(http, other, ErrorCode.PROTOCOL_ERROR)


def test_a_continuation_of_nothing():
    """6.10."""
    http = connected()
    opened(http)
    over(http, frame(frames.CONTINUATION, frames.END_HEADERS, 1, b"\x88"), ErrorCode.PROTOCOL_ERROR)


def test_values_that_are_no_utf_8_pass():
    """8.2.1 leaves bytes above 0x7f to whoever understands them: here nobody needs to."""
    http, encoder = connected(), Encoder()
    exchange = opened(http)
    http.feed(encoder.headers(1, [*HEAD, (b"server", b"\xff\xfe")]) + encoder.headers(1, TRAILERS, end=True))
    assert exchange.ended == {"grpc-status": "0"}


def test_a_name_that_is_no_utf_8_is_none():
    """8.2.1."""
    http = connected()
    block = b"\x88\x00\x01\xff\x01x"
    reset(http, opened(http), frame(frames.HEADERS, frames.END_HEADERS, 1, block), ErrorCode.PROTOCOL_ERROR)


def test_the_token_is_in_no_log(caplog):
    """The library that encodes headers writes them at DEBUG: not here."""
    caplog.set_level(logging.DEBUG)
    http = connected()
    http.request((*REQUEST, ("authorization", "Bearer very-secret")), b"", Told())
    assert "very-secret" not in caplog.text
    assert not caplog.records
