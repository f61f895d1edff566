"""The objects that may hold something of an erasure: all that earlier epochs published and can be old enough."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from wgtwo_pipeline.events.forget import NEVER, Subjects
from wgtwo_pipeline.lake import checkpoint, retained
from wgtwo_pipeline.lake import subjects as index
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.holds import Item
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.receipts import RETAINED
from wgtwo_pipeline.lake.store import Store

_ALWAYS = (QUARANTINE, RETAINED)
"""What the index says nothing of: bytes, in which a number can be anywhere."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def candidates(
    store: Store, past: History, before: int, subjects: Subjects, *, by_index: bool = True
) -> Iterator[Item]:
    """The files and retained copies of epochs before `before`, in order of their epochs. Opens none of them.

    By the index of subjects, which is made where it is missing, unless a number can be anywhere in a row.
    """
    files = table_files(store, past)
    old = pc.less_equal(files["min_timestamp"], pa.scalar(_latest(subjects), files["min_timestamp"].type))
    keys = files.filter(pc.or_(old, pc.equal(files["table"], QUARANTINE)))["key"].to_pylist()
    copies = [info.key for info in store.list(retained.ROOT)]
    items = [item for item in map(Item.of, [*keys, *copies]) if item and item.epoch < before]
    anywhere = subjects.everywhere_until_us or subjects.everyone_until_us != NEVER or subjects.countries
    if by_index and not anywhere:
        without = _epochs_without(store, files, before, subjects)
        items = [item for item in items if item.epoch not in without or item.table in _ALWAYS]
    yield from sorted(items, key=lambda item: (item.epoch, item.key))


def table_files(store: Store, past: History) -> pa.Table:
    """All files that the committed epochs have published, the quarantine's too."""
    return pa.concat_tables([past.base.read(store), checkpoint.files_of(past.manifests)])


def of_epochs(files: pa.Table, epochs: Iterable[int]) -> list[Item]:
    """The files of tables that these epochs have published."""
    wanted = {*epochs}
    items = map(Item.of, files["key"].to_pylist())
    return [item for item in items if item and item.epoch in wanted and item.table not in _ALWAYS]


def _epochs_without(store: Store, files: pa.Table, before: int, subjects: Subjects) -> set[int]:
    """The epochs whose tables hold nothing of the subjects, as the index says."""
    without: set[int] = set()
    for block in index.blocks(before):
        epochs = range(block.first, block.last + 1)
        tokens = {*subjects.until_us, *subjects.consents_until_us}
        found = index.epochs_of(store, block, of_epochs(files, epochs), subjects.key, tokens)
        without |= {*epochs} - found
    return without


def _latest(subjects: Subjects) -> datetime:
    return _EPOCH + timedelta(microseconds=max(subjects.latest_us, 0))
