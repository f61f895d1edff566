"""What has come into a journal since a position: the journal is the log, whatever publishing does to it meanwhile.

A segment is found in the journal while it waits, and in the copies of the epoch that published it afterwards; each
is passed once, by its writer and counter. Knows no Beam; changes nothing.
"""

import bisect
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache

import pyarrow as pa

from wgtwo_pipeline.errors import LakeError, NotFoundError
from wgtwo_pipeline.events.forget import Subjects, suppress
from wgtwo_pipeline.events.tables import current_descriptors
from wgtwo_pipeline.lake import epochs, erasures, history, journal, retained
from wgtwo_pipeline.lake.journal import SegmentName, Source
from wgtwo_pipeline.lake.manifest import Manifest, SegmentRef
from wgtwo_pipeline.lake.store import ObjectInfo, Store
from wgtwo_pipeline.source import coverage
from wgtwo_pipeline.source.settings import JournalStart

_LOG = logging.getLogger(__name__)

Deliveries = Iterator[tuple[Source, pa.RecordBatch]]


@dataclass(frozen=True)
class Position:
    """Everything of the epochs up to `epoch` is passed, and of each of `writers` all up to its counter."""

    epoch: int = 0
    writers: Mapping[str, int] = field(default_factory=dict)

    def is_past(self, name: SegmentName) -> bool:
        """Whether a segment that no passed epoch holds is passed.

        Also one with a smaller counter that comes late: its writer was not told that it was written, and has
        written its deliveries again.
        """
        return name.counter <= self.writers.get(name.writer, 0)

    def behind(self, name: SegmentName) -> "Position":
        """The position behind this segment."""
        return replace(self, writers={**self.writers, name.writer: name.counter})


@dataclass(frozen=True)
class Step:
    """The next position, and the deliveries that lie between; they are read while they are iterated."""

    position: Position
    deliveries: Deliveries


@dataclass
class Round:
    """One look at what is there. Iterate `steps`, then ask `covered`."""

    store: Store
    position: Position
    covered: coverage.Covered = field(default_factory=dict)
    """What the lake is known to have once all steps are passed; empty where more is to be looked at first."""

    def steps(self) -> Iterator[Step]:
        """First the epochs that were committed since, then what waits in the journal. Raises LakeError."""
        erased = erasures.pending(self.store)
        for manifest in history.manifests(self.store, self.position.epoch):
            missed = self.position
            self.position = _behind_epoch(self.store, missed, manifest.epoch)
            deliveries = _published(self.store, manifest, missed)
            yield Step(self.position, _without(erased, deliveries))
        past = history.before(self.store, self.position.epoch + 1)
        if past is None:
            return  # an epoch was committed meanwhile: it comes first
        coverage.refuse_other_lake(self.store, past, self.position.epoch)
        waiting = list(history.backlog(self.store, past))
        unpassed = _unbroken(self.store, self.position, waiting, past)
        if unpassed is None:
            return
        held_up = False
        blocked: set[str] = set()
        for key, found in journal.read(
            self.store, [info.key for info in unpassed], [i.size for i in unpassed]
        ):
            name = SegmentName.parse(key)
            if isinstance(found, NotFoundError):
                return  # published meanwhile: it is in a copy
            if name.writer in blocked:
                continue
            if not isinstance(found, journal.Segment):
                # Publishing decides whether it can be read: if so it is in a copy, if not, in the manifest.
                _warn(str(found))
                blocked.add(name.writer)
                held_up = True
                continue
            self.position = self.position.behind(name)
            yield Step(self.position, _without(erased, iter([(found.source, found.deliveries)])))
        if not held_up:
            before = coverage.of_epochs(self.store, self.position.epoch)
            self.covered = coverage.latest(before, coverage.of_segments(self.store, waiting))


def _unbroken(
    store: Store, position: Position, listed: Iterable[ObjectInfo], past: history.History
) -> list[ObjectInfo] | None:
    """Of listed segments those with deliveries that are not passed, each writer's in the order of its counter.

    A listing may have what was created a moment ago and miss what was created right before that. So where one of a
    writer's numbers is missing it is listed again: all that was there before the first listing is in the second,
    unless an epoch has taken it from there. None in that case: the epoch comes first.
    """
    new = _new(position, listed)
    newest: dict[str, int] = {}
    is_broken = False
    for name, _ in new:
        is_broken |= name.counter != newest.get(name.writer, position.writers.get(name.writer, 0)) + 1
        newest[name.writer] = name.counter
    if is_broken and any(name.rows for name, _ in new):
        again = _new(position, history.backlog(store, past))
        if history.is_committed(store, position.epoch + 1):
            return None
        new = [(name, info) for name, info in again if name.counter <= newest.get(name.writer, 0)]
    return [info for name, info in new if name.rows]


