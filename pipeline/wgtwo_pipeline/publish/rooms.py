"""The rooms of publish as Beam DoFns: each unpacks, calls a room that knows no Beam, and passes on.

Any of them may be run again, or twice at once: all they write is named by the epoch and created once.
"""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Final

import apache_beam as beam
import numpy as np
import pyarrow as pa

from wgtwo_pipeline.errors import NotFoundError
from wgtwo_pipeline.events import tables
from wgtwo_pipeline.events.forget import Suppressed, suppress
from wgtwo_pipeline.lake import deduplicate, epochs, erasures, history, lake_format
from wgtwo_pipeline.lake.journal import Source
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.manifest import Parameters, Received, TableCount
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.outcomes import Outcome
from wgtwo_pipeline.lake.retained import Retained, retain
from wgtwo_pipeline.lake.store import LakeLocation, Store
from wgtwo_pipeline.publish import shelf, write

OUTCOMES: Final = "outcomes"

Key = tuple[int, str, int]
"""Epoch, table and shard: what may be equal is in one shard.

A table's shards are by date: with one for each date, an epoch of thousands of dates would fall apart into
hundreds of thousands of parts. The quarantine is one shard: its dates are of receipt, so a delivery and its
redelivery may have different ones.
"""

_SHARDS = 16


@dataclass(frozen=True)
class Kept:
    """Of one partition, the rows that no earlier epoch has, and how many came."""

    epoch: int
    table: str
    rows: pa.Table
    came: int


class KeptCoder(beam.coders.Coder):
    """Tells the size of rows, which Beam asks for, and would pickle them to learn, though they stay in one stage."""

    def encode(self, value: Kept) -> bytes:
        """See Beam."""
        return bytes(_PICKLE.encode(value))

    def decode(self, encoded: bytes) -> Kept:
        """See Beam."""
        kept: Kept = _PICKLE.decode(encoded)
        return kept

    def estimate_size(self, value: Kept) -> int:
        """In bytes, of the rows alone."""
        return int(value.rows.nbytes)


_PICKLE = beam.coders.PickleCoder()
beam.coders.registry.register_coder(Kept, KeptCoder)


@dataclass(frozen=True)
class PublishSettings:
    """All that publish needs to know; picklable. `parameters` count for epochs that are sealed from now on."""

    lake: LakeLocation
    writer: str
    parameters: Parameters
    limits: epochs.Limits
    retention_seconds: float
    suppress_seconds: float = epochs.SUPPRESSED_FOR.total_seconds()
    shelf: int | None = None
    """Where decoded rows wait, if all rooms are in one process (see `shelf.py`); else the runner carries them."""


class Room(beam.DoFn):
    """A DoFn that works on the lake."""

    def __init__(self, settings: PublishSettings) -> None:
        self._settings = settings

    @property
    def store(self) -> Store:
        """This process's store of the lake."""
        return open_store(self._settings.lake)


class Seal(Room):
    """Anything -> the groups of the open epoch, which it seals if there is none; nothing if nothing waits."""

    def process(self, _: object) -> Iterable[epochs.Group]:
        """Blocks for the lake only."""
        lake_format.ensure(self.store)  # it may have been emptied while segments were written
        kept = epochs.keep_descriptors(self.store, tables.current_descriptors())
        parameters = replace(self._settings.parameters, descriptors=kept)
        suppress_for = timedelta(seconds=self._settings.suppress_seconds)
        sealed = epochs.seal(
            self.store, parameters, self._settings.limits, self._settings.writer, suppress_for
        )
        return epochs.groups(sealed) if sealed else []


class Decode(Room):
    """Group of segments -> (Key, (group number, rows)), and an Outcome that counts what it read.

    Also keeps a copy of the group's deliveries, in one object instead of many.
    """

    def process(self, group: epochs.Group) -> Iterator[tuple[Key, tuple[int, bytes]]]:
        """Reads segments concurrently; an event that cannot become a row becomes one of the quarantine."""
        if group.segments:
            yield from self._decode(group)
        else:
            yield beam.pvalue.TaggedOutput(OUTCOMES, (group.epoch, Outcome()))

    def _decode(self, group: epochs.Group) -> Iterator[tuple[Key, tuple[int, bytes]]]:
        parameters = epochs.sealed(self.store, group.epoch).parameters
        descriptors = epochs.descriptors(self.store, parameters.descriptors)
        try:
            subjects = erasures.subjects(self.store, parameters.erasures)
        except NotFoundError:
            if history.before(self.store, group.epoch):
                raise
            return  # committed long ago: who it was to suppress is no longer known

        def read(source: Source, deliveries: pa.RecordBatch) -> Suppressed:
            return suppress(
                deliveries,
                subjects,
                api=source.api,
                method=source.method,
                descriptors=descriptors,
            )

        held = retain(self.store, group.epoch, group.number, group.segments, read if subjects else None)
        if held:
            yield beam.pvalue.TaggedOutput(OUTCOMES, (group.epoch, _outcome(held)))
        if held and held.copy.rows:
            decoded = held.decoded or read(held.contents.source, held.contents.deliveries).decoded
            assert decoded is not None
            for table, rows in decoded.tables.items():
                for shard, part in _shards(rows):
                    yield (group.epoch, table, shard), (group.number, self._hand_over(part))
            if len(decoded.quarantine):
                yield (group.epoch, QUARANTINE, 0), (group.number, self._hand_over(decoded.quarantine))

    def _hand_over(self, rows: pa.Table) -> bytes:
        data, on = _to_bytes(rows), self._settings.shelf
        return data if on is None else shelf.put(on, data)


