"""Makes a lake with a history, quickly: a month of one-minute epochs (43,200), committed, as publishing leaves it.

Or of another length: 35,040 epochs of 15 minutes are the year that the defaults make.

Every object is what the rooms of publish write: files of rows that were decoded from deliveries, one for each epoch
and table; seals, manifests, checkpoints; the retained copies of the last day. `audit --deep` passes. Only what would
take hours is left out: a Beam run for each epoch, and waiting for the disk.

    python benchmarks/month.py LAKE [EPOCHS [TABLES [MINUTES]]]
"""

import functools
import multiprocessing
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime, timedelta

import lake
import pyarrow as pa
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.events import tables
from wgtwo_pipeline.events.decode import decode
from wgtwo_pipeline.lake import checkpoint, epochs, journal, lake_format
from wgtwo_pipeline.lake.manifest import (
    Manifest,
    Parameters,
    Received,
    Sealed,
    SegmentRef,
    TableCount,
    manifest_key,
    sealed_key,
)
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.outcomes import Outcome, combine
from wgtwo_pipeline.lake.retained import retain
from wgtwo_pipeline.lake.store import LakeLocation, Store
from wgtwo_pipeline.publish import write

EPOCHS = 30 * 24 * 60
TABLES = 3
START = datetime.fromtimestamp(lake.START_SECONDS, UTC)
MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
SOURCE = journal.Source("v0.benchmark", "v0", "Subscribe")


def make(folder: str, number: int = EPOCHS, of_tables: int = TABLES, minutes: int = 1) -> None:
    """Fills a new lake with so many epochs of so many minutes, each with a file of one event for so many tables."""
    store = open_store(LakeLocation(folder))
    store.check()
    lake_format.ensure(store)
    epochs.keep_descriptors(store, tables.current_descriptors())
    every, end = epochs.CHECKPOINT_EVERY_EPOCHS, number + 1
    batches = [range(first, min(first + every, end)) for first in range(1, end, every)]
    publish_batch = functools.partial(publish, folder, of_tables, minutes, number - DAY // (minutes * MINUTE))
    with ProcessPoolExecutor(mp_context=multiprocessing.get_context("spawn")) as processes:
        for manifests in processes.map(publish_batch, batches):
            if len(manifests) == every:
                checkpoint.write(store, checkpoint.newest(store), manifests)


def publish(folder: str, of_tables: int, minutes: int, expired: int, batch: range) -> list[Manifest]:
    """Publishes some epochs; the retained copies of those up to `expired` are not there."""
    os.fsync = lambda _: None
    store, descriptors = open_store(LakeLocation(folder)), tables.current_descriptors()
    parameters = Parameters(epochs.keep_descriptors(store, descriptors))
    deliveries = pa.concat_batches([received(epoch, of_tables, minutes) for epoch in batch])
    decoded = decode(deliveries, api=SOURCE.api, method=SOURCE.method, descriptors=descriptors)
    manifests = []
    for at, epoch in enumerate(batch):
        rows = {name: table.slice(at, 1) for name, table in decoded.tables.items()}
        manifests.append(commit(store, parameters, epoch, rows, minutes, keep=epoch > expired))
    return manifests


def received(epoch: int, of_tables: int = TABLES, minutes: int = 1) -> pa.RecordBatch:
    """The deliveries of an epoch: an event for each of so many tables, in its first minute."""
    moment = START + epoch * minutes * MINUTE
    payloads = []
    for number, event in enumerate(lake.bodies()[:of_tables]):
        event.metadata.sequence = epoch * of_tables + number
        event.timestamp.FromDatetime(moment)
        payloads.append(v0.SubscribeEventsResponse(event=event).SerializeToString())
    return journal.batch(payloads, [int(moment.timestamp()) * 1_000_000] * len(payloads))


def commit(
    store: Store, parameters: Parameters, epoch: int, rows: dict[str, pa.Table], minutes: int, *, keep: bool
) -> Manifest:
    """Seals an epoch of one segment, writes its files and commits it; `keep`: its retained copy has not expired."""
    moment, count = START + epoch * minutes * MINUTE, len(rows)
    segment = journal.SegmentName(SOURCE.subscription, moment, "benchmark", epoch, count).key
    data = journal.encode(SOURCE, "benchmark", epoch, moment, received(epoch, count, minutes))
    member = SegmentRef(segment, count, len(data))
    copy = SegmentRef(f"retained/{epoch:010d}-0000.arrow", count, len(data))
    store.create(sealed_key(epoch), Sealed(epoch, moment, "benchmark", parameters, (member,)).to_bytes())
    if keep:
        store.create(segment, data)
        copy = retain(store, epoch, 0, [member]).copy
        store.delete([segment])
    files = [
        file for name, table in rows.items() for file in write.write(store, table, name, epoch, parameters)
    ]
    outcome = Outcome(
        received=count,
        subscriptions={SOURCE.subscription: Received(count, moment)},
        tables={name: TableCount(published=1) for name in rows},
        files=tuple(files),
        retained=(copy,),
    )
    manifest = combine(epoch, moment, epoch - 1, [outcome])
    store.create(manifest_key(epoch), manifest.to_bytes())
    return manifest


if __name__ == "__main__":
    make(sys.argv[1], *map(int, sys.argv[2:]))
