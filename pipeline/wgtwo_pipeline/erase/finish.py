"""What an erasure did, kept for ever and naming nobody; and what it may have to leave to somebody else."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime

import pyarrow as pa

from wgtwo_pipeline.erase.candidates import of_tables, table_files
from wgtwo_pipeline.lake import erasures, history, receipts, retained, subjects
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.receipts import RETAINED, Receipt
from wgtwo_pipeline.lake.store import Store

_HAS = {
    "versioned": "versions",
    "object_lock": "Object Lock",
    "replicated": "replication",
    "deleted_segments": "old versions of segments",
}
"""What `Protections` are called in a receipt."""


def finish(store: Store, erasure: int, first_clean_epoch: int, objects: pa.Table) -> Receipt:
    """Deletes old versions of all that was planned, of the index and of retained copies; then creates the receipt.

    Returns the one that counts.
    Call it only when every object of the plan is rewritten. Idempotent.
    """
    asked, plan = erasures.request(store, erasure), erasures.plan(store, erasure)
    rewritten = plan.objects["key"].to_pylist()
    past = history.load(store)
    _follow(store, past, rewritten)
    files = [key for key in rewritten if not key.startswith(retained.ROOT)]
    notes = tuple(_notes(store, past, [*files, subjects.ROOT, retained.ROOT]))
    erased: Counter[str] = Counter()
    freed: Counter[str] = Counter()
    blanked = copies = 0
    for done in objects.to_pylist():
        if done["table"] == RETAINED:
            copies += 1
        else:
            erased[done["table"]] += done["erased"]
            freed[done["table"]] += done["bytes_before"] - done["bytes"]
            blanked += done["blanked"]
    receipt = Receipt(
        erasure=erasure,
        requested_at=asked.requested_at,
        finished_at=datetime.now(UTC),
        cause=asked.cause,
        through=asked.through,
        first_clean_epoch=first_clean_epoch,
        subjects=len(asked.subjects),
        everywhere=asked.everywhere,
        everyone=asked.everyone_until is not None,
        looked_at=plan.looked_at,
        erased={table: rows for table, rows in erased.items() if rows},
        blanked=blanked,
        freed_bytes=dict(freed),
        files=len(objects) - copies,
        copies=copies,
        complete=not notes,
        notes=notes,
        tenants=asked.tenants,
        answers=asked.answers,
    )
    return receipts.keep(store, receipt, objects)


def _follow(store: Store, past: History, rewritten: list[str]) -> None:
    """Brings the index of subjects up to the files that were rewritten."""
    touched = {item.epoch for item in of_tables(rewritten)}
    if touched:
        files = of_tables(table_files(store, past)["key"].to_pylist())
        mine = [item for item in files if item.epoch in touched]
        subjects.follow(store, mine, touched, erasures.key(store))


def _notes(store: Store, past: History, keys: list[str]) -> Iterator[str]:
    """What is left where this lake cannot reach it."""
    left = store.delete_versions(keys)
    if left:
        yield left
    protections = store.protections()
    if protections.object_lock:
        yield (
            "the bucket has Object Lock: versions that are locked keep what was erased until their lock ends, and "
            "no role can change that before"
        )
    if protections.replicated:
        yield (
            "the bucket is replicated: run `erase` for the copy as well, or let its lifecycle rule delete old "
            "versions there"
        )
    if protections.deleted_segments:
        yield (
            "the bucket keeps old versions of segments that were published and deleted: they hold what was erased "
            "until its lifecycle rule for noncurrent versions deletes them (infra/create_bucket.py sets one)"
        )
    if protections.unseen:
        yield (
            f"it could not be seen whether the bucket has {' or '.join(map(_HAS.__getitem__, protections.unseen))}: "
            "give this role infra/iam-erase.json"
        )
    if past.unreadable:
        yield (
            f"{len(past.unreadable):,} segments of the journal could not be read and were not looked into; when they "
            "are restored, they are published without what is erased"
        )
