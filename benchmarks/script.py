"""A bare script of ptars, sort and pyarrow: what publish is compared with.

Reads the segments of a lake, decodes, flattens, sorts each type by time and writes one Parquet file each. It checks,
deduplicates, quarantines and accounts for nothing, and holds everything in memory.
"""

import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

import ptars
import pyarrow as pa
import pyarrow.parquet as pq
from wgtwo.events.v0 import events_pb2

GROUP_SEGMENTS = 200


def flatten(name: str, column: pa.Array) -> dict[str, pa.Array]:
    if not pa.types.is_struct(column.type):
        return {name: column}
    found: dict[str, pa.Array] = {}
    for field, child in zip(column.type, column.flatten(), strict=True):
        found.update(flatten(f"{name}_{field.name}", child))
    return found


def main(lake: Path, out: Path) -> None:
    pool = ptars.HandlerPool([events_pb2.DESCRIPTOR], ptars.PtarsConfig(timestamp_unit="us"))
    handler = pool.get_for_message(events_pb2.SubscribeEventsResponse.DESCRIPTOR)
    members = [field.name for field in events_pb2.Event.DESCRIPTOR.oneofs_by_name["event"].fields]
    tables: dict[str, list[Any]] = defaultdict(list)
    paths = sorted((lake / "journal").rglob("*.arrow"))
    for first in range(0, len(paths), GROUP_SEGMENTS):
        payloads = []
        for path in paths[first : first + GROUP_SEGMENTS]:
            with pa.ipc.open_stream(path.read_bytes()[:-40]) as stream:
                payloads.append(stream.read_next_batch().column("payload"))
        batch = handler.array_to_record_batch(pa.concat_arrays(payloads))
        event = dict(zip(event_fields(batch), batch.column("event").flatten(), strict=True))
        for member in members:
            there = event[member].is_valid()
            columns = {"timestamp": event["timestamp"]}
            for name in ("metadata", "service_id", "owner"):
                columns |= flatten(name, event[name])
            columns |= flatten("", event[member])
            tables[member].append(pa.table(columns).filter(there))
    for member, parts in tables.items():
        table = pa.concat_tables(parts).sort_by("timestamp")
        path = out / member / "part.parquet"
        path.parent.mkdir(parents=True)
        pq.write_table(table, path, compression="zstd")


def event_fields(batch: pa.RecordBatch) -> list[str]:
    return [field.name for field in batch.schema.field("event").type]


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
