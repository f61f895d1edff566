"""how far a table is ─► the log after it ─► one transaction ─► from the start, until nothing is new.

A table's state is a function of the manifests up to one epoch and the receipts up to one erasure, and the table
says which: both numbers are set in the transaction that shows their files. So a registrar may be killed at any
instruction, and any number of them may work at once: whoever comes second finds the table changed and reads anew.
"""

import io
import logging
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow.parquet as pq
from pyiceberg.manifest import DataFile
from pyiceberg.table import Table, Transaction
from pyiceberg.table.update import AssertRefSnapshotId

from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake import history, iceberg
from wgtwo_pipeline.lake.iceberg import location
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.open import open_to_read
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.metrics.outcomes import left_in
from wgtwo_pipeline.register import compact, dissolve, log, tables
from wgtwo_pipeline.register.catalogs import Target, open_target, telling
from wgtwo_pipeline.register.expire import expire
from wgtwo_pipeline.register.settings import Registering

_LOG = logging.getLogger(__name__)

FILES_PER_COMMIT = 2_000
"""Bounds memory: footers are held until the commit."""
_READ_AT_ONCE = 16


@dataclass(frozen=True)
class Registered:
    """What one call has done: how far the tables are now, and how many files it has shown, or shown anew."""

    epoch: int
    erasure: int
    tables: int
    files: int


def register(registering: Registering) -> int:
    """Brings every table up to the log; prints what was done. Blocks. Raises LakeError or CatalogError."""
    with left_in(registering.metrics_file, "register") as outcomes:
        store = open_to_read(registering.lake)
        store.check()
        target, past = open_target(registering.catalog, store), history.load(store)
        done = bring_up(store, target, past)
        outcomes.did()
        _LOG.info(
            "registered %d files; %d tables show the epochs up to %d", done.files, done.tables, done.epoch
        )
        if registering.compact:
            days = sum(compact.compact(store, target, past, name, datetime.now(UTC)) for name in _names(past))
            _LOG.info("compacted %d days of tables", days)
    return 0


class Registrar:
    """Brings the tables up again and again; looks at them only when something was committed, or erased, since."""

    def __init__(self, store: Store, catalog: str) -> None:
        self._store, self._catalog = store, catalog
        self._past: history.History | None = None
        self._done: Registered | None = None

    def bring_up(self) -> Registered:
        """What the tables show now. Raises LakeError or CatalogError; the next call tries again."""
        self._past = history.load(self._store, self._past)
        now = (self._past.committed, log.newest_erasure(self._store))
        if self._done is None or (self._done.epoch, self._done.erasure) != now:
            self._done = bring_up(self._store, open_target(self._catalog, self._store), self._past)
        return self._done


def bring_up(store: Store, target: Target, past: history.History) -> Registered:
    """Shows in every table what is committed by now. Idempotent; any number may do it at once."""
    with telling(target.name):
        names = _names(past)
        found = {name: target.load(name) for name in names}
        shown = [_through(table) for table in found.values()]
        after = min((epoch for epoch, _ in shown), default=past.committed)
        entries = log.read(store, past, after, min((erasure for _, erasure in shown), default=0))
        files = sum(_bring_up_table(store, target, past, name, entries) for name in names)
        for name in names:
            dissolve.sweep(store, target, name, entries.erasure)
            expire(store, target, name, datetime.now(UTC))
        return Registered(past.committed, entries.erasure, len(names), files)


def _names(past: history.History) -> list[str]:
    """The tables that have files."""
    counts = past.totals.tables.items()
    return sorted(name for name, count in counts if count.published and name != QUARANTINE)


def _bring_up_table(store: Store, target: Target, past: history.History, name: str, entries: log.Log) -> int:
    files = 0
    for _ in range(tables.ATTEMPTS):
        table = target.load(name)
        step = plan(entries, name, _through(table))
        if step is None:
            return files
        try:
            if table is None:
                table = target.create(name, tables.columns([_footer(store, step.new[0])[1]]))
                step = plan(entries, name, _through(table))
            if step:
                files += _commit(store, table, past, name, step)
        except tables.OVERTAKEN as error:
            _LOG.info("%s: %s; reading it again", name, error)
    raise LakeError(f"table {name} is changed by others again and again: register with fewer at once")