def _new(position: Position, listed: Iterable[ObjectInfo]) -> list[tuple[SegmentName, ObjectInfo]]:
    named = ((SegmentName.parse(info.key), info) for info in listed)
    new = [(name, info) for name, info in named if not position.is_past(name)]
    # Not by time: a clock that was set back must not let a later segment overtake an earlier one.
    return sorted(new, key=lambda pair: (pair[0].writer, pair[0].counter))


def _behind_epoch(store: Store, position: Position, epoch: int) -> Position:
    """Of a writer whose newest segment is published nothing has to be remembered any more."""
    sealed = _newest(SegmentName.parse(segment.key) for segment in epochs.sealed(store, epoch).segments)
    left = {name: at for name, at in position.writers.items() if at > sealed.get(name, 0)}
    return Position(epoch, left)


def _newest(names: Iterable[SegmentName]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in names:
        found[name.writer] = max(name.counter, found.get(name.writer, 0))
    return found


def _published(store: Store, manifest: Manifest, position: Position) -> Deliveries:
    """What an epoch holds and was not passed before, from its copies."""
    restored, unread = set(manifest.restored), {segment.key for segment in manifest.unreadable_segments}
    for group in epochs.groups(epochs.sealed(store, manifest.epoch)):
        wanted = {
            segment.key
            for segment in group.segments
            if segment.rows
            and segment.key not in unread
            and (segment.key in restored or not position.is_past(SegmentName.parse(segment.key)))
        }
        if wanted:
            copy = _copy(store, manifest, group.number)
            there = [segment for segment in group.segments if segment.key not in unread]
            for part in _parts(copy.deliveries, there, wanted):
                yield copy.source, part


def _copy(store: Store, manifest: Manifest, number: int) -> journal.Segment:
    key = retained.key_of(manifest.epoch, number)
    try:
        return journal.decode(key, store.read(key))
    except NotFoundError:
        raise LakeError(
            f"the reader of the journal was away for too long: it has not read epoch {manifest.epoch}, committed at "
            f"{manifest.committed_at:%Y-%m-%d %H:%M} UTC, whose copies are deleted by now. Start a new job with "
            "start='oldest', read what it misses from the tables, and publish with a longer --journal-retention"
        ) from None


def _parts(
    deliveries: pa.RecordBatch, segments: Iterable[SegmentRef], wanted: set[str]
) -> Iterator[pa.RecordBatch]:
    """Those of the wanted segments; all, where an erasure has taken some and nobody knows whose the others are."""
    segments = list(segments)
    if sum(segment.rows for segment in segments) != len(deliveries):
        yield deliveries
        return
    at = 0
    for segment in segments:
        if segment.key in wanted:
            yield deliveries.slice(at, segment.rows)
        at += segment.rows


def _without(erased: Subjects, deliveries: Deliveries) -> Deliveries:
    """What is erased is not emitted, whether it has been taken out of the object yet or not."""
    for source, batch in deliveries:
        left = batch
        if erased:
            left = suppress(
                batch, erased, api=source.api, method=source.method, descriptors=current_descriptors()
            ).deliveries
        if len(left):
            yield source, left


@lru_cache(maxsize=1000)
def _warn(text: str) -> None:
    _LOG.warning("its writer's deliveries wait for the next epoch: %s", text)


# Where a reader begins


def begin(store: Store, start: JournalStart) -> Position:
    """The position of a reader that has none. Raises LakeError."""
    past = history.load(store)
    if start == "new":
        return Position(past.committed, _newest(map(_name, history.backlog(store, past))))
    if start == "oldest":
        return Position(_oldest_copied(store, past) - 1)
    # What an epoch has that was committed before a time was received before it.
    return Position(
        bisect.bisect_left(
            range(1, past.committed + 1), start, key=lambda n: history.manifest(store, n).committed_at
        )
    )


def _name(info: ObjectInfo) -> SegmentName:
    return SegmentName.parse(info.key)


def _oldest_copied(store: Store, past: history.History) -> int:
    """The first epoch from which on all copies are there; copies go from the oldest on."""
    copies = [info.key for info in store.list(retained.ROOT)]
    numbers = [epoch for key in copies if (epoch := retained.epoch_of(key)) and epoch <= past.committed]
    oldest = min(numbers, default=past.committed + 1)
    if oldest <= past.committed and not {
        copy.key for copy in history.manifest(store, oldest).retained
    } <= set(copies):
        return oldest + 1
    return oldest
