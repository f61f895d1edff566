"""Header blocks of HTTP/2 (HPACK, RFC 7541, by the `hpack` library), and the rules for what they may say.

Nearly every call of a gRPC client has the same header block, and so has every answer: what was computed once is
looked up from then on. That is only sound for a block that consists of nothing but one-byte references to the
table, as such a one leaves the table as it is; and only until any other block comes, which may move it.
"""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

import hpack

logging.getLogger("hpack").setLevel(logging.WARNING)  # at DEBUG it writes every field, the token among them

MOST_BYTES: Final = 1 << 16
"""The largest header section that is read, with 32 bytes a field besides its name and value (RFC 9113, 6.5.2)."""

_MOST_KNOWN: Final = 64
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9a-z-]+")
_STATUS: Final = re.compile(r"[1-5][0-9]{2}")
_OF_A_CONNECTION: Final = {"connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"}

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

Fields = tuple[tuple[str, str], ...]
"""Names and values of a request, pseudo-fields first."""


class HeadersError(Exception):
    """A header block that cannot be read: the table is lost, and with it the connection."""


class Section(NamedTuple):
    """The fields of an answer, or of its trailers."""

    status: str
    """The HTTP status; empty in trailers."""
    fields: Mapping[str, str]
    malformed: str
    """Which rule of RFC 9113, 8.2 and 8.3, it breaks; empty if none."""


class Writer:
    """Encodes the requests of one connection."""

    def __init__(self) -> None:
        self._encoder = hpack.Encoder()
        self._known: dict[Fields, bytes] = {}

    def write(self, fields: Fields) -> bytes:
        """The block of these fields; it has to be sent before the next one is."""
        return self._known.get(fields) or self._encode(fields)

    def resize(self, table_bytes: int) -> None:
        """The server allows its table to have this size; more than HPACK's first one is not made use of."""
        self._encoder.header_table_size = min(table_bytes, 4096)
        self._known.clear()  # the next block must say so

    def _encode(self, fields: Fields) -> bytes:
        block: bytes = self._encoder.encode(fields)
        _remember(self._known, fields, block, block)
        return block


class Reader:
    """Decodes the answers of one connection."""

    def __init__(self) -> None:
        self._decoder = hpack.Decoder(MOST_BYTES)
        self.known: dict[bytes, Section] = {}
        """Blocks that need not be read again, until the next call of `read`."""

    def read(self, block: bytes) -> Section:
        """What a block says. Raises HeadersError."""
        try:
            fields = [(_text(name), _text(value)) for name, value in self._decoder.decode(block, raw=True)]
        except hpack.HPACKError as error:
            raise HeadersError(f"headers that cannot be decoded: {error}") from None
        section = Section(dict(fields).get(":status", ""), dict(fields), _malformed(fields))
        _remember(self.known, block, section, block)
        return section


def _remember(known: dict[_Key, _Value], key: _Key, value: _Value, block: bytes) -> None:
    """Keeps what a block stands for, if it leaves the table alone; else what is known may be so no longer."""
    one_byte_references = bool(block) and min(block) > 0x80 and max(block) < 0xFF
    if not one_byte_references or len(known) >= _MOST_KNOWN:
        known.clear()
    if one_byte_references:
        known[key] = value


def _text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


def _malformed(fields: Iterable[tuple[str, str]]) -> str:
    seen_regular = False
    names = set()
    for name, value in fields:
        if name.startswith(":"):
            if name != ":status" or seen_regular or name in names:
                return f"the pseudo-field {name!r} where none belongs"
            if not _STATUS.fullmatch(value):
                return f"the status {value!r}"
        elif not _NAME.fullmatch(name):
            return f"a field named {name[:100]!r}"
        elif name in _OF_A_CONNECTION:
            return f"the field {name}, which HTTP/2 does not have"
        elif any(character in value for character in "\0\r\n"):
            return f"a value of {name} with a line break in it"
        else:
            seen_regular = True
        names.add(name)
    return ""
