"""Epochs: which segments are published together, and the order in which that is done.

Epoch n is sealed by one put-if-absent, only when n-1 is committed; it is committed by another. There is no
leader: whoever comes second finds the object there, and does or has done the same work. Everything here may
be called again, by several processes at once, and be killed at any point.
"""

import contextlib
import hashlib
import heapq
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache

from wgtwo_pipeline.errors import AlreadyExistsError, CorruptError, NotFoundError
from wgtwo_pipeline.lake import checkpoint, erasures, history, journal, recent, retained
from wgtwo_pipeline.lake.manifest import (
    Manifest,
    Parameters,
    Sealed,
    SegmentRef,
    manifest_key,
    sealed_key,
)
from wgtwo_pipeline.lake.outcomes import Outcome, combine
from wgtwo_pipeline.lake.store import ObjectInfo, Store

_LOG = logging.getLogger(__name__)

CHECKPOINT_EVERY_EPOCHS = 256
RECENT_EVERY_EPOCHS = 16
"""So many manifests at most, and those of publishers that were killed, are read one by one."""
CHECKPOINTS_KEPT = timedelta(days=1)
"""Far longer than anybody goes on reading one after a newer one has come."""
SUPPRESSED_FOR = timedelta(days=30)
"""How long an erasure is in force, unless somebody has chosen otherwise."""
HEAVY_BYTES = ((64 * 1024, 20), (1024, 5))
_MANY_HEARTBEATS = 1_000


@dataclass(frozen=True)
class Limits:
    """How much one epoch holds at most, so that a backlog of any size is published in bounded memory.

    An epoch always holds at least one segment with deliveries, however large. Where a segment's deliveries are larger
    on average than HEAVY_BYTES says, its bytes count so many times: runners keep rows compressed, several times over,
    and only small ones shrink much.
    """

    rows: int = 1_000_000
    bytes: int = 320 * 1024 * 1024
    segments: int = 50_000


@dataclass(frozen=True)
class Enough:
    """What makes an epoch worth it while more is still coming: so many deliveries, bytes of segments, or so old.

    Nobody can put several plain objects in the place of others at one moment, so files are never compacted: they are
    made large enough the first time. Nothing waits for it but who reads the tables: acks do not.
    """

    age_seconds: float
    rows: int = 250_000
    bytes: int = 64 * 1024 * 1024


def due(store: Store, past: history.History, enough: Enough) -> bool:
    """Whether what waits is worth an epoch now, or an epoch is open already. Lists the journal."""
    if history.open_epoch(store, past):
        return True
    oldest = datetime.now(UTC) - timedelta(seconds=enough.age_seconds)
    rows = size = beats = 0
    for info in history.backlog(store, past):
        name = journal.SegmentName.parse(info.key)
        rows, size, beats = rows + name.rows, size + info.size, beats + (name.rows == 0)
        # A name has its writer's clock: one that is ahead makes nothing wait longer.
        if name.rows and min(name.created_at, info.modified) <= oldest:
            return True
    return rows >= enough.rows or size >= enough.bytes or beats >= _MANY_HEARTBEATS


def waiting(
    store: Store, past: history.History, until: datetime, suppress_for: timedelta = SUPPRESSED_FOR
) -> bool:
    """Whether there is something to publish: an open epoch, segments from before `until` worth one, or an erasure.

    A segment whose name lies in the future was written by a clock that was ahead: it waits as well. An erasure that
    no seal lists yet, or that is `suppress_for` old and still listed, is worth an epoch without segments.
    """
    if history.open_epoch(store, past):
        return True
    last = _last_parameters(store, past)
    if last.erasures != _in_force(store, last, suppress_for, datetime.now(UTC)).erasures:
        return True
    now = datetime.now(UTC)
    named = ((info.modified, journal.SegmentName.parse(info.key)) for info in history.backlog(store, past))
    # The store's clock is another one where it is not this machine's.
    older = (name for came, name in named if not until < min(came, name.created_at) <= now)
    return any(name.rows or number >= _MANY_HEARTBEATS for number, name in enumerate(older, 1))


