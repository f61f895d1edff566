"""gRPC over HTTP/2 (grpc/doc/PROTOCOL-HTTP2.md): what a call's headers are, and what its status and message."""

import struct
from collections.abc import Mapping
from typing import Final
from urllib.parse import unquote

from wgtwo_pipeline.service.http2.frames import ErrorCode
from wgtwo_pipeline.service.http2.headers import Section

PREFIX: Final = struct.Struct(">BI")
"""Before each message: whether it is compressed, and how long it is."""

_CODES: Final = {
    "0": "OK", "1": "CANCELLED", "2": "UNKNOWN", "3": "INVALID_ARGUMENT", "4": "DEADLINE_EXCEEDED",
    "5": "NOT_FOUND", "6": "ALREADY_EXISTS", "7": "PERMISSION_DENIED", "8": "RESOURCE_EXHAUSTED",
    "9": "FAILED_PRECONDITION", "10": "ABORTED", "11": "OUT_OF_RANGE", "12": "UNIMPLEMENTED", "13": "INTERNAL",
    "14": "UNAVAILABLE", "15": "DATA_LOSS", "16": "UNAUTHENTICATED",
}  # fmt: skip
# What an answer means that is a proxy's and not gRPC's: grpc/doc/http-grpc-status-mapping.md
_HTTP_CODES: Final = {
    "400": "INTERNAL", "401": "UNAUTHENTICATED", "403": "PERMISSION_DENIED", "404": "UNIMPLEMENTED",
    "429": "UNAVAILABLE", "502": "UNAVAILABLE", "503": "UNAVAILABLE", "504": "UNAVAILABLE",
}  # fmt: skip
# Others are taken for what passes: what the server has done is not known, and trying again may help.
_RESETS: Final[Mapping[int, str]] = {
    ErrorCode.CANCEL: "CANCELLED",
    ErrorCode.ENHANCE_YOUR_CALM: "RESOURCE_EXHAUSTED",
}
_DETAIL_CHARACTERS: Final = 500


def message(payload: bytes) -> bytes:
    """A message as it is sent."""
    return PREFIX.pack(0, len(payload)) + payload


def status(trailers: Section, head: Section) -> tuple[str, str]:
    """The code by which a call has ended, by name, and its detail in one line."""
    number = trailers.fields.get("grpc-status")
    if number is None:
        return _HTTP_CODES.get(head.status, "UNKNOWN"), f"HTTP status {head.status}, no gRPC status"
    return _CODES.get(number, "UNKNOWN"), one_line(unquote(trailers.fields.get("grpc-message", "")))


def reset_code(code: int) -> str:
    """The code of a call whose stream was reset, or whose connection was lost."""
    return _RESETS.get(code, "UNAVAILABLE")


def one_line(text: str) -> str:
    """A detail, short enough for a log."""
    return " ".join(text.split())[:_DETAIL_CHARACTERS]
