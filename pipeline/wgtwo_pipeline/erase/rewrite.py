"""One object without what an erasure takes from it, in place of itself, as one step for every reader.

What was taken stands in the object, so rows and account cannot disagree, and whoever comes second reads it there.
"""

import hashlib
import json
import logging
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wgtwo_pipeline.errors import ChangedError, CorruptError, NotFoundError
from wgtwo_pipeline.events.forget import Subjects, forget
from wgtwo_pipeline.lake import journal, parquet, retained
from wgtwo_pipeline.lake.erasures import FILE_METADATA
from wgtwo_pipeline.lake.holds import Item, from_copy, holds, rule
from wgtwo_pipeline.lake.receipts import RETAINED
from wgtwo_pipeline.lake.retained import Taken
from wgtwo_pipeline.lake.store import Store

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Planned:
    """An object that does, as it was when it was looked at."""

    key: str
    table: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Done:
    """What an object has lost to an erasure, and what it is now; a row of the schema `receipts.DONE`."""

    key: str
    table: str
    erased: int
    blanked: int
    rows: int
    bytes_before: int
    bytes: int
    sha256: str


@dataclass(frozen=True)
class New:
    """An object's new bytes; None where it says already what was taken, or there is nothing to take."""

    data: Any
    rows: int
    erased: int
    blanked: int


def look(store: Store, item: Item, subjects: Subjects) -> Planned | None:
    """An object as it is, if it holds something of these subjects; one that is gone, as copies go, holds nothing."""
    try:
        if holds(store, item, subjects):
            data = store.read(item.key)
            return Planned(item.key, item.table, len(data), hashlib.sha256(data).hexdigest())
    except NotFoundError:
        _gone(item.key, item.table)
    return None


def take(store: Store, item: Item, subjects: Subjects, erasure: int, bytes_before: int) -> Done | None:
    """Takes the subjects out of an object; idempotent, also with others at the same time. None: nothing was in it.

    Whoever has read an object that was replaced since reads it again, and finds what the other has done.
    """
    while True:
        try:
            data, tag = store.read_tagged(item.key)
        except NotFoundError:
            _gone(item.key, item.table)
            return None
        new = without(store, item, data, subjects, erasure)
        written = data if new.data is None else memoryview(new.data)
        if new.data is not None:
            try:
                store.replace(item.key, written, unchanged=tag)
            except ChangedError:
                continue
        if not new.erased and not new.blanked:
            return None
        return Done(
            key=item.key,
            table=item.table,
            erased=new.erased,
            blanked=new.blanked,
            rows=new.rows,
            bytes_before=bytes_before,
            bytes=written.nbytes,
            sha256=hashlib.sha256(written).hexdigest(),
        )


def without(store: Store, item: Item, data: memoryview, subjects: Subjects, erasure: int) -> New:
    """What an object becomes, and what it loses; or what it says this erasure took already. Changes nothing.

    Raises CorruptError naming the object where it is not what its name says.
    """
    if item.table == RETAINED:
        return _copy(store, item, data, subjects, erasure)
    try:
        old = pq.read_table(pa.BufferReader(data), partitioning=None)
        said = json.loads((old.schema.metadata or {}).get(FILE_METADATA.encode(), b"[]"))
    except (pa.ArrowInvalid, OSError, ValueError) as error:
        raise CorruptError(
            f"{item.key} is not readable as Parquet ({error}); restore it from a copy"
        ) from None
    for each in said:
        if each["erasure"] == erasure:
            return New(None, len(old), each["rows"], each["blanked"])
    left, erased, blanked = forget(old, rule(store, item), subjects)
    if not erased and not blanked:
        return New(None, len(old), 0, 0)
    account = [*said, {"erasure": erasure, "rows": erased, "blanked": blanked}]
    return New(parquet.reencode(data, left, {FILE_METADATA: json.dumps(account)}), len(left), erased, blanked)


def _copy(store: Store, item: Item, data: memoryview, subjects: Subjects, erasure: int) -> New:
    copy = journal.decode(item.key, data)
    account = retained.Account.from_note(copy.note)
    for each in account.erasures:
        if each.erasure == erasure:
            return New(None, len(copy.deliveries), sum(each.erased.values()), each.blanked)
    found = from_copy(store, item, copy, subjects)
    blanked = sum(found.blanked.values())
    if not found.erased and not blanked:
        return New(None, len(copy.deliveries), 0, 0)
    account = replace(account, erasures=(*account.erasures, Taken(erasure, found.erased, blanked)))
    new = retained.encode(replace(copy, deliveries=found.deliveries, note=account.to_note()))
    return New(new, len(found.deliveries), sum(found.erased.values()), blanked)


def _gone(key: str, table: str) -> None:
    if table != RETAINED:
        _LOG.error("%s is not there: `audit` says more; the erasure goes on without it", key)
