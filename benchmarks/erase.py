"""What an erasure costs: one and fifty subscribers of a day of SMS, in a few epochs and in many; and suppression.

`python benchmarks/erase.py --events 100000 --epochs 12 96`. Each epoch is a file. The lake is made in a temporary
folder by the real publisher. Keep the machine otherwise idle.
"""

import argparse
import logging
import resource
import tempfile
import time
from types import SimpleNamespace

import numpy as np
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.erase.settings import ByHand, Erasing
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.run import jobs
from wgtwo_pipeline.run.erasing import Eraser

SUBSCRIBERS = 20_000
SOURCE = Source("v0.benchmark", "v0", "Subscribe")
DAY_SECONDS, START_SECONDS = 86_400, 1_793_491_200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--epochs", type=int, nargs="+", default=[12, 96])
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    for epochs in chosen.epochs:
        with tempfile.TemporaryDirectory() as folder:
            measure(folder, chosen.events, epochs)


def measure(folder: str, events: int, epochs: int) -> None:
    store = open_store(LakeLocation(folder))
    store.check()
    config = SimpleNamespace(
        lake=store.location,
        publishing=SimpleNamespace(
            partition_by="date", journal_retention_seconds=0.0, publish_every_seconds=900.0
        ),
        erasing=Erasing(),
        beam_args=("--runner=DirectRunner",),
    )
    publisher, chance = jobs.Publisher(config), np.random.default_rng(1)
    per_epoch = events // epochs
    for epoch in range(epochs):
        fill(store, chance, epoch * per_epoch, per_epoch, events)
        list(publisher.publish_all())
    print(f"{events:,} SMS of {SUBSCRIBERS:,} subscribers in {epochs:,} epochs")
    eraser = Eraser(config)
    for first, count in ((0, 1), (1, 50)):
        lines = [number(subscriber) for subscriber in range(first, first + count)]
        clock, processor = time.perf_counter(), time.process_time()
        (receipt,) = eraser.erase(ByHand(numbers_file="given"), lines)
        print(
            f"  {count:>2} subscribers: {receipt.rows:,} events in {receipt.files:,} of {receipt.looked_at:,} files, "
            f"{time.perf_counter() - clock:.1f} s, {time.process_time() - processor:.1f} s of CPU, "
            f"peak {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB"
        )
    for what in ("with what is in force", "the same again"):
        fill(store, chance, 0, per_epoch, events)
        processor = time.process_time()
        (manifest,) = publisher.publish_all()
        spent = time.process_time() - processor
        print(
            f"  publish of {per_epoch:,} {what}: {manifest.erased:,} erased, {spent * 1e6 / per_epoch:.1f} µs each"
        )


def fill(store, chance, first: int, count: int, events: int) -> None:
    response = v0.SubscribeEventsResponse()
    payloads = []
    for sequence, owner in enumerate(chance.integers(SUBSCRIBERS, size=count).tolist(), first + 1):
        event = response.event
        event.metadata.sequence = sequence
        event.owner.phone_number.e164 = number(owner)
        seconds = START_SECONDS + sequence * DAY_SECONDS / events
        event.timestamp.seconds, event.timestamp.nanos = int(seconds), int(seconds % 1 * 1e9)
        sms = event.sms_event
        sms.id, sms.text, sms.direction = f"{sequence:032d}", "On my way, five minutes", 2
        sms.from_e164.e164, sms.to_e164.e164 = "+46701740699", number(owner)
        payloads.append(response.SerializeToString())
    now = time.time_ns() // 1_000
    SegmentWriter(store).write(SOURCE, payloads, [now] * len(payloads))


def number(subscriber: int) -> str:
    return f"+4790{subscriber:06d}"


if __name__ == "__main__":
    main()
