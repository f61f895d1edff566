"""Retained copies: a group of an epoch's segments, read from the journal into one object that counts from then on.

Whoever reads the group again, or at the same time, gets what that object says: also where a segment was
damaged, lost or restored in between, or where another version of a library encodes the same otherwise.
"""

import contextlib
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime

import pyarrow as pa

from wgtwo_pipeline.errors import AlreadyExistsError, CorruptError, LakeError, NotFoundError
from wgtwo_pipeline.events.decode import Decoded
from wgtwo_pipeline.events.forget import Suppressed
from wgtwo_pipeline.lake import history, journal
from wgtwo_pipeline.lake.manifest import SegmentRef, Unreadable
from wgtwo_pipeline.lake.store import Store

ROOT = "retained/"
COMPRESSION = "zstd"
"""A week of copies is far more than its tables, and half of a publisher's time would go into writing them."""


@dataclass(frozen=True)
class Retained:
    """What a group holds: its deliveries, and the segments whose deliveries could not be read."""

    copy: SegmentRef
    contents: journal.Segment
    account: "Account"
    decoded: Decoded | None = None
    """Its deliveries' rows, where they had to be decoded for the sake of what is erased."""

    @property
    def unreadable(self) -> tuple[Unreadable, ...]:
        """The segments whose deliveries could not be read."""
        return self.account.unreadable

    @property
    def received(self) -> int:
        """The deliveries of all its segments: kept, erased or not read."""
        erased = sum(self.account.suppressed.values())
        return len(self.contents.deliveries) + erased + sum(each.rows for each in self.unreadable)


@dataclass(frozen=True)
class Taken:
    """What an erasure took from a copy that was there before it, by table."""

    erasure: int
    erased: Mapping[str, int]
    blanked: int


@dataclass(frozen=True)
class Account:
    """What a copy says of what it does not hold."""

    unreadable: tuple[Unreadable, ...] = ()
    suppressed: Mapping[str, int] = field(default_factory=dict)
    """Deliveries that were erased when it was made, by the table that they would have gone to."""
    blanked: int = 0
    erasures: tuple["Taken", ...] = ()

    def erased(self) -> Counter[str]:
        """How many deliveries erasures have taken from it since it was made, by table."""
        return sum((Counter(dict(each.erased)) for each in self.erasures), Counter[str]())

    def to_note(self) -> str:
        """As it stands in the copy; as short as it was before there were erasures."""
        unreadable = [asdict(each) for each in self.unreadable]
        if not self.suppressed and not self.blanked and not self.erasures:
            return json.dumps(unreadable) if unreadable else ""
        return json.dumps({**asdict(self), "unreadable": unreadable})

    @classmethod
    def from_note(cls, note: str) -> "Account":
        """Reads what `to_note` wrote."""
        raw = json.loads(note or "[]")
        raw = {"unreadable": raw} if isinstance(raw, list) else raw
        erasures = tuple(Taken(**each) for each in raw.get("erasures", ()))
        unreadable = tuple(Unreadable(**each) for each in raw["unreadable"])
        return cls(**{**raw, "unreadable": unreadable, "erasures": erasures})


Suppress = Callable[[journal.Source, pa.RecordBatch], Suppressed]
"""Takes what is erased out of deliveries of one stream."""


def retain(
    store: Store, epoch: int, number: int, segments: Sequence[SegmentRef], suppress: Suppress | None = None
) -> Retained | None:
    """Reads segments of one subscription and keeps their deliveries as one object, instead of many; idempotent.

    Without what `suppress` takes out of them. A segment that is not there, or not what its name says, is `unreadable`
    and stops none of the others. None if the epoch is committed already: segments are deleted then. Raises LakeError.
    """
    unreadable: list[Unreadable] = []
    whole = list(_read(store, segments, unreadable))
    if unreadable and history.is_committed(store, epoch):
        return None
    first = journal.SegmentName.parse(segments[0].key)
    source = whole[0].source if whole else journal.Source(first.subscription, "", "")
    covered_until = max((each.covered_until for each in whole), default=first.created_at)
    deliveries = pa.concat_batches([each.deliveries for each in whole]) if whole else journal.batch([], [])
    clean = suppress(source, deliveries) if suppress and whole else Suppressed(deliveries)
    del whole, deliveries  # memory: the copy is enough
    account = Account(tuple(unreadable), clean.erased, sum(clean.blanked.values()))
    contents = journal.Segment(source, "retained", number, covered_until, clean.deliveries, account.to_note())
    data = encode(contents)
    key = key_of(epoch, number)
    try:
        store.create(key, data)
    except AlreadyExistsError:
        try:
            data = bytes(store.read(key))
        except NotFoundError:
            if history.is_committed(store, epoch):
                return None
            raise LakeError(f"{key} was deleted before its epoch was committed: publish again") from None
        contents = journal.decode(key, memoryview(data))
        clean = Suppressed(contents.deliveries)
    copy = SegmentRef(key, len(contents.deliveries), len(data))
    return Retained(copy, contents, Account.from_note(contents.note), clean.decoded)


def expire(store: Store, past: history.History, horizon: datetime) -> None:
    """Deletes the copies of committed epochs that are older than the horizon.

    One that is older than one that is deleted goes with it, also when it was rewritten since. So does one of an epoch
    that was committed so long ago, however new it is: a publisher that slept over all that has written it again, with
    what was erased meanwhile.
    """
    found = ((epoch_of(info.key), info) for info in store.list(ROOT))
    copies = [(epoch, info) for epoch, info in found if epoch and epoch <= past.committed]
    last = max((epoch for epoch, info in copies if info.modified < horizon), default=0)
    over = 0
    for epoch in sorted({epoch for epoch, _ in copies}):
        if not _is_over(store, past, epoch, horizon):
            break
        over = epoch
    store.delete(
        [info.key for epoch, info in copies if epoch < last or epoch <= over or info.modified < horizon]
    )


def _is_over(store: Store, past: history.History, epoch: int, horizon: datetime) -> bool:
    """Whether an epoch was committed before the horizon; where that cannot be read, a copy's own age counts."""
    known = next((each for each in past.manifests if each.epoch == epoch), None)
    with contextlib.suppress(NotFoundError, CorruptError):
        return (known or history.manifest(store, epoch)).committed_at < horizon
    return False


def key_of(epoch: int, number: int) -> str:
    """Where the copy of a group is."""
    return f"{ROOT}{epoch:010d}-{number:04d}.arrow"


def encode(contents: journal.Segment) -> bytes:
    """The bytes of a copy."""
    return journal.encode(
        contents.source,
        contents.writer,
        contents.counter,
        contents.covered_until,
        contents.deliveries,
        contents.note,
        COMPRESSION,
    )


def epoch_of(key: str) -> int | None:
    """The epoch of a retained copy; None for an object that is none."""
    found = re.fullmatch(rf"{ROOT}(\d+)-\d+\.arrow", key)
    return int(found[1]) if found else None


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
