"""Events/s of `publish` on one core against a bare script on the same segments, and its peak memory.

Both run as processes of their own, bound to one core, in turns; what counts is the median. The start-up of each
(importing Beam takes publish seconds; `run` pays it once) is measured in each round, by a run with one event and one
that only imports, and not counted.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def timed(command: list[str]) -> tuple[float, float]:
    """Seconds and peak megabytes of a process on one core."""
    os.sync()  # else the first fsync, which the bare script has none of, also pays for what others have written
    started = time.monotonic()
    core = {max(os.sched_getaffinity(0))}
    process = subprocess.Popen(command, cwd=ROOT, preexec_fn=lambda: os.sched_setaffinity(0, core))
    _, status, usage = os.wait4(process.pid, 0)
    assert status == 0, command
    return time.monotonic() - started, usage.ru_maxrss / 1024


def fill(lake: Path, events: int) -> None:
    subprocess.run(
        [sys.executable, ROOT / "benchmarks/lake.py", str(lake), str(events)], check=True, cwd=ROOT
    )


def publish(lake: Path) -> tuple[float, float]:
    return timed(
        [sys.executable, "-m", "wgtwo_pipeline", "publish", "--lake", str(lake), "--log-level", "error"]
    )


def one_event(lake: Path) -> float:
    fill(lake, 1)
    return publish(lake)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument(
        "--memory", type=int, default=10, help="also publish so many times as many, for its memory"
    )
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        imports = "import sys; sys.argv[1:] = []; import ptars, pyarrow.parquet, wgtwo.events.v0.events_pb2"
        fill(folder / "journal", options.events)
        ours, theirs, starts, memory = [], [], [], []
        for number in range(options.rounds):
            lake = folder / f"lake{number}"
            shutil.copytree(folder / "journal", lake)
            idle_script = timed([sys.executable, "-c", imports])[0]
            bare = timed([sys.executable, str(ROOT / "benchmarks/script.py"), str(lake), str(folder / "out")])
            idle = one_event(folder / f"one{number}")
            seconds, megabytes = publish(lake)
            ours.append(options.events / (seconds - idle))
            theirs.append(options.events / (bare[0] - idle_script))
            starts.append((idle, idle_script))
            memory.append(megabytes)
            shutil.rmtree(lake)
            shutil.rmtree(folder / "out")
        idle, idle_script = (statistics.median(each) for each in zip(*starts, strict=True))
        ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
        print(f"publish: {options.rounds} rounds of {options.events:,} events on one core, local lake")
        print(f"| publish, events/s | {statistics.median(ours):,.0f} (after a start of {idle:.1f} s) |")
        print(
            f"| bare script, events/s | {statistics.median(theirs):,.0f} (after a start of {idle_script:.1f} s) |"
        )
        print(
            f"| publish / script | {statistics.median(ratios):.2f}; {min(ratios):.2f} to {max(ratios):.2f} |"
        )
        print(f"| peak memory | {statistics.median(memory):,.0f} MB |", flush=True)
        if options.memory > 1:
            fill(folder / "large", options.events * options.memory)
            seconds, megabytes = publish(folder / "large")
            many = options.events * options.memory
            print(
                f"| peak memory with {many:,} events | {megabytes:,.0f} MB; {many / (seconds - idle):,.0f} events/s |"
            )
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
