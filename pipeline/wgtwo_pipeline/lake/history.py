"""What is committed, and what waits: the lake as the next epoch finds it.

Nothing here changes the lake.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from functools import lru_cache
from itertools import islice

from wgtwo_pipeline.errors import CorruptError, NotFoundError
from wgtwo_pipeline.events.api import CONSENT_TABLES
from wgtwo_pipeline.lake import checkpoint, erasures, journal, recent
from wgtwo_pipeline.lake.manifest import (
    EPOCHS,
    Manifest,
    Received,
    Sealed,
    TableFile,
    Unreadable,
    manifest_key,
    sealed_key,
    still_unreadable,
)
from wgtwo_pipeline.lake.store import ObjectInfo, Store

_READ_TOGETHER = 256


@dataclass(frozen=True)
class History:
    """What the committed epochs published, up to one epoch. Two loads up to the same epoch are equal."""

    base: checkpoint.Checkpoint
    manifests: tuple[Manifest, ...] = ()
    """Those after the checkpoint, in order."""

    @property
    def committed(self) -> int:
        """The last committed epoch; 0 before the first."""
        return self.manifests[-1].epoch if self.manifests else self.base.epoch

    @property
    def retired_through(self) -> int:
        """Up to this epoch no segment is in the journal any more."""
        return self.manifests[-1].retired_through if self.manifests else self.base.retired_through

    @property
    def unreadable(self) -> dict[str, Unreadable]:
        """The segments that no epoch could read so far, by key. They stay in the journal, to be restored."""
        return {each.key: each for each in still_unreadable(self.base.unreadable, self.manifests)}

    @property
    def totals(self) -> checkpoint.Totals:
        """Sums over all epochs."""
        return self.base.totals.plus(self.manifests)

    @property
    def subscriptions(self) -> dict[str, Received]:
        """What each subscription delivered."""
        return self.totals.subscriptions

    def files(self, store: Store, table: str, day: date) -> list[TableFile]:
        """The files of one partition, of all epochs."""
        recent = (file for manifest in self.manifests for file in manifest.files)
        return [
            *self.base.files(store, table, day),
            *(file for file in recent if file.table == table and file.date == day),
        ]


def load(store: Store, known: History | None = None) -> History:
    """Reads what is committed by now: the newest checkpoint and the manifests after it, or after `known`.

    Most of those are read as one object.

    Raises CorruptError where the numbers have a gap.
    """
    newest = checkpoint.newest(store, known.base if known else None)
    past = known if known and known.base == newest else History(newest, recent.read(store, newest))
    return History(past.base, (*past.manifests, *manifests(store, past.committed)))


def manifests(store: Store, after: int) -> Iterator[Manifest]:
    """The manifests of the epochs after this one, in order, read a few at a time.

    All that were committed before the call; some that are committed meanwhile, too. Raises CorruptError where the
    numbers have a gap.
    """
    listed = (info.key for info in store.list(EPOCHS, after=manifest_key(after)))
    keys = (key for key in listed if key.endswith("/manifest.json"))
    expected = after + 1
    while some := list(islice(keys, _READ_TOGETHER)):
        for key, data in zip(some, store.read_many(some), strict=True):
            manifest = Manifest.from_bytes(key, data)
            if manifest.epoch != expected:
                raise CorruptError(
                    f"epoch {expected} is missing in {EPOCHS}: {key} is there, its predecessor is not. "
                    "Restore it from a version or copy of the bucket"
                )
            yield manifest
            expected += 1


def open_epoch(store: Store, past: History) -> Sealed | None:
    """The sealed epoch that is not committed yet, if there is one."""
    key = sealed_key(past.committed + 1)
    try:
        return Sealed.from_bytes(key, store.read(key))
    except NotFoundError:
        return None


def held(store: Store, past: History) -> set[str]:
    """The segments that committed epochs hold, have read, and that may still be in the journal."""
    keys = [sealed_key(epoch) for epoch in range(past.retired_through + 1, past.committed + 1)]
    seals = (Sealed.from_bytes(key, data) for key, data in zip(keys, store.read_many(keys), strict=True))
    return {segment.key for seal in seals for segment in seal.segments} - past.unreadable.keys()


def backlog(store: Store, past: History) -> Iterator[ObjectInfo]:
    """The segments in the journal that wait to be published, in ascending order of keys.

    Those that no committed epoch holds, and those that one holds, could not read, and that have been restored since.
    Not those that are `too_old`.
    """
    published, unreadable, horizon = held(store, past), past.unreadable, _horizon(store, past)
    for info in journal.segments(store):
        if info.key in published or _is_older(info, horizon):
            continue
        if info.key not in unreadable or _is_whole(store, info):
            yield info


def revocations(past: History, through: int) -> int:
    """Revocations that epochs after `through` published; v0's, whose table has nothing else, of recent epochs."""
    return sum(
        file.rows
        for manifest in past.manifests
        for file in manifest.files
        if manifest.epoch > through and file.table == CONSENT_TABLES["v0"]
    )


def too_old(store: Store, past: History) -> Iterator[ObjectInfo]:
    """Segments that are not published: they are from before an erasure that is no longer in force.

    Somebody has restored them from a copy, or they were stuck for as long as requests are kept.
    """
    horizon = _horizon(store, past)
    if horizon:
        published = held(store, past)
        for info in journal.segments(store):
            if _is_older(info, horizon) and info.key not in published:
                yield info


def _horizon(store: Store, past: History) -> datetime | None:
    if past.committed == 0:
        return None
    key = sealed_key(past.committed)
    return erasures.horizon(store, Sealed.from_bytes(key, store.read(key)).parameters)


def _is_older(info: ObjectInfo, horizon: datetime | None) -> bool:
    return horizon is not None and journal.SegmentName.parse(info.key).created_at < horizon


def _is_whole(store: Store, info: ObjectInfo) -> bool:
    if info.size > journal.MOST_BYTES:
        return False
    return all(isinstance(found, journal.Segment) for _, found in journal.read(store, [info.key]))


def before(store: Store, epoch: int) -> History | None:
    """The history that an epoch builds on: the same for everyone; None if the epoch is committed already."""
    past = _load_newer(store, epoch - 1)
    return past if past.committed < epoch else None


def manifest(store: Store, epoch: int) -> Manifest:
    """The manifest of one epoch. Raises NotFoundError or CorruptError."""
    key = manifest_key(epoch)
    return Manifest.from_bytes(key, store.read(key))


def manifests_of(store: Store, epochs: Iterable[int]) -> Iterator[Manifest]:
    """The manifests of these epochs, all read at once, in this order. Raises NotFoundError or CorruptError."""
    keys = [manifest_key(epoch) for epoch in epochs]
    yield from map(Manifest.from_bytes, keys, store.read_many(keys))


def is_committed(store: Store, epoch: int) -> bool:
    """Whether its manifest is there: one read, of nothing else."""
    try:
        store.read(manifest_key(epoch))
    except NotFoundError:
        return False
    return True


@lru_cache(maxsize=2)
def _load_newer(store: Store, _at_least: int) -> History:
    return load(store)


def forget() -> None:
    """Drops what is cached, for a lake that was emptied meanwhile."""
    _load_newer.cache_clear()