class Deduplicate(Room):
    """(Key, parts) -> Kept, one for each partition, sorted as they are written."""

    def process(self, element: tuple[Key, Iterable[tuple[int, bytes]]]) -> Iterator[Kept]:
        """The first delivery of an event counts: parts are put in order, whatever order the runner gave them."""
        (epoch, table, _), parts = element
        past = history.before(self.store, epoch)
        if past:  # else another publisher was faster
            rows = pa.concat_tables(self._take(part) for _, part in sorted(parts))
            if table == QUARANTINE:
                yield from self._quarantine(epoch, rows, past)
                partitions: deque[tuple[str, pa.Table]] = deque()
            else:
                by = epochs.sealed(self.store, epoch).parameters.partition_by
                partitions = deque(tables.partitions(rows, by))
            del rows, parts, element  # memory: while one is written, only what is still to be written stays
            while partitions:
                partition, part = partitions.popleft()
                came, kept = len(part), self._kept(epoch, table, partition, part, past)
                del part
                yield Kept(epoch, table, kept, came)

    def _take(self, part: bytes) -> pa.Table:
        on = self._settings.shelf
        return _from_bytes(part if on is None else shelf.get(on, part))

    def _kept(
        self, epoch: int, table: str, partition: str, rows: pa.Table, past: history.History
    ) -> pa.Table:
        sealed = epochs.sealed(self.store, epoch)
        catalog = tables.catalog(epochs.descriptors(self.store, sealed.parameters.descriptors))
        files = past.files(self.store, table, date.fromisoformat(partition[:10]))
        return deduplicate.rows(self.store, rows, catalog[table].identity, files)

    def _quarantine(self, epoch: int, rows: pa.Table, past: history.History) -> Iterator[Kept]:
        received = rows["date"].unique().to_pylist()
        days = sorted({day + timedelta(days=near) for day in received for near in (-1, 0, 1)})
        files = [file for day in days for file in past.files(self.store, QUARANTINE, day)]
        kept = deduplicate.quarantine(self.store, rows, files)
        yield Kept(epoch, QUARANTINE, kept.slice(0, 0), len(rows) - len(kept))
        for _, part in tables.partitions(kept):
            yield Kept(epoch, QUARANTINE, part, len(part))


class Write(Room):
    """Kept -> (epoch, Outcome), once the files are durable."""

    def process(self, element: Kept) -> Iterator[tuple[int, Outcome]]:
        """Writes one Parquet object, or several where they would be large."""
        rows, table = element.rows, element.table
        parameters = epochs.sealed(self.store, element.epoch).parameters
        files = write.write(self.store, rows, table, element.epoch, parameters)
        reasons = write.reasons(rows) if table == QUARANTINE else {}
        count = TableCount(published=len(rows), duplicates=element.came - len(rows))
        yield element.epoch, Outcome(tables={table: count}, files=tuple(files), reasons=reasons)


class Commit(Room):
    """(epoch, all its Outcomes) -> its Manifest. The last step: nothing of the epoch is missing now."""

    def process(self, element: tuple[int, Iterable[Outcome]]) -> Iterator[object]:
        """Commits, then deletes what the manifest covers."""
        epoch, outcomes = element
        yield epochs.commit(self.store, epochs.sealed(self.store, epoch), outcomes)
        past = history.load(self.store, history.before(self.store, epoch))
        epochs.retire(self.store, past)
        epochs.expire(self.store, past, timedelta(seconds=self._settings.retention_seconds))


def _outcome(held: Retained) -> Outcome:
    return Outcome(
        received=held.received,
        subscriptions={
            held.contents.source.subscription: Received(held.received, held.contents.covered_until)
        },
        tables={table: TableCount(erased=rows) for table, rows in held.account.suppressed.items()},
        retained=(held.copy,),
        unreadable=held.unreadable,
        blanked=held.account.blanked,
    )


def _shards(rows: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    shards = np.asarray(rows["date"].cast(pa.int32())) % _SHARDS
    found = np.unique(shards).tolist()
    for shard in found:
        yield shard, rows if len(found) == 1 else rows.filter(pa.array(shards == shard))


def _to_bytes(rows: pa.Table) -> bytes:
    """Compressed: those of a whole epoch are kept in memory, by runners several times over."""
    sink = pa.BufferOutputStream()
    options = pa.ipc.IpcWriteOptions(compression="lz4")
    with pa.ipc.new_stream(sink, rows.schema, options=options) as stream:
        stream.write_table(rows)
    return bytes(sink.getvalue())


def _from_bytes(data: bytes) -> pa.Table:
    with pa.ipc.open_stream(data) as stream:
        return stream.read_all()
