"""What an erasure means for the catalog: files that it replaced, and parts of closed days with rows of such files.

A part cannot be replaced under its name, for the name says what it stands for: it is dissolved into its plain files,
which the erasure has rewritten, and deleted at once. `register --compact` makes a new one, with another name.
"""

from collections import defaultdict
from collections.abc import Iterable
from datetime import date

from pyiceberg.manifest import DataFile
from pyiceberg.table import Table

from wgtwo_pipeline.errors import CorruptError
from wgtwo_pipeline.lake import iceberg
from wgtwo_pipeline.lake.compacted import PartPath, stand_for
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.register import log, tables
from wgtwo_pipeline.register.catalogs import Target
from wgtwo_pipeline.register.store_io import StoreIO


def replaced(
    store: Store, table: Table, past: History, name: str, keys: Iterable[str]
) -> tuple[list[DataFile], list[str]]:
    """The entries that show these files as they were, and the files to show in their place as they are now."""
    hidden, locations = set(keys), StoreIO(store)
    if not hidden:
        return [], []
    entries = {locations.key(file.file_path): file for file in tables.entries(table)}
    gone = {key for key in hidden if key in entries}
    again, hidden = set(hidden), hidden - gone
    by_day = defaultdict[date, list[str]](list)
    for key in entries:
        by_day[log.day_of(key)].append(key)
    epoch, _ = iceberg.through(table.properties)
    for day in sorted({log.day_of(key) for key in hidden}):
        parts = stand_for(by_day[day], log.day_files(store, past, name, day, epoch))
        if parts is None:
            raise CorruptError(
                f"{iceberg.table_key(name)}: what it shows of {day} is not what the manifests say; "
                f"delete {iceberg.ROOT} and register again"
            )
        for key, part in parts.items():
            if hidden & set(part.keys):
                gone.add(key)
                again.update(part.keys)
    return [entries[key] for key in sorted(gone)], sorted(again)


def sweep(store: Store, target: Target, name: str, erasure: int) -> None:
    """Deletes parts that nobody is shown any more and that may hold what has been erased since they were made.

    Also what a compactor puts that was slow: whoever read the table before the erasure cannot commit after it.
    """
    table = target.load(name) if erasure and target.is_lake else None
    parts = (
        {info.key: PartPath.parse(info.key) for info in iceberg.objects(store, name, "data")} if table else {}
    )
    if table is None or not parts:
        return
    _, followed = iceberg.through(table.properties)
    locations = StoreIO(store)
    shown = {locations.key(file.file_path) for file in tables.entries(table)}
    old = {key: path for key, path in parts.items() if path and path.erasure < followed and key not in shown}
    if old:
        since = min(path.erasure for path in old.values())
        touched: dict[date, int] = {}
        for key, number in log.replaced(store, since, followed).items():
            if key.startswith(f"tables/{name}/"):
                touched[log.day_of(key)] = max(number, touched.get(log.day_of(key), 0))
        store.delete([key for key, path in old.items() if touched.get(path.day, 0) > path.erasure])
