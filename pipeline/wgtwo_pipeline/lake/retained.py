"""Retained copies: a group of an epoch's segments, read from the journal into one object that counts from then on.

Whoever reads the group again, or at the same time, gets what that object says: also where a segment was
damaged, lost or restored in between, or where another version of a library encodes the same otherwise.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import pyarrow as pa

from wgtwo_pipeline.errors import AlreadyExistsError, LakeError, NotFoundError
from wgtwo_pipeline.lake import journal
from wgtwo_pipeline.lake.manifest import SegmentRef, Unreadable, manifest_key
from wgtwo_pipeline.lake.store import Store

ROOT = "retained/"
COMPRESSION = "zstd"
"""A week of copies is far more than its tables, and half of a publisher's time would go into writing them."""


@dataclass(frozen=True)
class Retained:
    """What a group holds: its deliveries, and the segments whose deliveries could not be read."""

    copy: SegmentRef
    contents: journal.Segment
    unreadable: tuple[Unreadable, ...]

    @property
    def received(self) -> int:
        """The deliveries of all its segments, read or not."""
        return len(self.contents.deliveries) + sum(each.rows for each in self.unreadable)


def retain(store: Store, epoch: int, number: int, segments: Sequence[SegmentRef]) -> Retained | None:
    """Reads segments of one subscription and keeps their deliveries as one object, instead of many; idempotent.

    A segment that is not there, or not what its name says, is `unreadable` and stops none of the others. None if
    the epoch is committed already: segments are deleted then. Raises LakeError.
    """
    unreadable: list[Unreadable] = []
    whole = list(_read(store, segments, unreadable))
    if unreadable and _is_committed(store, epoch):
        return None
    first = journal.SegmentName.parse(segments[0].key)
    contents = journal.Segment(
        source=whole[0].source if whole else journal.Source(first.subscription, "", ""),
        writer="retained",
        counter=number,
        covered_until=max((each.covered_until for each in whole), default=first.created_at),
        deliveries=pa.concat_batches([each.deliveries for each in whole]) if whole else journal.batch([], []),
        note=json.dumps([asdict(each) for each in unreadable]) if unreadable else "",
    )
    del whole  # memory: the copy is enough
    data = journal.encode(
        contents.source,
        contents.writer,
        contents.counter,
        contents.covered_until,
        contents.deliveries,
        contents.note,
        COMPRESSION,
    )
    key = f"{ROOT}{epoch:010d}-{number:04d}.arrow"
    try:
        store.create(key, data)
    except AlreadyExistsError:
        try:
            data = bytes(store.read(key))
        except NotFoundError:
            if _is_committed(store, epoch):
                return None
            raise LakeError(f"{key} was deleted before its epoch was committed: publish again") from None
        contents = journal.decode(key, memoryview(data))
    found = tuple(Unreadable(**each) for each in json.loads(contents.note or "[]"))
    return Retained(SegmentRef(key, len(contents.deliveries), len(data)), contents, found)


def epoch_of(key: str) -> int | None:
    """The epoch of a retained copy; None for an object that is none."""
    found = re.fullmatch(rf"{ROOT}(\d+)-\d+\.arrow", key)
    return int(found[1]) if found else None


def _is_committed(store: Store, epoch: int) -> bool:
    try:
        store.read(manifest_key(epoch))
    except NotFoundError:
        return False
    return True


def _read(
    store: Store, segments: Sequence[SegmentRef], unreadable: list[Unreadable]
) -> Iterator[journal.Segment]:
    for large in (segment for segment in segments if segment.bytes > journal.MOST_BYTES):
        reason = f"has {large.bytes:,} bytes; no segment has more than {journal.MOST_BYTES:,}"
        unreadable.append(Unreadable(large.key, large.rows, reason))
    rows = {segment.key: segment.rows for segment in segments if segment.bytes <= journal.MOST_BYTES}
    sizes = [segment.bytes for segment in segments if segment.key in rows]
    for key, found in journal.read(store, list(rows), sizes):
        if isinstance(found, journal.Segment):
            yield found
        else:
            unreadable.append(Unreadable(key, rows[key], str(found)))
