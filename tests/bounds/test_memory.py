"""Peak memory of real processes: the same for 1 and 100 times the backlog, 1 and 2,000 dates, small and large events.

Epochs are a tenth of their real size, so that a hundred of them take a minute; `benchmarks/bounds.py` measures the
real ones.
"""

import base64
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.lake import history
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

FLAT = 1.10
EPOCH_ROWS = 40_000
START_MICROSECONDS = 1_600_000_000_000_000
DAY_MICROSECONDS = 86_400_000_000

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(900)]


def sms(count: int, dates: int = 1, text_bytes: int = 60) -> Iterator[bytes]:
    """SMS; their texts cannot be compressed by much."""
    for sequence in range(1, count + 1):
        response = v0.SubscribeEventsResponse()
        event = response.event
        event.metadata.sequence = sequence
        event.timestamp.FromMicroseconds(
            START_MICROSECONDS + sequence % dates * DAY_MICROSECONDS + sequence * 50
        )
        event.sms_event.id = f"sms-{sequence}"
        event.sms_event.text = base64.b64encode(os.urandom(text_bytes * 3 // 4)).decode()
        yield response.SerializeToString()


def journal(folder: Path, payloads: Iterator[bytes], to_a_segment: int = 500) -> Path:
    store = open_store(LakeLocation(str(folder)))
    store.check()
    writer, waiting = SegmentWriter(store), list[bytes]()
    for payload in payloads:
        waiting.append(payload)
        if len(waiting) == to_a_segment:
            write(writer, waiting)
    write(writer, waiting)
    return folder


def write(writer: SegmentWriter, payloads: list[bytes]) -> None:
    writer.write(Source("v0.test", "v0", "Subscribe"), payloads, [START_MICROSECONDS] * len(payloads))
    payloads.clear()


def published(
    folder: Path, payloads: Iterator[bytes], count: int, to_a_segment: int = 500
) -> tuple[float, int]:
    """Peak megabytes of publishing them, and the number of epochs."""
    script = str(Path(__file__).with_name("publish_bounded.py"))
    lake = journal(folder / "lake", payloads, to_a_segment)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, script, str(EPOCH_ROWS), "--lake", str(lake)], stdout=log, stderr=log
        )
        _, process.returncode, usage = os.wait4(process.pid, 0)
    assert process.returncode == 0, (folder / "log").read_text()
    past = history.load(open_store(LakeLocation(str(lake))))
    assert past.totals.published == count
    return usage.ru_maxrss / 1024, past.committed


def assert_flat(figures: Sequence[tuple[str, float]]) -> None:
    sys.stdout.writelines(f"{name}: {megabytes:,.0f} MB\n" for name, megabytes in figures)
    peaks = [megabytes for _, megabytes in figures]
    assert max(peaks) <= FLAT * peaks[0], figures


def test_a_hundred_times_the_backlog_takes_no_more_memory(tmp_path: Path):
    """One full epoch, ten, and a hundred."""
    figures = []
    for times in (1, 10, 100):
        count = times * EPOCH_ROWS
        megabytes, committed = published(tmp_path / str(times), sms(count), count)
        assert committed == times
        figures.append((f"{times} epochs of {EPOCH_ROWS:,} events", megabytes))
    assert_flat(figures)


def test_two_thousand_dates_take_no_more_memory_than_one(tmp_path: Path):
    """In one epoch."""
    figures = []
    for dates in (1, 50, 2_000):
        megabytes, committed = published(tmp_path / str(dates), sms(EPOCH_ROWS, dates), EPOCH_ROWS)
        assert committed == 1
        figures.append((f"{EPOCH_ROWS:,} events of {dates:,} dates", megabytes))
    assert_flat(figures)


def test_a_backlog_of_large_events_takes_no_more_memory_than_one_epoch_of_them(tmp_path: Path):
    """4 MiB each: from the 8 that fill an epoch to a hundred times as many bytes as a small epoch has."""
    figures = []
    for count in (16, 48, 160):
        megabytes, _ = published(tmp_path / str(count), sms(count, text_bytes=4 << 20), count, 4)
        figures.append((f"{count} events of 4 MiB", megabytes))
    assert_flat(figures)
