"""A group of an epoch's segments becomes rows, cut so that what may be equal stays together, and an account of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa

from wgtwo_pipeline.errors import NotFoundError
from wgtwo_pipeline.events.forget import Suppressed, suppress
from wgtwo_pipeline.lake import epochs, erasures, history
from wgtwo_pipeline.lake.journal import Source
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.manifest import Received, TableCount
from wgtwo_pipeline.lake.outcomes import Outcome
from wgtwo_pipeline.lake.retained import Retained, Suppress, retain
from wgtwo_pipeline.lake.store import Store

Key = tuple[int, str, int]
"""Epoch, table and shard: what may be equal is in one shard.

A table's shards are by date: with one for each date, an epoch of thousands of dates would fall apart into
hundreds of thousands of parts. The quarantine is one shard: its dates are of receipt, so a delivery and its
redelivery may have different ones.
"""

_SHARDS: Final = 16


@dataclass(frozen=True)
class Decoded:
    """What a group holds: its rows as bytes (`from_bytes` reads them), and what is to be accounted for."""

    epoch: int
    number: int
    outcome: Outcome | None = None
    parts: tuple[tuple[Key, bytes], ...] = ()


def decode(store: Store, group: epochs.Group) -> Decoded:
    """Decodes a group, and keeps a copy of its deliveries, in one object instead of many; idempotent.

    Reads segments concurrently; an event that cannot become a row becomes one of the quarantine. Nothing at all if
    the epoch was committed long ago. Raises LakeError.
    """
    if not group.segments:
        return Decoded(group.epoch, group.number, Outcome())
    parameters = epochs.sealed(store, group.epoch).parameters
    descriptors = epochs.descriptors(store, parameters.descriptors)
    try:
        subjects = erasures.subjects(store, parameters.erasures)
    except NotFoundError:
        if history.before(store, group.epoch):
            raise
        return Decoded(group.epoch, group.number)  # who it was to suppress is no longer known

    def read(source: Source, deliveries: pa.RecordBatch) -> Suppressed:
        return suppress(deliveries, subjects, api=source.api, method=source.method, descriptors=descriptors)

    held = retain(store, group.epoch, group.number, group.segments, read if subjects else None)
    if not held:
        return Decoded(group.epoch, group.number)
    parts = tuple(_parts(group.epoch, held, read)) if held.copy.rows else ()
    return Decoded(group.epoch, group.number, _outcome(held), parts)


def from_bytes(data: bytes) -> pa.Table:
    """The rows of a part."""
    with pa.ipc.open_stream(data) as stream:
        return stream.read_all()


def _parts(epoch: int, held: Retained, read: Suppress) -> Iterator[tuple[Key, bytes]]:
    decoded = held.decoded or read(held.contents.source, held.contents.deliveries).decoded
    assert decoded is not None
    for table, rows in decoded.tables.items():
        for shard, part in _shards(rows):
            yield (epoch, table, shard), _to_bytes(part)
    if len(decoded.quarantine):
        yield (epoch, QUARANTINE, 0), _to_bytes(decoded.quarantine)


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
