"""The frames of HTTP/2 (RFC 9113, 4 to 7): their types, flags and error codes, and the rules that need no state."""

import struct
from enum import IntEnum
from typing import Final

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = (
    range(10)
)
END_STREAM, ACK, END_HEADERS, PADDED, PRIORITIZED = 0x1, 0x1, 0x4, 0x8, 0x20
HEADER_TABLE_SIZE, ENABLE_PUSH, MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE = 1, 2, 3, 4
MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE = 5, 6

PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
BYTES: Final = 1 << 14
"""The largest payload that every side takes; no more is asked for here, and no more is sent."""
MOST: Final = 2**31 - 1
"""Of windows, and of numbers of streams."""
HEAD: Final = struct.Struct(">BHBBI")
"""The head of a frame: its length in two fields, type, flags, stream."""
U32: Final = struct.Struct(">I")
SETTING: Final = struct.Struct(">HI")

_ON_STREAMS: Final = (DATA, HEADERS, PRIORITY, RST_STREAM, PUSH_PROMISE, CONTINUATION)
_ON_CONNECTION: Final = (SETTINGS, PING, GOAWAY)
_SIZES: Final = {PRIORITY: 5, RST_STREAM: 4, PING: 8, WINDOW_UPDATE: 4}
_PRIORITY_BYTES: Final = 5


class ErrorCode(IntEnum):
    """RFC 9113, 7."""

    NO_ERROR = 0
    PROTOCOL_ERROR = 1
    INTERNAL_ERROR = 2
    FLOW_CONTROL_ERROR = 3
    SETTINGS_TIMEOUT = 4
    STREAM_CLOSED = 5
    FRAME_SIZE_ERROR = 6
    REFUSED_STREAM = 7
    CANCEL = 8
    COMPRESSION_ERROR = 9
    CONNECT_ERROR = 10
    ENHANCE_YOUR_CALM = 11
    INADEQUATE_SECURITY = 12
    HTTP_1_1_REQUIRED = 13


class ProtocolError(Exception):
    """The server does not keep to the protocol, and the connection is over. `code` is what to tell it."""

    def __init__(self, code: ErrorCode, why: str) -> None:
        super().__init__(f"the server does not keep to HTTP/2: {why}")
        self.code = code


def frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    """One frame."""
    return HEAD.pack(len(payload) >> 16, len(payload) & 0xFFFF, kind, flags, number) + payload


def name(code: int) -> str:
    """An error code in words."""
    try:
        return ErrorCode(code).name
    except ValueError:
        return f"error {code}"


def check(kind: int, flags: int, number: int, size: int) -> None:
    """Raises ProtocolError where a frame is not as one of its type has to be, whatever the state."""
    if (kind in _ON_STREAMS and not number) or (kind in _ON_CONNECTION and number):
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"a frame of type {kind} on stream {number}")
    wrong_size = size != _SIZES.get(kind, size)
    if kind == SETTINGS:
        wrong_size = bool(size) if flags & ACK else bool(size % SETTING.size)
    if wrong_size or (kind == GOAWAY and size < 2 * U32.size):
        raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, f"a frame of type {kind} with {size} bytes")


def content(flags: int, payload: bytes, prioritized: bool = False) -> tuple[int, int]:
    """Where in a frame its data or block begins and ends: without padding and, in HEADERS, a priority."""
    begin, end = 0, len(payload)
    if flags & PADDED:
        begin, end = 1, end - (payload[0] if payload else end)
    if prioritized and flags & PRIORITIZED:
        begin += _PRIORITY_BYTES
    if begin > end:
        raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "padding or a priority larger than its frame")
    return begin, end
