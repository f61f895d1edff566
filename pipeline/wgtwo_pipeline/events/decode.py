"""Deliveries become rows of their tables, or quarantine: nothing else, and none is left out.

Each delivery's outcome depends only on its own bytes and the descriptors, never on its neighbours.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wgtwo_pipeline.events.descriptors import Response, responses
from wgtwo_pipeline.events.event_ids import event_ids
from wgtwo_pipeline.events.members import Rows
from wgtwo_pipeline.events.messages import Mask, Part, read, valid_bits
from wgtwo_pipeline.events.tables import LARGEST_NUMBER, MICROSECONDS, QUARANTINE, Column, Table, catalog
from wgtwo_pipeline.events.wire import read_envelope

MIN_SECONDS, MAX_SECONDS = -62_135_596_800, 253_402_300_799  # 0001-01-01 to 9999-12-31, as protobuf has it

EARLIEST_SECONDS = -2_208_988_800
"""1900-01-01. Earlier ones are well-formed, but no time of an event: Go's zero time is in the year 1. Spark 3 refuses
Parquet with any (it can't tell which calendar they are in), pandas' nanoseconds end in 1677."""

REASONS = {
    "undecodable": "the bytes are not a message of this stream: they break off or make no sense",
    "invalid_utf8": "a text field is not valid UTF-8",
    "no_event": "the message holds no event",
    "unknown_event": "the event is of a kind that the descriptors do not know; a newer version may publish it",
    "no_metadata": "the event has no metadata, so it has no identity",
    "no_timestamp": "the event has no timestamp (one before 1900, such as Go's zero time, is none), so it has no "
    "identity and no partition",
    "bad_timestamp": "a timestamp lies outside the years 1900 to 9999, or its nanos outside a second",
    "number_too_large": "the sequence, or another number, is beyond 2^63-1, the largest that most readers have",
}
"""Why a delivery is quarantined: the reason, and the sentence that explains it."""


@dataclass(frozen=True)
class Decoded:
    """Rows in delivery order: by table name (those that got any), and in the schema of QUARANTINE.

    `positions` says which delivery each row is of, by table name, the quarantine's as `quarantine`.
    """

    tables: dict[str, pa.Table]
    quarantine: pa.Table
    positions: Mapping[str, Rows] = field(default_factory=dict)


def decode(
    deliveries: pa.Table | pa.RecordBatch,
    *,
    api: str,
    method: str,
    descriptors: bytes,
) -> Decoded:
    """Decode deliveries (`payload: binary`, `received_at: timestamp[us, UTC]`) of one stream.

    Every delivery is either one row of one table, in exactly the schema of `catalog(descriptors)`, or one row
    of the quarantine. Raises KeyError where `descriptors` have no such stream. Pure; blocks on nothing.
    """
    response = responses(descriptors)[api, method]
    tables = [t for t in catalog(descriptors).values() if (t.api, t.method) == (api, method)]
    rows: dict[str, list[pa.Table]] = {}
    quarantine = []
    positions: dict[str, list[Rows]] = {}
    before = 0
    batches = deliveries.to_batches() if isinstance(deliveries, pa.Table) else [deliveries]
    for batch in batches:
        decoded = _decode_batch(batch, response, tables)
        quarantine.append(decoded.quarantine)
        for name, table in decoded.tables.items():
            rows.setdefault(name, []).append(table)
        for name, at in decoded.positions.items():
            positions.setdefault(name, []).append(at + before)
        before += len(batch)
    return Decoded(
        {t.name: pa.concat_tables(rows[t.name]) for t in tables if t.name in rows},
        pa.concat_tables(quarantine) if quarantine else QUARANTINE.empty_table(),
        {name: np.concatenate(parts) for name, parts in positions.items()},
    )


def _decode_batch(batch: pa.RecordBatch, response: Response, tables: list[Table]) -> Decoded:
    payloads = batch.column("payload")
    reasons: dict[int, str] = {}
    found: dict[str, list[pa.Table]] = {}
    for part in read(payloads, response, reasons):
        for table, rows in _part_rows(part, batch, response, tables, reasons):
            found.setdefault(table.name, []).append(rows)
    ordered = {table.name: _in_order(found[table.name]) for table in tables if table.name in found}
    positions = {name: np.asarray(rows["row"]) for name, rows in ordered.items()}
    return Decoded(
        {t.name: ordered[t.name].select(t.schema.names).cast(t.schema) for t in tables if t.name in ordered},
        _quarantine(batch, response, reasons),
        {**positions, "quarantine": np.array(sorted(reasons), np.int64)},
    )


def _in_order(parts: list[pa.Table]) -> pa.Table:
    return parts[0] if len(parts) == 1 else pa.concat_tables(parts).sort_by("row")


class _Leaves:
    """A part's values by their path in the response; null where a message around them is not set."""

    def __init__(self, messages: pa.StructArray) -> None:
        self._found: dict[tuple[str, ...], pa.Array] = {(): messages}

    def __getitem__(self, path: tuple[str, ...]) -> Any:
        if path not in self._found:
            around = self[path[:-1]]
            # flatten() and not field(): only it gives a child the nulls of its parents.
            for field, child in zip(around.type, around.flatten(), strict=True):
                self._found[*path[:-1], field.name] = child
        return self._found[path]


def _part_rows(
    part: Part, batch: pa.RecordBatch, response: Response, tables: list[Table], reasons: dict[int, str]
) -> Iterator[tuple[Table, pa.Table]]:
    leaves = _Leaves(part.messages)
    tables = [table for table in tables if part.member in (None, table.event_field)]
    members = {table.name: valid_bits(leaves[*response.event_path, table.event_field]) for table in tables}
    metadata = (*response.event_path, "metadata")
    time = (*response.event_path, "timestamp") if response.api == "v0" else (*metadata, "timestamp")
    timestamps, valid = _timestamps(leaves[time])
    wrong = {
        "no_event": ~np.logical_or.reduce(list(members.values())),
        "no_metadata": ~valid_bits(leaves[metadata]),
        "no_timestamp": ~valid_bits(leaves[time]) | _is_no_time(leaves[time]),
        "bad_timestamp": ~valid,
    }
    good = _refuse(wrong, part.rows, reasons)
    for table in tables:
        chosen = np.flatnonzero(members[table.name] & good)
        if not len(chosen):
            continue
        rows = part.rows[chosen]
        index = None if len(chosen) == len(part.rows) else pa.array(chosen)
        columns, bad, large = _own(table.columns, leaves, index, len(rows))
        wrong = {"bad_timestamp": bad, "number_too_large": large}
        columns |= _times(timestamps[chosen])
        columns["received_at"] = batch.column("received_at").take(pa.array(rows))
        columns["row"] = pa.array(rows)
        if response.api == "v0":
            columns["sequence"] = _taken(leaves[*metadata, "sequence"], index)
            large |= _is_large(columns["sequence"])
        else:
            columns["event_id"] = event_ids(response, table, batch.column("payload"), rows)
            columns["subscription"] = _taken(_subscription(leaves, metadata), index)
            wrong["undecodable"] = ~valid_bits(columns["event_id"])
        kept = _refuse(wrong, rows, reasons)
        if kept.any():
            yield table, pa.table(columns) if kept.all() else pa.table(columns).filter(pa.array(kept))


def _refuse(wrong: Mapping[str, Mask], rows: Rows, reasons: dict[int, str]) -> Mask:
    """Give each row the first reason that holds for it; return which have none."""
    good = np.ones(len(rows), bool)
    for reason, where in wrong.items():
        reasons.update(dict.fromkeys(rows[good & where].tolist(), reason))
        good &= ~where
    return good


def _own(
    columns: Iterable[Column], leaves: _Leaves, index: pa.Array | None, count: int
) -> tuple[dict[str, pa.Array], Mask, Mask]:
    """The columns that the rule derives; which rows have a timestamp that is none, which too large a number."""
    found: dict[str, pa.Array] = {}
    bad, large = np.zeros(count, bool), np.zeros(count, bool)
    for column in columns:
        leaf = leaves[column.path]
        if column.present:
            around = leaves[column.path[:-1]].is_valid()
            found[column.name] = _taken(pc.if_else(around, leaf.is_valid(), None), index)
        elif column.type == MICROSECONDS:
            values = _taken(leaf, index)
            timestamps, valid = _timestamps(values)
            bad |= valid_bits(values) & ~valid
            found[column.name] = pa.array(timestamps, mask=~valid_bits(values)).cast(MICROSECONDS)
        elif column.names is not None:
            found[column.name] = _enum_names(_taken(leaf, index), column.names)
        else:
            found[column.name] = _taken(leaf, index)
            large |= _is_large(found[column.name])
    return found, bad, large


def _taken(values: pa.Array, index: pa.Array | None) -> pa.Array:
    """The values at `index`; all of them, not copied, where there is none."""
    return values if index is None else values.take(index)


def _enum_names(numbers: pa.Array, names: Mapping[int, str]) -> pa.Array:
    if isinstance(numbers, pa.ListArray):
        texts = _enum_names(numbers.values, names)
        return pa.ListArray.from_arrays(numbers.offsets, texts, mask=numbers.is_null())
    encoded = numbers.dictionary_encode()
    texts = pa.array([names.get(n, str(n)) for n in encoded.dictionary.to_pylist()], pa.string())
    return texts.take(encoded.indices)


def _timestamps(messages: pa.StructArray) -> tuple[Rows, Mask]:
    """Microseconds since 1970 of Timestamp messages (nanos truncated), and which of them are valid."""
    seconds, nanos = (np.asarray(pc.fill_null(child, 0)) for child in messages.flatten())
    valid = (seconds >= EARLIEST_SECONDS) & (seconds <= MAX_SECONDS) & (nanos >= 0) & (nanos <= 999_999_999)
    seconds = np.where(valid, seconds, 0)
    return seconds * 1_000_000 + np.where(valid, nanos, 0) // 1_000, valid


def _is_no_time(messages: pa.StructArray) -> Mask:
    """Which Timestamp messages are well-formed and no time at which anything was sent."""
    seconds = np.asarray(pc.fill_null(messages.flatten()[0], 0))
    return (seconds >= MIN_SECONDS) & (seconds < EARLIEST_SECONDS)


def _is_large(numbers: pa.Array) -> Mask:
    """Which of the values, or lists of values, hold a number that no column has room for."""
    if pa.types.is_list(numbers.type):
        large = np.zeros(len(numbers), bool)
        large[np.asarray(pc.list_parent_indices(numbers))[_is_large(numbers.flatten())]] = True
        return large
    if not pa.types.is_uint64(numbers.type):
        return np.zeros(len(numbers), bool)
    return np.asarray(pc.fill_null(numbers, 0)) > LARGEST_NUMBER


def _times(timestamps: Rows) -> dict[str, pa.Array]:
    return {
        "timestamp": pa.array(timestamps).cast(MICROSECONDS),
        "date": _dates(timestamps),
    }


def _dates(timestamps: Rows) -> pa.Array:
    return pa.array((timestamps // 86_400_000_000).astype(np.int32)).cast(pa.date32())


def _subscription(leaves: _Leaves, metadata: tuple[str, ...]) -> pa.Array:
    identifier = (*metadata, "identifier", "subscription_identifier")
    wg2rn = leaves[*identifier, "wg2rn"]
    return pc.if_else(pc.equal(wg2rn, ""), leaves[*identifier, "value"], wg2rn)


def _quarantine(batch: pa.RecordBatch, response: Response, reasons: dict[int, str]) -> pa.Table:
    rows = sorted(reasons)
    if not rows:
        return QUARANTINE.empty_table()
    taken = batch.take(pa.array(rows, pa.int64()))
    payloads = taken.column("payload").to_pylist()
    known = {field.number for field in response.events.fields} | {0}
    envelopes = [read_envelope(payload, response.api) for payload in payloads]
    named = [
        "unknown_event"
        if reasons[row] == "no_event" and not known.issuperset(envelope.event_fields)
        else reasons[row]
        for row, envelope in zip(rows, envelopes, strict=True)
    ]
    times = pa.array([{"seconds": e.seconds, "nanos": e.nanos} for e in envelopes], _TIMES)
    timestamps, valid = _timestamps(times)
    seen = np.array([e.seconds is not None for e in envelopes])
    columns = {
        "received_at": taken.column("received_at"),
        "reason": pa.array(named, pa.string()),
        "error": pa.array([REASONS[reason] for reason in named], pa.string()),
        "api": pa.repeat(response.api, len(rows)),
        "method": pa.repeat(response.method, len(rows)),
        "sequence": pa.array([_fitting(e.sequence) for e in envelopes], pa.int64()),
        "timestamp": pa.array(timestamps, mask=~(seen & valid)).cast(MICROSECONDS),
        "payload": taken.column("payload"),
        # Arrow's own calendar would look for time zones, which a slim image does not have.
        "date": _dates(np.asarray(taken.column("received_at").cast(pa.int64()))),
    }
    return pa.table(columns).cast(QUARANTINE)


def _fitting(number: int | None) -> int | None:
    return number if number is not None and number <= LARGEST_NUMBER else None


_TIMES = pa.struct([("seconds", pa.int64()), ("nanos", pa.int32())])
