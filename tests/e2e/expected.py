"""What a lake must hold, worked out from the emitted events with plain protobuf and the rule of the tables.

Shares no code with the pipeline's decoding, on purpose.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from processes import Emitted, assert_audit_passes
from wgtwo.events.v0 import events_pb2 as v0

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
QUARANTINED = {"unset_oneof", "unknown_member", "invalid_utf8", "truncated"}
"""Malformations of the sandbox that leave nothing that could be a row."""


def row(event: Emitted) -> dict[str, Any]:
    """The event's row, but for `received_at`."""
    message = v0.Event.FromString(event.body)
    timestamp = EPOCH + timedelta(
        seconds=message.timestamp.seconds, microseconds=message.timestamp.nanos // 1000
    )
    owner = message.owner
    return {
        "timestamp": timestamp,
        "sequence": event.sequence,
        "service_id": message.service_id,
        "owner_phone_number": owner.phone_number.e164 if owner.HasField("phone_number") else None,
        "owner_sub": owner.sub if message.HasField("owner") else None,
        **dict(_columns(getattr(message, f"{event.type}_event"), "")),
        "date": timestamp.date(),
    }


def _columns(message: Message, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in message.DESCRIPTOR.fields:
        yield from _column(message, field, prefix + field.name)


def _column(parent: Message | None, field: FieldDescriptor, name: str) -> Iterator[tuple[str, Any]]:
    """`parent` is None inside a message that is not set."""
    absent = parent is None or (field.has_presence and not parent.HasField(field.name))
    value = None if absent or parent is None else getattr(parent, field.name)
    if field.message_type is None:
        yield name, value if value is None else _scalar(field, value)
    else:
        yield from _nested(field.message_type, value, name)


def _nested(descriptor: Descriptor, message: Message | None, name: str) -> Iterator[tuple[str, Any]]:
    alone = len(descriptor.fields) == 1
    for field in descriptor.fields:
        yield from _column(message, field, name if alone else f"{name}_{field.name}")


def _scalar(field: FieldDescriptor, value: Any) -> Any:
    if field.enum_type is not None:
        known = field.enum_type.values_by_number.get(value)
        return known.name if known else str(value)
    return list(value) if field.is_repeated else value


def assert_published(lake: Path, events: Iterable[Emitted]) -> None:
    """Each event is in its table exactly once with every column right, or in the quarantine with its bytes.

    And `audit` says so, too.
    """
    wanted: dict[str, dict[int, dict[str, Any]]] = {}
    spoiled: list[Emitted] = []
    for event in events:
        if event.malformed in QUARANTINED:
            spoiled.append(event)
        else:
            wanted.setdefault(event.type, {})[event.sequence] = row(event)
    found = tables(lake)
    assert set(found) - {"quarantine"} == set(wanted)
    for name, by_sequence in wanted.items():
        _assert_same(name, found[name], by_sequence)
    _assert_quarantined(found.get("quarantine"), spoiled)
    assert_audit_passes(lake, "--deep")


def _assert_same(name: str, table: pa.Table, wanted: dict[int, dict[str, Any]]) -> None:
    sequences = table["sequence"].to_pylist()
    counts = Counter(sequences)
    assert not [sequence for sequence, count in counts.items() if count > 1], f"{name}: published twice"
    assert not wanted.keys() - counts.keys(), f"{name}: lost {sorted(wanted.keys() - counts.keys())[:20]}"
    assert not counts.keys() - wanted.keys(), f"{name}: never emitted"
    for got in table.to_pylist():
        received_at = got.pop("received_at")
        assert got == wanted[got["sequence"]], name
        late = received_at - got["timestamp"]
        assert timedelta(seconds=-1) < late < timedelta(minutes=10), f"{name}: received {late} after its time"


def _assert_quarantined(table: pa.Table | None, wanted: list[Emitted]) -> None:
    rows = table.to_pylist() if table is not None else []
    assert len(rows) == len(wanted)
    left = [row["payload"] for row in rows]
    for event in wanted:
        # The delivery is the event's bytes behind an envelope of the server's.
        match = next((payload for payload in left if payload.endswith(event.body)), None)
        assert match is not None, (
            f"{event.type} {event.sequence} ({event.malformed}) is not in the quarantine"
        )
        left.remove(match)
    assert all(row["reason"] and row["error"] and row["api"] == "v0" for row in rows)


def tables(lake: Path) -> dict[str, pa.Table]:
    """All that plain readers see now, by table; the quarantine as one of them."""
    found: dict[str, list[Path]] = {}
    for path in sorted(lake.glob("tables/*/*/*.parquet")):
        found.setdefault(path.parts[-3], []).append(path)
    for path in sorted(lake.glob("quarantine/*/*.parquet")):
        found.setdefault("quarantine", []).append(path)
    return {
        name: pa.concat_tables(pq.ParquetFile(path).read() for path in paths) for name, paths in found.items()
    }


def assert_nothing_twice(lake: Path) -> int:
    """No event is in two rows that a plain reader sees; returns how many events there are."""
    total = 0
    for name, table in tables(lake).items():
        if name != "quarantine":
            identities = Counter(
                zip(table["sequence"].to_pylist(), table["timestamp"].to_pylist(), strict=True)
            )
            assert max(identities.values(), default=1) == 1, f"{name}: {identities.most_common(3)}"
            total += len(identities)
    return total
