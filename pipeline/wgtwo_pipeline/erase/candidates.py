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

    By the index of subjects, which is brought up to them, unless a number can be anywhere in a row.
    """
    files = table_files(store, past)
    old = pc.less_equal(files["min_timestamp"], pa.scalar(_latest(subjects), files["min_timestamp"].type))
    keys = files.filter(pc.or_(old, pc.equal(files["table"], QUARANTINE)))["key"].to_pylist()
    copies = [info.key for info in store.list(retained.ROOT)]
    items = [item for item in map(Item.of, [*keys, *copies]) if item and item.epoch < before]
    anywhere = subjects.everywhere_until_us or subjects.everyone_until_us != NEVER or subjects.countries
    if by_index and not anywhere:
        tokens = {*subjects.until_us, *subjects.consents_until_us}
        known = index.epochs_of(store, of_tables(files["key"].to_pylist()), before, subjects.key, tokens)
        items = [item for item in items if item.epoch in known or item.table in _ALWAYS]
    yield from sorted(items, key=lambda item: (item.epoch, item.key))


def table_files(store: Store, past: History) -> pa.Table:
    """All files that the committed epochs have published, the quarantine's too."""
    return pa.concat_tables([past.base.read(store), checkpoint.files_of(past.manifests)])


def of_tables(keys: Iterable[str]) -> list[Item]:
    """Those that are files of tables: what the index speaks of."""
    items = map(Item.of, keys)
    return [item for item in items if item and item.table not in _ALWAYS]


def _latest(subjects: Subjects) -> datetime:
    return _EPOCH + timedelta(microseconds=max(subjects.latest_us, 0))
