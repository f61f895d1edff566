"""Whether an object holds something of somebody: what erasures look for, and what an audit must not find."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from wgtwo_pipeline.errors import CorruptError
from wgtwo_pipeline.events.forget import Subjects, Suppressed, forget, suppress
from wgtwo_pipeline.events.owners import QUARANTINED, Whose, owners
from wgtwo_pipeline.lake import epochs, journal, retained
from wgtwo_pipeline.lake.layout import QUARANTINE, FilePath
from wgtwo_pipeline.lake.reading import while_unchanged
from wgtwo_pipeline.lake.receipts import RETAINED
from wgtwo_pipeline.lake.store import Store


@dataclass(frozen=True)
class Item:
    """An object that may hold something: of which table (or `retained`) and epoch it is."""

    key: str
    table: str
    epoch: int

    @classmethod
    def of(cls, key: str) -> "Item | None":
        """The item of a key; None for an object that is neither a table's file nor a retained copy."""
        path, copy = FilePath.parse(key), retained.epoch_of(key)
        if path:
            return cls(key, path.table, path.epoch)
        return cls(key, RETAINED, copy) if copy is not None else None


def holds(store: Store, item: Item, subjects: Subjects) -> bool:
    """Whether an object holds something of these subjects. Reads the columns that can say it, a row group at a time.

    Raises NotFoundError, or CorruptError naming the object.
    """
    if item.table == RETAINED:
        copy = journal.decode(item.key, store.read(item.key))
        found = from_copy(store, item, copy, subjects)
        return bool(found.erased or found.blanked)
    whose = rule(store, item)
    return while_unchanged(lambda: _file_holds(store, item, whose, subjects))


def rule(store: Store, item: Item) -> Whose:
    """Whose the events of a file are: by the descriptors that its epoch was sealed with."""
    return QUARANTINED if item.table == QUARANTINE else owners(_descriptors(store, item.epoch))[item.table]


def from_copy(store: Store, item: Item, copy: journal.Segment, subjects: Subjects) -> Suppressed:
    """What is left of a retained copy, and what goes."""
    if not copy.source.api:  # none of its segments could be read
        return Suppressed(copy.deliveries)
    return suppress(
        copy.deliveries,
        subjects,
        api=copy.source.api,
        method=copy.source.method,
        descriptors=_descriptors(store, item.epoch),
    )


def _file_holds(store: Store, item: Item, whose: Whose, subjects: Subjects) -> bool:
    looks = (forget(rows, whose, subjects) for rows in _row_groups(store, item, whose, subjects))
    return any(found.erased or found.blanked for found in looks)


def _row_groups(store: Store, item: Item, whose: Whose, subjects: Subjects) -> Iterator[pa.Table]:
    """The columns that say whose a row is, and with `everywhere` those that can mention somebody."""
    wanted = {"timestamp", "received_at", whose.direction, whose.payload, *whose.numbers}
    wanted |= {*whose.texts} if subjects.everywhere_until_us else set()
    with store.open(item.key) as source:
        try:
            file = pq.ParquetFile(source)
            columns = [name for name in file.schema_arrow.names if name in wanted]
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=columns)
        except (pa.ArrowInvalid, OSError) as error:
            raise CorruptError(
                f"{item.key} is not readable as Parquet ({error}); restore it from a copy"
            ) from None


def _descriptors(store: Store, epoch: int) -> bytes:
    return epochs.descriptors(store, epochs.sealed(store, epoch).parameters.descriptors)