def seal(
    store: Store,
    parameters: Parameters,
    limits: Limits,
    writer: str,
    suppress_for: timedelta = SUPPRESSED_FOR,
) -> Sealed | None:
    """The open epoch, sealed now if there was none; None if nothing waits.

    Members are the oldest segments by name that no earlier epoch holds, whatever their age: a stalled
    writer's segment may appear hours late under an old name. A few heartbeats alone make no epoch, an erasure that
    comes into force, or is no longer in force, does. When this returns, no segment of an earlier epoch is in the
    journal, but for those that could not be read.
    """
    past = history.load(store)
    retire(store, past)
    existing = history.open_epoch(store, past)
    if existing:
        return existing
    members = _choose(history.backlog(store, past), limits)
    # After the history: whoever has seen the last epoch committed sees all requests that its seal lists.
    last = _last_parameters(store, past)
    # Of the deliveries at hand the oldest counts: what waited for long is not what came late.
    came = (journal.SegmentName.parse(segment.key).created_at for segment in members if segment.rows)
    now = _in_force(store, last, suppress_for, min((datetime.now(UTC), *came)))
    idle = not any(segment.rows for segment in members) and len(members) < _MANY_HEARTBEATS
    if idle and now.erasures == last.erasures:
        return None
    _forget()
    epoch = past.committed + 1
    parameters = replace(parameters, erasures=now.erasures, newest_erasure=now.newest_erasure)
    new = Sealed(epoch, datetime.now(UTC), writer, parameters, tuple(members))
    try:
        store.create(sealed_key(epoch), new.to_bytes())
    except AlreadyExistsError:
        _LOG.info("epoch %d was sealed by another publisher first; its seal counts", epoch)
    return sealed(store, epoch)


def _last_parameters(store: Store, past: history.History) -> Parameters:
    return sealed(store, past.committed).parameters if past.committed else Parameters("")


def _in_force(store: Store, last: Parameters, suppress_for: timedelta, at: datetime) -> Parameters:
    return erasures.in_force(erasures.listing(store), last, suppress_for, at)


def _choose(waiting: Iterable[ObjectInfo], limits: Limits) -> list[SegmentRef]:
    named = ((journal.SegmentName.parse(info.key), info) for info in waiting)
    oldest = heapq.nsmallest(limits.segments, named, key=lambda pair: (pair[0].created_at, pair[1].key))
    members: list[SegmentRef] = []
    rows = size = 0
    any_rows = False  # heartbeats alone would make no epoch, and wait forever before a segment that is large
    for name, info in oldest:
        weight = next((times for bytes_, times in HEAVY_BYTES if info.size > name.rows * bytes_), 1)
        rows, size = rows + name.rows, size + info.size * weight
        if any_rows and (rows > limits.rows or size > limits.bytes):
            break
        members.append(SegmentRef(info.key, name.rows, info.size))
        any_rows = any_rows or name.rows > 0
    return members


@lru_cache(maxsize=4)
def sealed(store: Store, epoch: int) -> Sealed:
    """The seal of this epoch; raises NotFoundError."""
    key = sealed_key(epoch)
    return Sealed.from_bytes(key, store.read(key))


@lru_cache(maxsize=4)
def descriptors(store: Store, sha256: str) -> bytes:
    """The FileDescriptorSet that an epoch was sealed with; raises NotFoundError or CorruptError."""
    key = f"descriptors/{sha256}.binpb"
    data = bytes(store.read(key))
    if hashlib.sha256(data).hexdigest() != sha256:
        raise CorruptError(
            f"{key} is not what its name says; restore it from a version or copy of the bucket"
        )
    return data


def keep_descriptors(store: Store, data: bytes) -> str:
    """Keeps a FileDescriptorSet in the lake, for as long as an epoch may refer to it; returns its SHA-256."""
    sha256 = hashlib.sha256(data).hexdigest()
    store.create(f"descriptors/{sha256}.binpb", data)
    return sha256