@dataclass(frozen=True)
class Step:
    """What one transaction does: shows `new` files, shows those anew that were `replaced`, and says how far it is."""

    after: int
    epoch: int
    erasure: int
    new: tuple[str, ...]
    replaced: tuple[str, ...]


def plan(entries: log.Log, name: str, through: tuple[int, int]) -> Step | None:
    """The next step of a table that is so far; None where it is as far as the log. A pure function."""
    epoch, erasure = through
    if epoch >= entries.epoch and erasure >= entries.erasure:
        return None
    coming = [file for file in entries.files.get(name, ()) if file.epoch > epoch]
    last = entries.epoch
    if len(coming) > FILES_PER_COMMIT:  # whole epochs only, at least one
        last = max(coming[FILES_PER_COMMIT].epoch - 1, coming[0].epoch)
    return Step(
        after=epoch,
        epoch=max(epoch, last),
        erasure=max(erasure, entries.erasure),
        new=tuple(file.key for file in coming if file.epoch <= last),
        replaced=tuple(entries.replaced_of(name, epoch, erasure)),
    )


def _commit(store: Store, table: Table, past: history.History, name: str, step: Step) -> int:
    """One transaction, or nothing. What an erasure replaced is described anew, each file as it is now."""
    gone, again = dissolve.replaced(store, table, past, name, step.replaced)
    footers = dict(_footers(store, [*step.new, *again]))
    with table.transaction() as transaction:
        columns = tables.columns((footer for _, footer in footers.values()), table.schema().column_names)
        if columns.names:
            with transaction.update_schema() as update:
                update.union_by_name(columns)
        describer = tables.Describer(transaction.table_metadata)
        added = [
            describer.describe(location(store, key), log.day_of(key), size, footer)
            for key, (size, footer) in footers.items()
        ]
        _show(transaction, step, gone, added)
        _say(transaction, table, step)
    return len(added)


def _show(transaction: Transaction, step: Step, gone: Sequence[DataFile], added: Sequence[DataFile]) -> None:
    if not gone and not added:
        return
    update = transaction.update_snapshot(
        snapshot_properties={"wgtwo.epochs": f"{step.after + 1}-{step.epoch}"}
    )
    with update.overwrite() if gone else update.merge_append() as snapshot:
        for file in gone:
            snapshot.delete_data_file(file)
        for file in added:
            snapshot.append_data_file(file)


def _say(transaction: Transaction, table: Table, step: Step) -> None:
    """Sets how far the table is; on condition that its snapshot is the one read, also where it gets no new one.

    Else, in a catalog that checks nothing of a change of properties alone, a slow registrar could set the number
    back behind another's, and the files between be shown twice.
    """
    properties = {iceberg.REGISTERED_THROUGH: str(step.epoch), iceberg.ERASED_THROUGH: str(step.erasure)}
    read = table.current_snapshot()
    unchanged = AssertRefSnapshotId(
        ref="main",
        snapshot_id=read.snapshot_id if read else None,  # type: ignore[call-arg]  # its alias has a "-"
    )
    transaction._requirements += (unchanged,)
    transaction.set_properties(properties)


def _through(table: Table | None) -> tuple[int, int]:
    return iceberg.through(table.properties) if table else (0, 0)


def _footers(store: Store, keys: Sequence[str]) -> Iterator[tuple[str, tuple[int, pq.FileMetaData]]]:
    with ThreadPoolExecutor(_READ_AT_ONCE) as threads:
        yield from zip(keys, threads.map(lambda key: _footer(store, key), keys), strict=True)


def _footer(store: Store, key: str) -> tuple[int, pq.FileMetaData]:
    """A file's size in bytes, and what it says of itself."""
    with store.open(key) as file:
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        return size, pq.read_metadata(file)
