"""Peak memory of `publish` and `ingest` over growing backlogs, dates and events, and cold starts after a month.

`tests/bounds` assert that the memory is flat (there also for `ingest` of 4 MiB events) and what a cold start reads.
Each figure is of a process of its own: the largest resident size that the kernel has counted for it.
"""

import argparse
import base64
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import lake
import month
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

ROOT = Path(__file__).resolve().parent.parent
DAY_MICROSECONDS = 86_400_000_000


def sms(dates: int = 1, text_bytes: int = 40) -> Iterator[bytes]:
    """SMS without end, each of another date than the one before."""
    text = (
        base64.b64encode(os.urandom(text_bytes * 3 // 4)).decode() if text_bytes > 100 else "x" * text_bytes
    )
    for sequence in itertools.count(1):
        microseconds = sequence % dates * DAY_MICROSECONDS + sequence * 50
        response = v0.SubscribeEventsResponse()
        response.event.metadata.sequence = sequence
        response.event.metadata.ack_inbox = "_INBOX.acks.benchmark"
        response.event.timestamp.FromMicroseconds(1_600_000_000_000_000 + microseconds)
        response.event.sms_event.id = f"sms-{sequence}"
        response.event.sms_event.text = text
        yield response.SerializeToString()


def journal(folder: Path, payloads: Iterator[bytes], events: int, segment_events: int = 500) -> Path:
    store = open_store(LakeLocation(str(folder)))
    store.check()
    writer, source = SegmentWriter(store), Source("v0.benchmark", "v0", "Subscribe")
    for first in range(0, events, segment_events):
        batch = list(itertools.islice(payloads, min(segment_events, events - first)))
        writer.write(source, batch, [time.time_ns() // 1000] * len(batch))
    return folder


def peak(*arguments: object, env: dict[str, str] | None = None) -> tuple[float, float]:
    """Seconds and peak megabytes of a command."""
    started = time.monotonic()
    command = [sys.executable, "-m", "wgtwo_pipeline", *map(str, arguments)]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL
    )
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0, command
    return time.monotonic() - started, usage.ru_maxrss / 1024


def publish(folder: Path) -> tuple[float, float]:
    try:
        return peak("publish", "--lake", folder, "--log-level", "error")
    finally:
        shutil.rmtree(folder)


@contextlib.contextmanager
def service(events: int) -> Iterator[list[str]]:
    """The options that name a service with so many events; it sends them as fast as they are taken."""
    command = [ROOT / ".tools" / "bin" / "loadserver", "--events", str(events)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            yield ["--endpoint", json.loads(server.stdout.readline())["address"], "--plaintext"]
        finally:
            server.terminate()


def ingest(folder: Path, events: int) -> tuple[float, float]:
    with service(events) as options:
        limits = ["--max-events", events, "--max-in-flight", 200, "--log-level", "error"]
        return peak("ingest", "--lake", folder, *options, *limits)


def after(epochs: int, folder: Path, of_tables: int, minutes: int) -> None:
    """What commands take at their start, in a lake with so many epochs."""
    # By a process of its own: the kernel counts what this one holds for those that it starts.
    make = [sys.executable, month.__file__, folder, epochs, of_tables, minutes]
    subprocess.run([*map(str, make)], check=True)
    store = open_store(LakeLocation(str(folder)))
    lake_options = ["--lake", folder, "--log-level", "error"]
    what = f"after {epochs:,} epochs of {minutes} min and {of_tables} files"
    for command in ("status", "audit"):
        show(f"{command} {what}", *peak(command, *lake_options))
    payloads = month.received(epochs + 1, of_tables, minutes)["payload"].to_pylist()
    SegmentWriter(store).write(month.SOURCE, payloads, [time.time_ns() // 1000] * of_tables)
    show(f"publish one more {what}", *peak("publish", *lake_options))
    show(f"ingest one event {what}", *ingest(folder, 1))
    shutil.rmtree(folder)


def show(name: str, seconds: float, megabytes: float) -> None:
    print(f"| {name} | {megabytes:,.0f} MB | {seconds:.1f} s |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--backlog", type=int, nargs="*", default=[10_000, 100_000, 300_000, 1_000_000, 3_000_000]
    )
    parser.add_argument("--dates", type=int, nargs="*", default=[1, 30, 2_000])
    parser.add_argument("--large", type=int, nargs="*", default=[1, 10, 100, 300])
    parser.add_argument("--ingest", type=int, nargs="*", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--epochs", type=int, nargs="*", default=[1, month.EPOCHS])
    parser.add_argument("--tables", type=int, default=month.TABLES, help="files in each of these epochs")
    parser.add_argument(
        "--minutes", type=int, default=1, help="length of these epochs; 35,040 of 15 are a year"
    )
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="bounds-"))
    try:
        for events in options.backlog:
            show(f"publish {events:,} events", *publish(journal(folder / "a", lake.payloads(), events)))
        for dates in options.dates:
            made = journal(folder / "b", sms(dates), 200_000)
            show(f"publish 200,000 SMS of {dates:,} dates", *publish(made))
        for events in options.large:
            made = journal(folder / "c", sms(text_bytes=4 << 20), events, segment_events=25)
            show(f"publish {events:,} events of 4 MiB, 25 to a segment", *publish(made))
        for events in options.ingest:
            show(f"ingest {events:,} events, 200 in flight", *ingest(folder / "d", events))
            shutil.rmtree(folder / "d")
        for epochs in options.epochs:
            after(epochs, folder / "e", options.tables, options.minutes)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
