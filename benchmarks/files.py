"""What few large files buy, and what the longer tail of the journal costs.

    python benchmarks/files.py [--events N] [--latency-ms N]

The same day of SMS in 1,440, 96 and 24 files, read by DuckDB from a local disk and from a real S3 server (versitygw)
behind a round trip of so many milliseconds. Then a journal that holds a minute at 5 segments/s, a quarter of an hour
at 5 segments/s, and what full speed brings until an epoch is worth it: how long its listing, `status` and
`query --fresh` take.
"""

import argparse
import itertools
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

import bounds
import duckdb
import numpy as np
import pyarrow as pa
from lake import START_SECONDS
from servers import toxiproxy, versitygw
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.events.decode import decode
from wgtwo_pipeline.events.tables import current_descriptors
from wgtwo_pipeline.lake import epochs, history, journal
from wgtwo_pipeline.lake.manifest import Parameters
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation, Store
from wgtwo_pipeline.publish import write

DAY_SECONDS = 86_400
FILES = (1_440, 96, 24)
SQL = {
    "count": "SELECT count(*) FROM {files}",
    "by hour": "SELECT date_part('hour', timestamp), count(*), max(length(text)) FROM {files} GROUP BY ALL",
    "one number": "SELECT count(*) FROM {files} WHERE from_e164 = '+4799990007'",
}
ROUNDS = 5
TAILS = {"a minute at 5/s": 300, "a quarter of an hour at 5/s": 4_500, "250,000 at full speed": 10_000}
SEGMENT_EVENTS = 25  # half of the 50 in flight that the service recommends


def day(events: int) -> pa.Table:
    """The rows of a day of SMS, evenly over its seconds."""

    def payloads() -> Iterator[bytes]:
        for number in range(events):
            event = v0.Event(
                service_id="service", owner={"phone_number": {"e164": f"+47999{number % 20_000:05d}"}}
            )
            event.metadata.sequence = number + 1
            event.timestamp.FromMicroseconds(
                START_SECONDS * 1_000_000 + number * DAY_SECONDS * 1_000_000 // events
            )
            event.sms_event.id = f"sms-{number}"
            event.sms_event.from_e164.e164 = f"+4799990{number % 1_000:03d}"
            event.sms_event.to_e164.e164 = f"+4799991{number * 7 % 1_000:03d}"
            event.sms_event.text = f"text {number * 2_654_435_761 % 10**9} " * 2
            yield v0.SubscribeEventsResponse(event=event).SerializeToString()

    parts, stream = [], payloads()
    while some := list(itertools.islice(stream, 50_000)):
        batch = journal.batch(some, [START_SECONDS * 1_000_000] * len(some))
        decoded = decode(batch, api="v0", method="Subscribe", descriptors=current_descriptors())
        parts.append(decoded.tables["sms"])
    return pa.concat_tables(parts)


def fill(store: Store, rows: pa.Table, files: int) -> int:
    """Writes the rows as so many epochs would; returns their bytes."""
    ends = np.linspace(0, len(rows), files + 1).astype(int)
    return sum(
        file.bytes
        for epoch, (start, end) in enumerate(itertools.pairwise(ends.tolist()), 1)
        for file in write.write(store, rows.slice(start, end - start), "sms", epoch, Parameters(""))
    )


def query(store: Store) -> dict[str, float]:
    """Seconds of each query, the median of some rounds after one that counts for nothing."""
    found = {}
    with duckdb.connect(config={"threads": 2}) as connection:
        if "://" in store.uri(""):
            connection.register_filesystem(store.filesystem())
        files = f"read_parquet('{store.uri('tables/sms')}/day=*/*.parquet')"
        for name, sql in SQL.items():
            rounds = [
                seconds(lambda sql=sql: connection.execute(sql.format(files=files)).fetchall())
                for _ in range(ROUNDS + 1)
            ]
            found[name] = statistics.median(rounds[1:])
    return found


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def compare_files(events: int, folder: Path, latency_ms: int) -> None:
    """The same rows in more and fewer files, at two places; the files are written without the latency."""
    rows = day(events)
    with versitygw(folder / "s3") as gateway, toxiproxy(gateway.endpoint.removeprefix("http://")) as proxy:
        os.environ.update(gateway.credentials.environment())
        gateway.client().create_bucket(Bucket="bench")
        print(f"a day of {events:,} SMS, read by DuckDB on 2 threads; seconds, and against 96 files")
        compare("local disk", rows, lambda files: LakeLocation(str(folder / f"{files}")), lambda: None)
        compare(
            f"S3, {latency_ms} ms",
            rows,
            lambda files: LakeLocation(f"s3://bench/{files}", proxy.endpoint, "us-east-1"),
            lambda: proxy.add("latency", latency=latency_ms),
        )


def compare(
    place: str, rows: pa.Table, at: Callable[[int], LakeLocation], slow_down: Callable[[], object]
) -> None:
    stores = {files: open_store(at(files)) for files in FILES}
    sizes = {}
    for files, store in stores.items():
        store.check()
        sizes[files] = fill(store, rows, files)
    slow_down()
    found = {files: query(store) for files, store in stores.items()}
    for files, times in found.items():
        took = ", ".join(f"{name} {each:.3f} ({each / found[96][name]:.1f})" for name, each in times.items())
        size = f"{sizes[files] / 1e6:.1f} MB ({sizes[files] / sizes[96]:.2f})"
        print(f"| {place} | {files:,} files | {size} | {took} |", flush=True)


def measure_tails(folder: Path) -> None:
    print("a journal that waits; seconds")
    for name, segments in TAILS.items():
        place = folder / f"tail-{segments}"
        bounds.journal(place, bounds.lake.payloads(), segments * SEGMENT_EVENTS, SEGMENT_EVENTS)
        store = open_store(LakeLocation(str(place)))
        past = history.load(store)
        listing = statistics.median(
            seconds(lambda store=store: list(journal.segments(store))) for _ in range(ROUNDS)
        )
        due = statistics.median(
            seconds(lambda store=store, past=past: epochs.due(store, past, epochs.Enough(900.0)))
            for _ in range(ROUNDS)
        )
        status, _ = bounds.peak("status", "--lake", place, "--log-level", "error")
        sql = "SELECT count(*) FROM events"
        fresh, memory = bounds.peak("query", sql, "--fresh", "--lake", place, "--log-level", "error")
        print(
            f"| {name} | {segments:,} segments, {segments * SEGMENT_EVENTS:,} deliveries | listing {listing:.3f} | "
            f"is it due? {due:.3f} | status {status:.1f} | query --fresh {fresh:.1f} ({memory:,.0f} MB) |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--latency-ms", type=int, default=20)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="files-"))
    try:
        measure_tails(folder)
        compare_files(options.events, folder, options.latency_ms)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
