"""Reads protobuf's wire format without descriptors, as far as the bytes can be read.

For the few deliveries that cannot be decoded: what can still be said of them, and whether two are the same.
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class Field(NamedTuple):
    """One field as it stands on the wire; `value` is an int for a varint, else bytes."""

    number: int
    value: int | bytes


class Envelope(NamedTuple):
    """What could be read about an event: None where it is missing or broken."""

    sequence: int | None
    seconds: int | None
    nanos: int | None
    event_fields: tuple[int, ...]


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message, in wire order, up to where it breaks.

    A value cut off by the end of the data comes as the part that is there; what cannot be read as fields
    (also a group) comes last, as field number 0 with the remaining bytes.
    """
    at = 0
    while at < len(data):
        start = at
        key, at = _varint(data, at)
        number, wire_type = key >> 3, key & 7
        if at < 0 or number == 0:
            yield Field(0, data[start:])
            return
        if wire_type == _VARINT:
            value, at = _varint(data, at)
            if at < 0:
                yield Field(0, data[start:])
                return
            yield Field(number, value)
            continue
        if wire_type == _BYTES:
            size, at = _varint(data, at)
        else:
            size = {_FIXED64: 8, _FIXED32: 4}.get(wire_type, -1)
        if at < 0 or size < 0:
            yield Field(0, data[start:])
            return
        yield Field(number, data[at : at + size])
        at += size


def read_envelope(payload: bytes, api: str) -> Envelope:
    """What a delivery says about its event, merged as protobuf merges fields that come more than once."""
    # v0: response.event(1).{metadata(1).sequence(1), timestamp(2)}; v1: response.metadata(1).timestamp(1)
    event = _message(payload, 1) if api == "v0" else payload
    metadata = _message(event, 1)
    time = _message(event, 2) if api == "v0" else _message(metadata, 1)
    return Envelope(
        sequence=_number(metadata, 1) if api == "v0" else None,
        seconds=_signed(_number(time, 1), 64),
        nanos=_signed(_number(time, 2), 32),
        event_fields=tuple(field.number for field in fields(event or b"")),
    )


def quarantine_identity(payload: bytes, api: str) -> bytes:
    """A digest that a delivery and its redelivery share, whatever state their bytes are in.

    Covers all that can be read but what concerns the delivery alone: of v0's metadata only the sequence
    counts, of v1's only timestamp and identifier. Bytes that break count as they are from there on.
    """
    digest = hashlib.sha256()
    outer = "v0" if api == "v0" else ""
    for path, field in _flat(payload, outer):
        value = field.value
        data = value.to_bytes(10, "little") if isinstance(value, int) else value
        digest.update(b"%s:%d:%d:" % (path.encode(), field.number, len(data)))
        digest.update(data)
    return digest.digest()[:16]


def _flat(payload: bytes, outer: str) -> Iterator[tuple[str, Field]]:
    """The fields that count, each with the path of the message that holds it."""
    for field in fields(payload):
        if field.number != 1 or isinstance(field.value, int):
            yield outer, field
        elif outer == "v0":
            yield from _flat(field.value, "v0.event")
        else:
            kept = (1,) if outer else (1, 2)
            yield from (("metadata", inner) for inner in fields(field.value) if inner.number in kept)


def _message(data: bytes | None, number: int) -> bytes | None:
    """The submessage of this number, its parts joined, which merges them; None where it is not set."""
    parts = [field.value for field in fields(data or b"") if field.number == number]
    found = [part for part in parts if isinstance(part, bytes)]
    return b"".join(found) if found else None


def _number(data: bytes | None, number: int) -> int | None:
    """The integer of this number in a message, 0 where it is not set; None where there is no message."""
    if data is None:
        return None
    values = [field.value for field in fields(data) if field.number == number]
    return next((value for value in reversed(values) if isinstance(value, int)), 0)


def _signed(value: int | None, bits: int) -> int | None:
    """The low bits of a varint as the signed integer that they stand for."""
    if value is None:
        return None
    value &= (1 << bits) - 1
    return value - (1 << bits) if value >> (bits - 1) else value


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """The varint at `at` (its low 64 bits) and where it ends; -1 where it does not end."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFF_FFFF_FFFF_FFFF, at
    return 0, -1
