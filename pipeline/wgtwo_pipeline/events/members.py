"""Which member each event sets, read off the wire by numpy for all of them at once, without decoding.

ptars gives every column of every member a null for each message: of v0's eleven members, most of its time.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from google.protobuf.descriptor import FieldDescriptor

from wgtwo_pipeline.events.descriptors import Response

Rows = np.ndarray[Any, np.dtype[np.int64]]

WORTHWHILE = 2_000
"""Of fewer payloads, the tables of each member apart cost more time than they save."""

_BYTES = 2  # the wire type of messages and texts: https://protobuf.dev/programming-guides/encoding
_MOST_FIELDS = 16
_MOST_VARINT_BYTES = 3


def by_member(payloads: pa.BinaryArray, response: Response) -> Iterator[tuple[FieldDescriptor, Rows]]:
    """The positions of the payloads that set one member and no other, once, by member.

    Left out is every payload of which that is not certain: where an event's fields are not all messages and texts,
    or are many, where anything stands beside the event, and where the bytes break. So a payload that is in has the
    same meaning to a decoder that knows no other member. And all are left out where they are few.
    """
    if len(response.members) == 1 or len(payloads) < WORTHWHILE or payloads.null_count:
        return
    found = _numbers(payloads, response)
    for member in response.members:
        rows = np.flatnonzero(found == member.number)
        if len(rows):
            yield member, rows


def _numbers(payloads: pa.BinaryArray, response: Response) -> Rows:
    """The number of the only member that each payload sets; 0 where that is not certain."""
    _, offsets, values = payloads.buffers()
    ends = np.frombuffer(offsets, np.int32)[payloads.offset :][: len(payloads) + 1].astype(np.int64)
    data = np.frombuffer(values if values else b"\0", np.uint8)
    (outer,) = (response.descriptor.fields_by_name[name].number for name in response.event_path)
    is_member = np.zeros(1 << 7 * _MOST_VARINT_BYTES - 3, bool)
    is_member[[member.number for member in response.members]] = True
    number, certain, start, end = _field(data, ends[:-1], ends[1:])
    found = np.zeros(len(payloads), np.int64)
    rows = np.flatnonzero(certain & (number == outer) & (end == ends[1:]))
    at, last = start[rows], end[rows]
    for _ in range(_MOST_FIELDS):
        if not len(rows):
            return found
        number, certain, _, at = _field(data, at, last)
        sets = is_member[number]
        certain &= ~sets | (found[rows] == 0)
        found[rows[sets]] = number[sets]
        found[rows[~certain]] = 0
        more = certain & (at < last)
        rows, at, last = rows[more], at[more], last[more]
    found[rows] = 0
    return found


def _field(data: Any, at: Rows, end: Rows) -> tuple[Rows, Any, Rows, Rows]:
    """Of the fields at `at`: number, whether they are of bytes that end by `end`, and where those begin and end."""
    key, at = _varint(data, at)
    size, start = _varint(data, at)
    number, after = key >> 3, start + size
    return number, (key & 7 == _BYTES) & (number > 0) & (size >= 0) & (after <= end), start, after


def _varint(data: Any, at: Rows) -> tuple[Rows, Rows]:
    """The varints at `at` and where they end; -1 for one of more than _MOST_VARINT_BYTES."""
    last = len(data) - 1  # what leads beyond is found by its end
    value = data[np.minimum(at, last)].astype(np.int64)
    at = at + 1
    longer = np.flatnonzero(value >= 0x80)
    for shift in range(7, 7 * _MOST_VARINT_BYTES, 7):
        byte = data[np.minimum(at[longer], last)].astype(np.int64)
        value[longer] += (byte - 1) << shift  # the 1 is the bit that said there is more
        at[longer] += 1
        longer = longer[byte >= 0x80]
    value[longer] = -1
    return value, at