def _forget() -> None:
    """Drops what is cached by epoch: a lake that was emptied meanwhile begins again at epoch 1."""
    sealed.cache_clear()
    history.forget()


@dataclass(frozen=True)
class Group:
    """Some segments of one subscription, read and decoded together; `number` orders an epoch's groups.

    An epoch without segments has one group without any.
    """

    epoch: int
    number: int
    segments: tuple[SegmentRef, ...]


def groups(seal: Sealed) -> list[Group]:
    """Splits an epoch for reading; a function of the seal, each group of bounded rows and bytes."""
    rows, size = seal.parameters.rows_per_group, seal.parameters.bytes_per_group
    by_subscription: dict[str, list[SegmentRef]] = {}
    for segment in seal.segments:
        name = journal.SegmentName.parse(segment.key)
        by_subscription.setdefault(name.subscription, []).append(segment)
    parts: list[tuple[SegmentRef, ...]] = []
    for _, segments in sorted(by_subscription.items()):
        part: list[SegmentRef] = []
        part_rows = part_size = 0
        for segment in segments:
            part_rows, part_size = part_rows + segment.rows, part_size + segment.bytes
            if part and (part_rows > rows or part_size > size):
                parts.append(tuple(part))
                part, part_rows, part_size = [], segment.rows, segment.bytes
            part.append(segment)
        parts.append(tuple(part))
    return [Group(seal.epoch, number, part) for number, part in enumerate(parts or [()])]


def commit(store: Store, sealed: Sealed, outcomes: Iterable[Outcome]) -> Manifest:
    """Commits an epoch that `seal` returned: from here on it is published. Returns the manifest that counts.

    Call it only when every object of the epoch is durable. Raises CorruptError, and commits nothing, where
    the outcomes do not account for every delivery of the seal.
    """
    with contextlib.suppress(NotFoundError):
        return history.manifest(store, sealed.epoch)
    past = history.before(store, sealed.epoch)
    unread = past.unreadable if past else {}
    restored = [segment.key for segment in sealed.segments if segment.key in unread]
    manifest = combine(sealed.epoch, datetime.now(UTC), sealed.epoch - 1, outcomes, restored)
    expected = sum(segment.rows for segment in sealed.segments)
    if not manifest.balanced() or manifest.received != expected:
        raise CorruptError(
            f"epoch {sealed.epoch} does not add up: sealed {expected}, received {manifest.received}, published "
            f"{manifest.published}, duplicates {manifest.duplicates}, quarantined {manifest.quarantined}, erased "
            f"{manifest.erased}, unreadable {manifest.unreadable}; nothing was committed. Please report this with "
            "the manifest's figures"
        )
    try:
        store.create(manifest_key(sealed.epoch), manifest.to_bytes())
    except AlreadyExistsError:
        _LOG.info("epoch %d was committed by another publisher first", sealed.epoch)
        manifest = history.manifest(store, sealed.epoch)
    for segment in manifest.unreadable_segments:
        _LOG.error(
            "epoch %d is published without %d deliveries: %s", sealed.epoch, segment.rows, segment.reason
        )
    return manifest


def retire(store: Store, past: history.History) -> None:
    """Deletes from the journal every segment that a committed epoch holds and has read.

    So listing the journal costs what waits, not what was. The retained copies that the manifests name replace
    them.
    """
    published = history.held(store, past)
    if published:
        store.delete([info.key for info in journal.segments(store) if info.key in published])


def expire(store: Store, past: history.History, retention: timedelta) -> None:
    """Deletes retained copies older than `retention`, of committed epochs only; writes a checkpoint when due, or what
    has come since the last one."""
    now = datetime.now(UTC)
    retained.expire(store, past, now - retention)
    due = past.committed - past.base.epoch >= CHECKPOINT_EVERY_EPOCHS
    if due:
        checkpoint.write(store, past.base, past.manifests)
    if due or recent.write(store, past.base, past.manifests, RECENT_EVERY_EPOCHS):
        checkpoint.expire(store, now - CHECKPOINTS_KEPT)
