"""The epochs' log as a catalog follows it: which files the epochs published, which ones erasures replaced."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date

from wgtwo_pipeline.errors import CorruptError
from wgtwo_pipeline.lake import erasures, layout, receipts
from wgtwo_pipeline.lake.compacted import PartPath
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.layout import QUARANTINE, FilePath
from wgtwo_pipeline.lake.store import Store


@dataclass(frozen=True, order=True)
class Published:
    """A file of a table, and the epoch that published it; in the log's order."""

    epoch: int
    key: str
    day: date


@dataclass(frozen=True)
class Log:
    """What the log says up to one moment. `files`: by table, of the epochs after `after`, in the log's order."""

    epoch: int
    erasure: int
    after: int
    files: dict[str, list[Published]] = field(default_factory=dict)
    replaced: dict[str, int] = field(default_factory=dict)
    """The files that erasures have replaced, by key: the last one that did. Of the erasures after `erased_after`."""

    def replaced_of(self, table: str, through: int, erased: int) -> list[str]:
        """The files of a table, of the epochs up to `through`, that erasures after `erased` have replaced."""
        return sorted(
            key
            for key, erasure in self.replaced.items()
            if erasure > erased and key.startswith(layout.folder(table)) and epoch_of(key) <= through
        )


def read(store: Store, past: History, after: int = 0, erased_after: int = 0) -> Log:
    """The log up to `past` and the last receipt; without the epochs and erasures up to those. Raises LakeError."""
    last = newest_erasure(store)
    log = Log(past.committed, last, after, replaced=replaced(store, erased_after, last))
    for key, table, day in _files(store, past, after):
        if table != QUARANTINE and epoch_of(key) > after:
            log.files.setdefault(table, []).append(Published(epoch_of(key), key, day))
    for files in log.files.values():
        files.sort()
    return log


def newest_erasure(store: Store) -> int:
    """The last erasure that has its receipt, and with it all before it; 0 before the first."""
    return max(erasures.listing(store).receipts, default=0)


def replaced(store: Store, after: int, through: int) -> dict[str, int]:
    """The files of tables that these erasures have replaced, by key: the last one that did."""
    return {
        key: erasure
        for erasure in range(after + 1, through + 1)
        for key in receipts.objects(store, erasure)["key"].to_pylist()
        if key.startswith(layout.TABLES)
    }


def day_files(store: Store, past: History, table: str, day: date, through: int) -> list[tuple[str, int]]:
    """Key and bytes (as published) of a day's files of the epochs up to `through`, in the log's order."""
    files = [(epoch_of(file.key), file.key, file.bytes) for file in past.files(store, table, day)]
    return [(key, size) for epoch, key, size in sorted(files) if epoch <= through]


def day_of(key: str) -> date:
    """The day that a file or a part belongs to."""
    path = FilePath.parse(key) or PartPath.parse(key)
    if path is None:
        raise CorruptError(
            f"the catalog shows {key}, which is no file of this lake: delete iceberg/ and register again"
        )
    return path.day


def epoch_of(key: str) -> int:
    """The epoch that published this file of a table."""
    path = FilePath.parse(key)
    if path is None:
        raise CorruptError(f"{key} is no table's file, although a manifest names it; restore that manifest")
    return path.epoch


def _files(store: Store, past: History, after: int) -> Iterator[tuple[str, str, date]]:
    if past.base.epoch > after:
        older = past.base.read(store).select(["key", "table", "date"])
        for batch in older.to_batches():
            for row in batch.to_pylist():
                yield row["key"], row["table"], row["date"]
    for manifest in past.manifests:
        for file in manifest.files:
            yield file.key, file.table, file.date
