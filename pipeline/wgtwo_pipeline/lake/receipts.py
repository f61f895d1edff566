"""Receipts: what each erasure did. They stay for ever, and say of nobody who."""

import contextlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from wgtwo_pipeline.errors import AlreadyExistsError, CorruptError
from wgtwo_pipeline.lake.checkpoint import Totals
from wgtwo_pipeline.lake.manifest import TableCount, iso
from wgtwo_pipeline.lake.store import Store

ROOT = "erasures/"
FORMAT = 1
DONE = pa.schema(
    {
        "key": pa.string(),
        "table": pa.string(),
        "erased": pa.int64(),
        "blanked": pa.int64(),
        "rows": pa.int64(),
        "bytes_before": pa.int64(),
        "bytes": pa.int64(),
        "sha256": pa.string(),
    }
)
"""What a receipt says of each object that was replaced: what it lost, and what it is now. `table` of a retained copy
is `retained`."""
RETAINED = "retained"

_RECEIPT = b"wgtwo.receipt"


def receipt_key(erasure: int) -> str:
    """Where the receipt is; with it, the erasure is finished."""
    return f"{ROOT}{erasure:010d}/receipt.parquet"


@dataclass(frozen=True)
class Tenant:
    """An operator's revocation for all its subscribers; no event says whose it is, so its operator must."""

    tenant: str
    revoked_at: datetime


@dataclass(frozen=True)
class Receipt:
    """What an erasure did, without saying to whom. `erased` by table, the quarantine's as `quarantine`."""

    erasure: int
    requested_at: datetime
    finished_at: datetime
    cause: str
    through: int
    first_clean_epoch: int
    """Its seal was the first to list the erasure: earlier epochs' objects were looked at."""
    subjects: int
    everywhere: bool
    everyone: bool
    looked_at: int
    erased: Mapping[str, int]
    blanked: int
    freed_bytes: Mapping[str, int]
    """By how much the files of each table are smaller (less than 0: larger)."""
    files: int
    copies: int
    complete: bool
    """Whether nothing is left in old versions, locks or copies of the bucket that this lake knows of."""
    notes: tuple[str, ...] = ()
    """What is left, and who has to see to it."""
    tenants: tuple[Tenant, ...] = ()
    answers: str | None = None

    @property
    def rows(self) -> int:
        """How many rows it erased, of tables and quarantine."""
        return sum(self.erased.values())

    def to_json(self) -> dict[str, Any]:
        """As it stands in the receipt's metadata, and as `erase --json` prints it."""
        return {
            **asdict(self),
            "requested_at": iso(self.requested_at),
            "finished_at": iso(self.finished_at),
            "erased": dict(sorted(self.erased.items())),
            "freed_bytes": dict(sorted(self.freed_bytes.items())),
            "tenants": tenants_to_json(self.tenants),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(
            **{
                **raw,
                "requested_at": datetime.fromisoformat(raw["requested_at"]),
                "finished_at": datetime.fromisoformat(raw["finished_at"]),
                "notes": tuple(raw["notes"]),
                "tenants": tenants_from_json(raw["tenants"]),
            }
        )


def read(store: Store, erasure: int) -> Receipt:
    """The receipt of this number, without its objects; raises NotFoundError or CorruptError."""
    with store.open(receipt_key(erasure)) as source:
        return _receipt(receipt_key(erasure), pq.read_schema(source))


def read_all(store: Store, known: Mapping[int, Receipt] | None = None) -> list[Receipt]:
    """All receipts, in order of their numbers; those that are `known` are not read again, since none ever changes."""
    names = (info.key for info in store.list(ROOT) if info.key.endswith("/receipt.parquet"))
    numbers = sorted(int(name.split("/")[1]) for name in names)
    return [(known or {}).get(number) or read(store, number) for number in numbers]


def objects(store: Store, erasure: int) -> pa.Table:
    """What a finished erasure did to each object, in the schema DONE."""
    with store.open(receipt_key(erasure)) as source:
        return pq.read_table(source).replace_schema_metadata(None).cast(DONE)


def keep(store: Store, found: Receipt, done: pa.Table) -> Receipt:
    """Creates the receipt; returns the one that counts."""
    metadata = {_RECEIPT: json.dumps({"format": FORMAT, **found.to_json()})}
    with contextlib.suppress(AlreadyExistsError):
        store.create(receipt_key(found.erasure), to_parquet(done.replace_schema_metadata(metadata)))
    return read(store, found.erasure)


def moved(totals: Totals, found: Iterable[Receipt]) -> Totals:
    """The totals with what receipts took out of tables and quarantine counted as erased."""
    tables = dict(totals.tables)
    published, quarantined, erased = totals.published, totals.quarantined, totals.erased
    for each in found:
        for table, rows in each.erased.items():
            count = tables.get(table, TableCount())
            tables[table] = replace(count, published=count.published - rows, erased=count.erased + rows)
            erased += rows
            if table == "quarantine":
                quarantined -= rows
            else:
                published -= rows
    return replace(totals, tables=tables, published=published, quarantined=quarantined, erased=erased)


def unanswered(found: Iterable[Receipt | Any]) -> tuple[Tenant, ...]:
    """Tenants' revocations that no later erasure answers, each tenant's latest."""
    waiting: dict[str, Tenant] = {}
    for each in sorted(found, key=lambda each: each.erasure):
        if each.answers:
            waiting.pop(each.answers, None)
        for tenant in each.tenants:
            known = waiting.get(tenant.tenant, tenant)
            waiting[tenant.tenant] = max(known, tenant, key=lambda one: one.revoked_at)
    return tuple(sorted(waiting.values(), key=lambda one: one.tenant))


def _receipt(key: str, schema: pa.Schema) -> Receipt:
    try:
        raw = json.loads(schema.metadata[_RECEIPT])
        check_format(key, raw.pop("format"))
        return Receipt.from_json(raw)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CorruptError(
            f"{key} is no receipt that can be read ({error!r}); restore it from a copy"
        ) from None


def tenants_to_json(tenants: Iterable[Tenant]) -> list[dict[str, str]]:
    """As they stand in requests and receipts."""
    return [{"tenant": each.tenant, "revoked_at": iso(each.revoked_at)} for each in tenants]


def tenants_from_json(raw: Iterable[dict[str, str]]) -> tuple[Tenant, ...]:
    """Reads what `tenants_to_json` wrote."""
    return tuple(Tenant(each["tenant"], datetime.fromisoformat(each["revoked_at"])) for each in raw)


def check_format(key: str, version: int) -> None:
    """Raises CorruptError naming the object where a newer version wrote it."""
    if version != FORMAT:
        raise CorruptError(f"{key} is of format {version}, this version reads {FORMAT}; use a newer version")


def to_parquet(rows: pa.Table) -> pa.Buffer:
    """The bytes of a plan or a receipt."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()
