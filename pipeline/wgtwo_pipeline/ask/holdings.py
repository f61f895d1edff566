"""What each table holds, added up from what manifests, checkpoint and receipts say of its files."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
import pyarrow.compute as pc

from wgtwo_pipeline.lake import checkpoint, receipts
from wgtwo_pipeline.lake.manifest import Manifest, TableCount


@dataclass(frozen=True)
class Holding:
    """What one table (or the quarantine) holds.

    `newest_at`: of its events; in the quarantine, of their arrival. It is of the files that hold no event of the
    future, so that one that a wrong clock has dated does not hide for ever that nothing comes: `future_until` is the
    newest of those, if there are any.
    """

    rows: int
    files: int
    bytes: int
    duplicates: int
    newest_at: datetime | None
    future_until: datetime | None = None
    erased: int = 0


def of_tables(
    older: pa.Table,
    manifests: Iterable[Manifest],
    counts: dict[str, TableCount],
    done: Iterable[receipts.Receipt],
    at: datetime,
) -> dict[str, Holding]:
    """By table, from the checkpoint's files, the manifests after it and all receipts. Opens none of them."""
    freed = sum((Counter(dict(receipt.freed_bytes)) for receipt in done), Counter[str]())
    recent = [
        {"table": file.table, "rows": file.rows, "bytes": file.bytes, "max_timestamp": file.max_timestamp}
        for manifest in manifests
        for file in manifest.files
    ]
    columns = ["table", "rows", "bytes", "max_timestamp"]
    schema = pa.schema([checkpoint.FILES.field(name) for name in columns])
    files = pa.concat_tables([older.select(columns), pa.Table.from_pylist(recent, schema)])
    is_future = pc.greater(files["max_timestamp"], pa.scalar(at, schema.field("max_timestamp").type))
    nothing = pa.scalar(None, schema.field("max_timestamp").type)
    files = files.append_column("past", pc.if_else(is_future, nothing, files["max_timestamp"]))
    files = files.append_column("future", pc.if_else(is_future, files["max_timestamp"], nothing))
    sums = files.group_by("table").aggregate(
        [("rows", "count"), ("bytes", "sum"), ("past", "max"), ("future", "max")]
    )
    return {
        each["table"]: Holding(
            rows=counts[each["table"]].published,
            files=each["rows_count"],
            bytes=each["bytes_sum"] - freed[each["table"]],
            duplicates=counts[each["table"]].duplicates,
            newest_at=each["past_max"],
            future_until=each["future_max"],
            erased=counts[each["table"]].erased,
        )
        for each in sorted(sums.to_pylist(), key=lambda each: str(each["table"]))
    }
