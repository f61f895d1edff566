"""What an erasure costs: one and fifty subscribers of a day of SMS, in few epochs and in many; and suppression.

    python benchmarks/erase.py [--events N] [--epochs N …] [--suppress N]

Each epoch is a file. The lakes are made by the rooms of publish, each in a process of its own, so that the peak of
memory is the eraser's. Requests are those to the store, as S3 would count them. Keep the machine otherwise idle.
"""

import argparse
import logging
import multiprocessing
import resource
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))

import lakes
import numpy as np
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.erase.settings import ByHand, Erasing
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation, Store
from wgtwo_pipeline.run.erasing import Eraser

SUBSCRIBERS = 20_000
SELDOM, SELDOM_EPOCHS = SUBSCRIBERS, 10
"""One more subscriber, with an event in each of so many epochs, whatever their number."""
SOURCE = Source("v0.benchmark", "v0", "Subscribe")
DAY_SECONDS, START_SECONDS = 86_400, 1_793_491_200
ROUNDS = 5
COUNTED = ("create", "read", "read_tagged", "replace", "list", "open")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, nargs="*", default=[10, 96, 1_000, 1_440])
    parser.add_argument("--suppress", type=int, default=100_000, help="events of an epoch that is published")
    chosen = parser.parse_args()
    logging.disable(logging.WARNING)
    for epochs in chosen.epochs:
        with tempfile.TemporaryDirectory() as folder:
            for work in (fill, measure):
                alone(work, folder, chosen.events, epochs)
    if chosen.suppress:
        with tempfile.TemporaryDirectory() as folder:
            measure_suppression(Path(folder), chosen.suppress)


def alone(work: Callable[..., None], *arguments: object) -> None:
    """Does it in a process of its own."""
    process = multiprocessing.get_context("spawn").Process(target=work, args=arguments)
    process.start()
    process.join()
    if process.exitcode:
        sys.exit(process.exitcode)


def fill(folder: str, events: int, epochs: int) -> None:
    store, chance = open_store(LakeLocation(folder)), np.random.default_rng(1)
    store.check()
    per_epoch = events // epochs
    for epoch in range(epochs):
        owners = chance.integers(SUBSCRIBERS, size=per_epoch)
        if epoch % (epochs // SELDOM_EPOCHS) == 0:
            owners[0] = SELDOM
        journal(store, owners, epoch * per_epoch, DAY_SECONDS / events)
        lakes.publish(store, retention_seconds=0.0)


def measure(folder: str, events: int, epochs: int) -> None:
    logging.disable(logging.WARNING)
    store = open_store(LakeLocation(folder))
    size = sum(info.size for info in store.list("tables/")) / 1e6
    print(f"a day of {events:,} SMS of {SUBSCRIBERS:,} subscribers in {epochs:,} files, {size:.0f} MB")
    eraser, requests = Eraser(configuration(store)), counting(store)
    for what, subscribers in {
        "one, without an index, which is made": range(1),
        "one": range(1, 2),
        "fifty": range(2, 52),
        f"one of {SELDOM_EPOCHS} files": range(SELDOM, SELDOM + 1),
    }.items():
        requests.clear()
        clock, processor = time.perf_counter(), time.process_time()
        (receipt,) = eraser.erase(ByHand(numbers_file="given"), [number(each) for each in subscribers])
        seconds, spent = time.perf_counter() - clock, time.process_time() - processor
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
        print(
            f"| {what} | {receipt.rows:,} events | {receipt.files:,} of {receipt.looked_at:,} files | "
            f"{seconds:.1f} s, {spent:.1f} s of CPU | {requests.total():,} requests {dict(requests)} | "
            f"{peak} MiB |",
            flush=True,
        )


def counting(store: Store) -> Counter[str]:
    """Counts the store's requests from now on; a listing is one, however long."""
    found: Counter[str] = Counter()

    def counted(name: str) -> Callable[..., object]:
        method = getattr(type(store), name)

        def count(self: Store, *arguments: object, **more: object) -> object:
            found[name] += 1
            return method(self, *arguments, **more)

        return count

    for name in COUNTED:
        setattr(type(store), name, counted(name))
    return found


def measure_suppression(folder: Path, events: int) -> None:
    """Publishing with and without requests in force, in turns, each owner of ten events; CPU an event."""
    start = datetime.fromtimestamp(START_SECONDS, UTC)
    stores = {}
    for name, before in {
        "without a request": None,
        "with fifty in force, events later than they ask for": start,
        "with fifty in force, events as old as they ask for": datetime.now(UTC),
    }.items():
        stores[name] = open_store(LakeLocation(str(folder / name)))
        stores[name].check()
        if before:
            asked = ByHand(numbers_file="given", before=before)
            list(Eraser(configuration(stores[name])).erase(asked, [number(each) for each in range(50)]))
    owners, spent = np.arange(events) // 10 + 50, {name: [] for name in stores}
    for turn in range(ROUNDS + 1):
        for name, store in stores.items():
            journal(store, owners, turn * events, 0.01)
            processor = time.process_time()
            manifest = lakes.publish(store, retention_seconds=0.0)
            spent[name].append((time.process_time() - processor) * 1e6 / events)
            assert manifest.published == events
    print(f"publish of {events:,} events of {events // 10:,} owners, µs of CPU each (the first round apart)")
    for name, times in spent.items():
        print(
            f"| {name} | {statistics.median(times[1:]):.2f} | {', '.join(f'{each:.2f}' for each in times)} |"
        )


def configuration(store: Store) -> SimpleNamespace:
    return SimpleNamespace(
        lake=store.location,
        publishing=SimpleNamespace(
            partition_by="date", journal_retention_seconds=0.0, publish_every_seconds=900.0
        ),
        erasing=Erasing(),
        beam_args=("--runner=DirectRunner",),
    )


def journal(store: Store, owners: np.ndarray, first: int, spacing_seconds: float) -> None:
    now = time.time_ns() // 1_000
    payloads = list(sms(owners.tolist(), first, spacing_seconds))
    SegmentWriter(store).write(SOURCE, payloads, [now] * len(payloads))


def sms(owners: list[int], first: int, spacing_seconds: float) -> Iterator[bytes]:
    response = v0.SubscribeEventsResponse()
    for sequence, owner in enumerate(owners, first + 1):
        event = response.event
        event.metadata.sequence = sequence
        event.owner.phone_number.e164 = number(owner)
        seconds = START_SECONDS + sequence * spacing_seconds
        event.timestamp.seconds, event.timestamp.nanos = int(seconds), int(seconds % 1 * 1e9)
        message = event.sms_event
        message.id, message.text, message.direction = f"{sequence:032d}", "On my way, five minutes", 2
        message.from_e164.e164, message.to_e164.e164 = "+46701740699", number(owner)
        yield response.SerializeToString()


def number(subscriber: int) -> str:
    return f"+4790{subscriber:06d}"


if __name__ == "__main__":
    main()
