"""Whatever a server sends: an error of the protocol or none, each exchange ends at most once, memory is bounded."""

import contextlib
import os
import random
import time
import tracemalloc

import pytest
from peer import HEAD, TRAILERS, Encoder, connected, data, opened
from test_splits import SAID
from wgtwo_pipeline.service.http2 import frames
from wgtwo_pipeline.service.http2.connection import Http2
from wgtwo_pipeline.service.http2.frames import ProtocolError, frame

SECONDS = float(os.environ.get("FUZZ_SECONDS", "20"))


def mutated(luck: random.Random) -> bytes:
    """A conversation that is right but for a few bytes, cuts or repetitions."""
    said = bytearray(SAID)
    for _ in range(luck.randint(1, 6)):
        at = luck.randrange(len(said))
        match luck.randrange(4):
            case 0:
                said[at] = luck.randrange(256)
            case 1:
                said[at] ^= 1 << luck.randrange(8)
            case 2:
                del said[at : at + luck.randint(1, 20)]
            case 3:
                said[at:at] = said[at : at + luck.randint(1, 60)]
    return bytes(said)


def invented(luck: random.Random) -> bytes:
    """Frames of any type with any flags on the streams there are, and payloads that often make sense."""
    encoder, said = Encoder(), []
    for _ in range(luck.randint(1, 40)):
        number = luck.choice([0, 1, 1, 3, 3, 5, 7, 2, 9, 2**31 - 1])
        match luck.randrange(6):
            case 0:
                payload = luck.randbytes(luck.choice([0, 1, 4, 5, 6, 8, 12, 100, 16_384]))
                said.append(frame(luck.randrange(11), luck.randrange(256), number, payload))
            case 1:
                said.append(encoder.headers(number, luck.choice([HEAD, TRAILERS]), end=luck.random() < 0.5))
            case 2:
                said.append(data(number, luck.randbytes(luck.randrange(50)), end=luck.random() < 0.2))
            case 3:
                kind = luck.choice([frames.WINDOW_UPDATE, frames.RST_STREAM])
                said.append(frame(kind, 0, number, luck.choice([1, 5, 2**31 - 1]).to_bytes(4, "big")))
            case 4:
                pair = (
                    luck.choice([0, 1, 2, 3, 4, 5, 6, 9]),
                    luck.choice([0, 1, 100, 16_384, 2**31, 2**32 - 1]),
                )
                said.append(frame(frames.SETTINGS, 0, 0, frames.SETTING.pack(*pair)))
            case 5:
                block = encoder.hpack.encode(HEAD)
                at = luck.randrange(len(block) + 1)
                said.append(frame(frames.HEADERS, luck.choice([0, 1, 4, 8, 32]), number, block[:at]))
                said.append(frame(frames.CONTINUATION, luck.choice([0, 4, 4]), number, block[at:]))
    return b"".join(said)


def talk(http: Http2, said: bytes, luck: random.Random) -> None:
    exchanges = [opened(http, bytes(luck.choice([0, 5, 70_000]))) for _ in range(4)]
    at = 0
    with contextlib.suppress(ProtocolError):
        while at < len(said):
            size = luck.choice([1, 9, 100, 5000])
            http.feed(said[at : at + size])
            at += size
            http.take()
            if luck.random() < 0.1:
                http.cancel(luck.choice(exchanges))
            if http.free and luck.random() < 0.1:
                exchanges.append(opened(http))  # Told asserts that it hears nothing after its end
    http.take()
    assert len(http._rest) < frames.HEAD.size + frames.BYTES
    assert set(http.exchanges) <= {each.number for each in exchanges}


@pytest.mark.heavy
@pytest.mark.parametrize("make", [mutated, invented])
def test_fuzz(make):
    """As many conversations as fit into the time; a failure names the seed."""
    ends, seed = time.monotonic() + SECONDS, random.randrange(2**32)
    tracemalloc.start()
    while time.monotonic() < ends:
        seed += 1
        luck = random.Random(seed)
        try:
            talk(connected(), make(luck), luck)
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
    assert tracemalloc.get_traced_memory()[1] < 64 << 20
    tracemalloc.stop()


@pytest.mark.heavy
def test_fuzz_of_bytes():
    """Anything at all, from the first byte on."""
    ends, seed = time.monotonic() + SECONDS / 2, random.randrange(2**32)
    while time.monotonic() < ends:
        seed += 1
        luck = random.Random(seed)
        http = Http2()
        try:
            with contextlib.suppress(ProtocolError):
                http.feed(luck.randbytes(luck.randrange(200)))
        except Exception as error:
            raise AssertionError(f"seed {seed}") from error
