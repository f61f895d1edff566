"""The tables: their names, columns and identities, derived from the API's descriptors by one rule.

One table for each event member. Its own columns follow the member's fields in the order of their numbers:

- a message's fields are joined with `_`; a message with a single field takes its parent's name;
- an enum is its value's name, a number not in the enum that number as text;
- a plain field of a set message is never null; a oneof member that is not set is null, and so is everything
  inside a message that is not set;
- an empty message is a bool: true where it is set, false where it is not, also as a member of a oneof (so
  that `NOT revoked` finds what `revoked` does not);
- a field that later comes to the envelope of all events follows the event's own columns;
- no column is unsigned, as most readers have no such type: a number beyond 2^63-1 has no place in a row;
- a timestamp is in microseconds, UTC; a list of messages, a map and a message that contains itself have no flat
  form and are kept as their bytes.

All columns are declared nullable: files written before a column existed read as null.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from google.protobuf.descriptor import FieldDescriptor

from wgtwo_pipeline.events.descriptors import TIMESTAMP, Response, current_descriptors, responses

__all__ = ["QUARANTINE", "Column", "PartitionBy", "Table", "catalog", "current_descriptors", "partitions"]

PartitionBy = Literal["date", "hour"]

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  # only its date matters

MICROSECONDS = pa.timestamp("us", "UTC")

_HEADS = {
    "v0": [
        ("timestamp", MICROSECONDS),
        ("sequence", pa.int64()),
        ("service_id", pa.string()),
        ("owner_phone_number", pa.string()),
        ("owner_sub", pa.string()),
        ("received_at", MICROSECONDS),
    ],
    "v1": [
        ("timestamp", MICROSECONDS),
        ("event_id", pa.string()),
        ("subscription", pa.string()),
        ("received_at", MICROSECONDS),
    ],
}
_TAIL = {"date": pa.date32()}
_PATH_KEYS = ("day", "hour")
_IDENTITIES = {"v0": ("timestamp", "sequence"), "v1": ("timestamp", "event_id")}

QUARANTINE = pa.schema(
    [
        ("received_at", MICROSECONDS),
        ("reason", pa.string()),
        ("error", pa.string()),
        ("api", pa.string()),
        ("method", pa.string()),
        ("sequence", pa.int64()),
        ("timestamp", MICROSECONDS),
        ("payload", pa.binary()),
        ("date", pa.date32()),
    ]
)
"""What could not become a row, in delivery order; `date` is of `received_at`."""

LARGEST_NUMBER = 2**63 - 1

_SCALARS = {
    FieldDescriptor.CPPTYPE_BOOL: pa.bool_(),
    FieldDescriptor.CPPTYPE_INT32: pa.int32(),
    FieldDescriptor.CPPTYPE_INT64: pa.int64(),
    FieldDescriptor.CPPTYPE_UINT32: pa.int64(),
    FieldDescriptor.CPPTYPE_UINT64: pa.int64(),
    FieldDescriptor.CPPTYPE_FLOAT: pa.float32(),
    FieldDescriptor.CPPTYPE_DOUBLE: pa.float64(),
    FieldDescriptor.CPPTYPE_ENUM: pa.string(),
}


@dataclass(frozen=True)
class Column:
    """One column that the rule derives: where its value stands in the response, and its type.

    `names` holds an enum's names by number; `present` says that the value is whether the message is set.
    """

    name: str
    path: tuple[str, ...]
    type: pa.DataType
    names: Mapping[int, str] | None = None
    present: bool = False


@dataclass(frozen=True)
class Table:
    """One event type's table.

    `columns` are those that the rule derives, of the event and of its envelope; `schema` has all of them, in
    order. `identity` names the columns that tell one event of the table from another.
    """

    name: str
    api: str
    method: str
    event_field: str
    columns: tuple[Column, ...]
    schema: pa.Schema
    identity: tuple[str, str]


@lru_cache(maxsize=16)
def catalog(descriptors: bytes) -> Mapping[str, Table]:
    """Every table that events of `descriptors` (a serialized FileDescriptorSet) can go to, by name."""
    tables = [_table(r, member) for r in responses(descriptors).values() for member in r.members]
    return {table.name: table for table in tables}


def partitions(rows: pa.Table, partition_by: PartitionBy = "date") -> Iterator[tuple[str, pa.Table]]:
    """The rows of each partition in their order, by name: `2026-11-23`, or by hour `2026-11-23/09`."""
    hourly = partition_by == "hour"
    if hourly:
        hours = np.asarray(rows["timestamp"].cast(pa.int64())) // 3_600_000_000
    else:
        hours = np.asarray(rows["date"].cast(pa.int32())).astype(np.int64) * 24
    found, partition = np.unique(hours, return_inverse=True)
    if len(found) > 1:
        rows = rows.take(pa.array(np.argsort(partition, kind="stable")))
    start = 0
    for hour, count in zip(found.tolist(), np.bincount(partition).tolist(), strict=True):
        day = (_EPOCH + timedelta(hours=hour)).date().isoformat()
        yield (f"{day}/{hour % 24:02d}" if hourly else day), rows.slice(start, count)
        start += count


def table_name(api: str, member: str) -> str:
    """The table of an event member: `sms_event` is `sms` in v0 and would be `sms_v1` in v1."""
    return member.removesuffix("_event") + ("" if api == "v0" else f"_{api}")


def _table(response: Response, member: FieldDescriptor) -> Table:
    head = dict(_HEADS[response.api])
    shared = [c for field in response.envelope for c in _columns(field, response.event_path, field.name)]
    own = [_renamed(c, head) for c in _inner_columns(member, response.event_path, "")]
    last = [c for c in shared if c.name not in head]
    columns = {c.name: c for c in [*shared, *own, *last]}
    fields = {**head, **{c.name: c.type for c in [*own, *last]}, **_TAIL}
    return Table(
        name=table_name(response.api, member.name),
        api=response.api,
        method=response.method,
        event_field=member.name,
        columns=tuple(columns.values()),
        schema=pa.schema(list(fields.items())),
        identity=_IDENTITIES[response.api],
    )


def _columns(field: FieldDescriptor, path: tuple[str, ...], name: str) -> Iterator[Column]:
    inner, kind = (*path, field.name), field.message_type
    if kind is None:
        yield Column(name, inner, _type(field), _names(field))
    elif kind.full_name == TIMESTAMP:
        yield Column(name, inner, MICROSECONDS)
    elif not kind.fields:
        yield Column(name, inner, pa.bool_(), present=True)
    else:
        yield from _inner_columns(field, path, name)


def _inner_columns(parent: Any, path: tuple[str, ...], name: str) -> Iterator[Column]:
    fields = parent.message_type.fields
    for field in sorted(fields, key=lambda f: f.number):
        joined = f"{name}_{field.name}" if name else field.name
        yield from _columns(field, (*path, parent.name), name if name and len(fields) == 1 else joined)


def _renamed(column: Column, head: Mapping[str, pa.DataType]) -> Column:
    """The column under a name of its own, should the API ever name a field like one of ours."""
    taken = column.name in head or column.name in _TAIL or column.name in _PATH_KEYS
    return replace(column, name=f"event_{column.name}") if taken else column


def _type(field: FieldDescriptor) -> pa.DataType:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        value = pa.binary() if field.type == FieldDescriptor.TYPE_BYTES else pa.string()
    else:
        value = _SCALARS[field.cpp_type]
    return pa.list_(value) if field.is_repeated else value


def _names(field: FieldDescriptor) -> Mapping[int, str] | None:
    if field.enum_type is None:
        return None
    return {number: value.name for number, value in field.enum_type.values_by_number.items()}
