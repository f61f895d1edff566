"""What erasures have changed, so that nothing else may differ from its manifest; and whether all are obeyed."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wgtwo_pipeline.audit.findings import Findings
from wgtwo_pipeline.audit.lists import in_threads
from wgtwo_pipeline.errors import CorruptError, NotFoundError
from wgtwo_pipeline.events import api, wire
from wgtwo_pipeline.lake import erasures, history, receipts
from wgtwo_pipeline.lake.checkpoint import FILES
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.holds import Item, holds
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.manifest import Parameters, Sealed, SegmentRef, iso, sealed_key
from wgtwo_pipeline.lake.receipts import Receipt
from wgtwo_pipeline.lake.store import Store

REVOKED_UNREAD = timedelta(days=1)
"""After so long somebody should have looked for revocations: `run` does so once a day."""


@dataclass
class Changed:
    """What erasures have done to objects: by key what each took, and what the object is since the last one."""

    receipts: list[Receipt] = field(default_factory=list)
    now: dict[str, dict[str, Any]] = field(default_factory=dict)
    taken: dict[str, dict[int, int]] = field(default_factory=dict)
    published_bytes: dict[str, int] = field(default_factory=dict)
    """How large each was before the first of them."""
    planned: set[str] = field(default_factory=set)
    """What the open erasure is rewriting."""
    open: int | None = None

    @classmethod
    def read(cls, store: Store, findings: Findings) -> "Changed":
        """Reads receipts, and the plan of what is open."""
        found, changed = erasures.listing(store), cls()
        for number in sorted(found.receipts):
            try:
                changed.receipts.append(receipts.read(store, number))
                for row in receipts.objects(store, number).to_pylist():
                    changed.now[row["key"]] = row
                    changed.published_bytes.setdefault(row["key"], row["bytes_before"])
                    changed.taken.setdefault(row["key"], {})[number] = row["erased"]
            except (CorruptError, pa.ArrowInvalid) as error:
                findings.add("unreadable", receipts.receipt_key(number), str(error))
        changed.open = found.open
        if found.open in found.plans:
            with_plan = found.open or 0
            changed.planned = {*erasures.plan(store, with_plan).objects["key"].to_pylist()}
        return changed

    def is_changing(self, store: Store, key: str) -> bool:
        """Whether an erasure may be rewriting the object, or has done so since this was read."""
        if key in self.planned:
            return True
        newer = Changed.read(store, Findings())
        if key in newer.planned or newer.taken.get(key) != self.taken.get(key):
            self.planned.add(key)
        return key in self.planned

    def goes_on(self, store: Store) -> bool:
        """Whether an erasure is rewriting objects, or has done so since this was read."""
        newer = Changed.read(store, Findings())
        return bool(newer.planned) or len(newer.receipts) > len(self.receipts)

    def files(self, files: pa.Table) -> pa.Table:
        """The files as they should be now."""
        changed = [self.now.get(key) for key in files["key"].to_pylist()]
        if not any(changed):
            return files
        for name in ("rows", "bytes", "sha256"):
            new = pa.array([each[name] if each else None for each in changed], FILES.field(name).type)
            column = pc.coalesce(new, files[name].combine_chunks())
            files = files.set_column(files.schema.get_field_index(name), FILES.field(name), column)
        return files

    def copies(self, copies: Iterable[SegmentRef]) -> tuple[SegmentRef, ...]:
        """The retained copies as they should be now."""
        return tuple(
            replace(copy, rows=self.now[copy.key]["rows"], bytes=self.now[copy.key]["bytes"])
            if copy.key in self.now
            else copy
            for copy in copies
        )


def check(
    store: Store, findings: Findings, changed: Changed, past: History, within: timedelta, now: datetime
) -> None:
    """Receipts have no gap in their numbers, and none waits for too long; what somebody must look at is a warning."""
    numbers = [receipt.erasure for receipt in changed.receipts]
    findings.expect(
        numbers == list(range(1, len(numbers) + 1)),
        "missing_receipt",
        receipts.ROOT,
        "the numbers of receipts have a gap; restore them from a version or copy of the bucket",
    )
    findings.proved["erasures"] = len(numbers)
    if changed.receipts:
        with contextlib.suppress(CorruptError, NotFoundError):  # seals: that has been said
            _check_journal(store, findings, past)
    waiting: list[Receipt | erasures.Request] = [*changed.receipts]
    read_through = changed.receipts[-1].through if changed.receipts else 0
    if changed.open is not None:
        try:
            asked = erasures.request(store, changed.open)
        except (CorruptError, NotFoundError) as error:
            findings.add("unreadable", erasures.request_key(changed.open), str(error))
            return
        waiting.append(asked)
        read_through = asked.through
        findings.expect(
            now - asked.requested_at <= within,
            "overdue_erasure",
            erasures.request_key(changed.open),
            f"was requested at {iso(asked.requested_at)} and is not finished; run `erase`",
        )
    for tenant in receipts.unanswered(waiting):
        findings.warn(
            f"tenant {tenant.tenant} revoked its consent for all its subscribers at {iso(tenant.revoked_at)}, and no "
            f"event says who they are: answer with `erase --tenant {tenant.tenant} --numbers FILE` or `--all`"
        )
    unread = history.revocations(past, read_through)
    if unread and past.manifests[0].committed_at < now - REVOKED_UNREAD:
        findings.warn(
            f"{unread:,} revocations are older than a day and not yet obeyed: run `erase`, or `run` with "
            "--erase-every 24h"
        )


def _check_journal(store: Store, findings: Findings, past: History) -> None:
    for info in history.too_old(store, past):
        findings.add(
            "too_old",
            info.key,
            "is from before an erasure that is no longer in force, so it is not published: it would bring back what "
            "was erased. Delete it",
        )


def check_quarantine(store: Store, findings: Findings, files: pa.Table) -> None:
    """Warns of quarantined deliveries that may be revocations."""

    def look(key: str) -> tuple[str, int]:
        try:
            with store.open(key) as source:
                rows = pq.read_table(source, columns=["api", "method", "payload"], partitioning=None)
        except (NotFoundError, pa.ArrowInvalid, OSError):
            return key, 0  # said elsewhere
        return key, sum(map(_may_be_consent, *(rows[name].to_pylist() for name in rows.column_names)))

    keys = files.filter(pc.equal(files["table"], QUARANTINE))["key"].to_pylist()
    for key, count in in_threads(look, keys):
        if count:
            findings.warn(
                f"{key}: {count:,} quarantined deliveries may be revocations: look at them, and `erase` by hand whom "
                "they name"
            )


def check_forgotten(
    store: Store, findings: Findings, past: History, files: pa.Table, copies: Iterable[SegmentRef]
) -> None:
    """Nothing of what finished erasures in force name is in any object of a committed epoch."""
    try:
        last = _last(store, past)
        finished = tuple(number for number in last.erasures if number in erasures.listing(store).receipts)
        subjects = erasures.subjects(store, finished)
    except (CorruptError, NotFoundError):
        return  # no longer in force by now; or it has been said
    if not subjects:
        return

    def look(item: Item) -> tuple[Item, bool]:
        try:
            return item, holds(store, item, subjects)
        except (NotFoundError, CorruptError):
            return item, False  # expired since, or said elsewhere

    keys = [*files["key"].to_pylist(), *(copy.key for copy in copies)]
    items = (item for item in map(Item.of, keys) if item)
    for item, still in in_threads(look, items, at_once=4):
        findings.expect(not still, "not_erased", item.key, "holds something of somebody who is erased")
        findings.proved["objects_without_the_erased"] += int(not still)


def _last(store: Store, past: History) -> Parameters:
    if not past.committed:
        return Parameters("")
    key = sealed_key(past.committed)
    return Sealed.from_bytes(key, store.read(key)).parameters


_CONSENT_METHODS = {
    (method.api, method.name) for method in api.V1 if set(method.tables) & set(api.CONSENT_TABLES.values())
}


def _may_be_consent(api_version: str, method: str, payload: bytes) -> bool:
    if api_version == "v0":
        return api.V0_CONSENT_FIELD in wire.read_envelope(payload, "v0").event_fields
    return (api_version, method) in _CONSENT_METHODS
