"""The objects that may hold something of an erasure: all that earlier epochs published and can be old enough."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from wgtwo_pipeline.events.forget import NEVER, Subjects
from wgtwo_pipeline.lake import checkpoint, retained
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.holds import Item
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.store import Store

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def candidates(store: Store, past: History, before: int, subjects: Subjects) -> Iterator[Item]:
    """The files and retained copies of epochs before `before`, in order of their epochs. Opens none of them."""
    files = pa.concat_tables([past.base.read(store), checkpoint.files_of(past.manifests)])
    old = pc.less_equal(files["min_timestamp"], pa.scalar(_latest(subjects), files["min_timestamp"].type))
    files = files.filter(pc.or_(old, pc.equal(files["table"], QUARANTINE)))  # whose times are of receipt
    keys = [*files["key"].to_pylist(), *(info.key for info in store.list(retained.ROOT))]
    items = [item for item in map(Item.of, keys) if item and item.epoch < before]
    yield from sorted(items, key=lambda item: (item.epoch, item.key))


def _latest(subjects: Subjects) -> datetime:
    until = max([NEVER, *subjects.until_us.values(), subjects.everyone_until_us])
    return _EPOCH + timedelta(microseconds=max(until, 0))
