"""Once a day: snapshots that nobody has been shown for a day go, and with them the metadata that nothing refers to.

Old snapshots make each commit dearer (`metadata.json` holds them all). A reader that began less than a day ago
finds all it needs: a snapshot is kept until a day after the next one took its place.
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from pyiceberg.table import Table
from pyiceberg.table.snapshots import Snapshot
from pyiceberg.table.update.snapshot import ExpireSnapshots

from wgtwo_pipeline.lake import iceberg
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.register import tables
from wgtwo_pipeline.register.catalogs import Target
from wgtwo_pipeline.register.lake_catalog import version_of
from wgtwo_pipeline.register.store_io import StoreIO

_LOG = logging.getLogger(__name__)

KEPT = timedelta(days=1)
EXPIRED_AT = "wgtwo.expired-at"
"""The table property that says when this was last done."""


def expire(store: Store, target: Target, name: str, now: datetime) -> bool:
    """Expires what is old in one table, at most once a day; returns whether it did. Others may register meanwhile."""
    table = target.load(name)
    if table is None or now - _last(table) < KEPT:
        return False
    old = list(_superseded(table, now - KEPT))
    files = set(_files(table, old)) - set(
        _files(table, [each for each in table.snapshots() if each not in old])
    )
    try:
        # Before anything is deleted: from here on, whoever has read an older version cannot commit any more, so that
        # nobody comes to refer to what goes now.
        with table.transaction() as transaction:
            transaction.set_properties({EXPIRED_AT: now.isoformat()})
            if old:
                ExpireSnapshots(transaction).by_ids([each.snapshot_id for each in old]).commit()
    except tables.OVERTAKEN as error:
        _LOG.info("%s: %s; expiring next time", name, error)
        return False
    if target.is_lake:
        store.delete(list(_unreferred(store, target, name, now - KEPT)))
    else:
        for file in files:
            table.io.delete(file)
    return True


def _superseded(table: Table, before: datetime) -> Iterator[Snapshot]:
    """The snapshots in whose place another had come by then."""
    current = table.current_snapshot()
    for snapshot, following in pairwise(
        sorted(table.snapshots(), key=lambda each: each.sequence_number or 0)
    ):
        if _time(following.timestamp_ms) < before and snapshot != current:
            yield snapshot


def _files(table: Table, snapshots: Iterable[Snapshot]) -> Iterator[str]:
    """The metadata that these snapshots consist of."""
    for snapshot in snapshots:
        yield snapshot.manifest_list
        for manifest in snapshot.manifests(table.io):
            yield manifest.manifest_path


def _unreferred(store: Store, target: Target, name: str, before: datetime) -> Iterator[str]:
    """The keys of what nothing refers to any more, and did not yesterday."""
    table = target.load(name)
    assert table is not None, "the newest version is never deleted"
    # Whoever committed may have been killed before: readers must not be left with a version that goes.
    iceberg.point(store, name, version_of(table))
    locations = StoreIO(store)
    kept = {iceberg.hint_key(name), locations.key(table.metadata_location)}
    kept.update(locations.key(file) for file in _files(table, table.snapshots()))
    for info in iceberg.objects(store, name, "metadata"):
        if info.modified < before and info.key not in kept:
            yield info.key
    parts = [info for info in iceberg.objects(store, name, "data") if info.modified < before]
    shown = {locations.key(file) for file in tables.ever_shown(table)} if parts else set()
    yield from (info.key for info in parts if info.key not in shown)


def _last(table: Table) -> datetime:
    """When this was last done; else when the oldest snapshot came, or that of a table without any."""
    said = table.properties.get(EXPIRED_AT)
    if said:
        return datetime.fromisoformat(said)
    oldest = min(
        (snapshot.timestamp_ms for snapshot in table.snapshots()), default=table.metadata.last_updated_ms
    )
    return _time(oldest)


def _time(milliseconds: int) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC)
