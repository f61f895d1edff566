"""Rows/s of `ReadFromWgtwoLake` against Beam's own `ReadFromParquet` on the same files, and from receipt to a DoFn.

Each reader counts the rows of one table on the in-process runner, as rows or as batches, in a process of its own on
one core, in turns; what counts is the median. Time is the process's CPU time, which a busy machine changes least.
What a pipeline costs that reads one row is measured first in each process, and not counted. The latency is that of
`ReadFromWgtwoJournal` beside an `ingest` of the sandbox: from `received_at` to the call of `process`, on the
in-process runner and, where `make tools` has installed it, on Prism.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRISM = ROOT / ".tools" / "bin" / "prism"
READERS = ("ReadFromWgtwoLake", "ReadFromParquet", "ReadBatchesFromWgtwoLake", "ReadFromParquetBatched")
PAIRS = (READERS[:2], READERS[2:])
ADDRESS = "127.0.0.1:50251"


def rows_of(reader: str, lake: Path) -> int:
    """How many rows a pipeline counts; imports Beam."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from wgtwo_pipeline import Lake
    from wgtwo_pipeline.beam import ReadBatchesFromWgtwoLake, ReadFromWgtwoLake

    last, files = Lake(lake).status()["epochs"], str(lake / "tables/sms/day=*/*.parquet")
    source, batched = {
        "ReadFromWgtwoLake": (lambda: ReadFromWgtwoLake(lake, "sms", stop_epoch=last), False),
        "ReadFromParquet": (lambda: beam.io.ReadFromParquet(files), False),
        "ReadBatchesFromWgtwoLake": (lambda: ReadBatchesFromWgtwoLake(lake, "sms", stop_epoch=last), True),
        "ReadFromParquetBatched": (lambda: beam.io.ReadFromParquetBatched(files), True),
    }[reader]
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner"]))
    sizes = pipeline | source() | beam.Map(len if batched else lambda _: 1) | beam.CombineGlobally(sum)
    sizes | beam.Map(lambda total: beam.metrics.Metrics.counter("benchmark", "rows").inc(total))
    result = pipeline.run()
    result.wait_until_finish()
    (counter,) = result.metrics().query(
        beam.metrics.MetricsFilter().with_name("rows").with_namespace("benchmark")
    )["counters"]
    return int(counter.committed)


def read(reader: str, one: Path, many: Path) -> None:
    """Prints the rows and the CPU seconds that they took more than one row."""
    rows_of(reader, one)  # imports
    idle = timed(reader, one)[1]
    rows, seconds = timed(reader, many)
    print(json.dumps({"rows": rows, "seconds": seconds - idle}))


def timed(reader: str, lake: Path) -> tuple[int, float]:
    started = time.process_time()
    return rows_of(reader, lake), time.process_time() - started


def receive(lake: str, out: str, runner: str) -> None:
    """Writes each delivery's age in seconds, for ever."""
    import apache_beam as beam
    from apache_beam.options.pipeline_options import PipelineOptions
    from wgtwo_pipeline.beam import ReadFromWgtwoJournal

    def note(delivery: object) -> None:
        age = time.time() - delivery.received_at.micros / 1e6  # type: ignore[attr-defined]
        with Path(out).open("a") as file:
            file.write(f"{age}\n")

    arguments = [f"--runner={runner}", *([f"--prism_location={PRISM}"] if runner == "PrismRunner" else [])]
    with beam.Pipeline(options=PipelineOptions(arguments, streaming=True)) as pipeline:
        pipeline | ReadFromWgtwoJournal(lake, start="new") | beam.Map(note)


def child(*arguments: object, core: bool = False) -> subprocess.Popen[str]:
    cores = {max(os.sched_getaffinity(0))} if core else os.sched_getaffinity(0)
    command = [sys.executable, *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT, start_new_session=True,
        preexec_fn=lambda: os.sched_setaffinity(0, cores),
    )  # fmt: skip


def output(*arguments: object, core: bool = False) -> str:
    process = child(*arguments, core=core)
    out, _ = process.communicate()
    assert process.returncode == 0, arguments
    return out


@contextmanager
def running(*arguments: object) -> Iterator[None]:
    """For as long as the block takes, with all that it starts."""
    process = child(*arguments)
    try:
        yield
        assert process.poll() is None, arguments
    finally:
        os.killpg(process.pid, 15)
        process.wait()


def fill(lake: Path, events: int) -> None:
    output(ROOT / "benchmarks/lake.py", lake, events, "sms_event")
    output("-m", "wgtwo_pipeline", "publish", "--lake", lake, "--log-level", "error")


def throughput(folder: Path, rounds: int, events: int) -> None:
    fill(folder / "one", 1)
    fill(folder / "many", events)
    rates: dict[str, list[float]] = {reader: [] for reader in READERS}
    for _ in range(rounds):
        for reader in READERS:
            read = json.loads(output(__file__, "--read", reader, folder / "one", folder / "many", core=True))
            assert read["rows"] == events, (reader, read)
            rates[reader].append(events / read["seconds"])
    for pair in PAIRS:
        for reader in pair:
            found = rates[reader]
            print(
                f"| {reader}, rows/s | {statistics.median(found):,.0f}; {min(found):,.0f} to {max(found):,.0f} |"
            )
        ratios = [ours / theirs for ours, theirs in zip(rates[pair[0]], rates[pair[1]], strict=True)]
        print(
            f"| the first / the second | {statistics.median(ratios):.2f}; {min(ratios):.2f} to {max(ratios):.2f} |",
            flush=True,
        )


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "nothing came within two minutes"
        time.sleep(0.1)


def latency(folder: Path, runner: str, seconds: float) -> None:
    lake, ages = folder / f"lake-{runner}", folder / f"ages-{runner}"
    lake.mkdir()
    module = ("-m", "wgtwo_pipeline")
    with (
        running(*module, "sandbox", "--address", ADDRESS, "--rate", "50", "--log-level", "error"),
        running(
            *module, "ingest", "--endpoint", ADDRESS, "--plaintext", "--lake", lake, "--log-level", "error"
        ),
    ):
        wait_for(lambda: any(lake.glob("journal/**/*.arrow")))
        with running(__file__, "--receive", lake, ages, runner):
            wait_for(ages.exists)
            time.sleep(5)  # what waited until it had started is older
            skipped = len(ages.read_text().splitlines())
            time.sleep(seconds)
            found = sorted(float(line) for line in ages.read_text().splitlines()[skipped:-1])
    p50, p95 = (found[int(len(found) * share)] for share in (0.5, 0.95))
    print(f"| receipt to DoFn on {runner} | p50 {p50:.2f} s, p95 {p95:.2f} s of {len(found):,} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=20, help="that the latency is measured for")
    parser.add_argument("--read", nargs=3, metavar=("READER", "ONE", "MANY"), help=argparse.SUPPRESS)
    parser.add_argument("--receive", nargs=3, metavar=("LAKE", "OUT", "RUNNER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        return read(options.read[0], *map(Path, options.read[1:]))
    if options.receive:
        return receive(*options.receive)
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        load = os.getloadavg()[0]
        print(f"source: {options.rounds} rounds of {options.events:,} SMS, local lake, load {load:.0f}")
        throughput(folder, options.rounds, options.events)
        for runner in ("FnApiRunner", *(["PrismRunner"] if PRISM.exists() else [])):
            latency(folder, runner, options.seconds)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
