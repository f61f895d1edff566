"""TCP cuts a conversation anywhere: what an exchange is told does not depend on where."""

import itertools

from hypothesis import given
from hypothesis import strategies as st
from peer import HEAD, TRAILERS, Encoder, Told, connected, data, goaway, opened, settings, split, u32
from wgtwo_pipeline.service.http2 import frames
from wgtwo_pipeline.service.http2.frames import frame


def recorded() -> bytes:
    """What a server says to four requests: everything that may happen to a connection and still be right."""
    encoder = Encoder()
    padded = frames.END_HEADERS | frames.PADDED | frames.PRIORITIZED

    def unusual(fields) -> bytes:
        return frame(frames.HEADERS, padded, 3, b"\x04" + bytes(5) + encoder.hpack.encode(fields) + bytes(4))

    said = [
        frame(frames.SETTINGS, frames.ACK, 0, b""),
        frame(frames.WINDOW_UPDATE, 0, 0, u32(1 << 20)),
        encoder.headers(1, [(":status", "103")]),
        encoder.answer(1, b"one" * 20),
        frame(frames.PING, 0, 0, b"pingpong"),
        unusual((*HEAD, ("x-more", "y" * 40))),
        settings((frames.MAX_CONCURRENT_STREAMS, 50), (frames.HEADER_TABLE_SIZE, 200)),
        data(3, b"three"),
        frame(0xBE, 7, 3, b"unknown"),
        encoder.headers(5, (*HEAD, ("grpc-status", "5"), ("grpc-message", "no%20such")), end=True),
        frame(frames.DATA, frames.PADDED, 3, b"\x03more" + bytes(3)),
        frame(frames.RST_STREAM, 0, 7, u32(8)),
        goaway(2**31 - 1, 0, b"bye"),
    ]
    end = encoder.hpack.encode((*TRAILERS, ("grpc-message", "x" * 30)))
    said.append(frame(frames.HEADERS, frames.END_STREAM, 3, end[:7]))
    said.append(frame(frames.CONTINUATION, frames.END_HEADERS, 3, end[7:]))
    return b"".join(said)


def told(pieces: list[bytes]) -> tuple[list[Told], list[tuple]]:
    http = connected()
    exchanges = [opened(http) for _ in range(4)]
    http.take()
    sent = b""
    for piece in pieces:
        http.feed(piece)
        sent += http.take()
    assert not http.exchanges
    return [(each.got, each.ended, each.failed, each.room) for each in exchanges], split(sent)


SAID = recorded()
WHOLE = told([SAID])


def test_the_conversation_says_what_it_should():
    """Two answers, a refusal and a reset."""
    (one, three, five, seven), _ = WHOLE
    assert one[:2] == (b"one" * 20, {"grpc-status": "0"})
    assert three[0] == b"threemore"
    assert five[1]["grpc-message"] == "no%20such"
    assert seven[2][0] == 8


def test_a_cut_anywhere_changes_nothing():
    """Each place once."""
    for at in range(len(SAID) + 1):
        assert told([SAID[:at], SAID[at:]]) == WHOLE


def test_byte_by_byte():
    """The smallest pieces there are."""
    assert told([SAID[at : at + 1] for at in range(len(SAID))]) == WHOLE


@given(cuts=st.lists(st.integers(0, len(SAID)), max_size=40).map(sorted))
def test_any_cuts_change_nothing(cuts):
    """Any number of pieces, empty ones too."""
    edges = [0, *cuts, len(SAID)]
    assert told([SAID[start:end] for start, end in itertools.pairwise(edges)]) == WHOLE
