"""Events/s of `publish` on one core and on two against a bare script on the same segments, and its peak memory.

Both run as processes of their own, bound to as many cores, in turns; what counts is the median. The start-up of each
(importing Beam takes publish seconds; `run` pays it once) is measured in each round, by a run with one event and one
that only imports, and not counted. Memory is that of all its processes together, at one moment; it is measured in a
run of its own, for looking takes time.
"""

import argparse
import contextlib
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def start(command: list[str], cores: int) -> subprocess.Popen[bytes]:
    """A process on so many cores."""
    os.sync()  # else the first fsync, which the bare script has none of, also pays for what others have written
    chosen = sorted(os.sched_getaffinity(0))[-cores:]
    return subprocess.Popen(command, cwd=ROOT, preexec_fn=lambda: os.sched_setaffinity(0, chosen))


def timed(command: list[str], cores: int) -> float:
    """Seconds until it has ended."""
    started = time.monotonic()
    process = start(command, cores)
    assert process.wait() == 0, command
    return time.monotonic() - started


def weighed(command: list[str], cores: int) -> float:
    """Peak megabytes of it and its children: what each holds, with its share of what several hold."""
    process, most = start(command, cores), 0
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    while process.poll() is None:
        with contextlib.suppress(OSError):
            most = max(most, sum(held_kilobytes(pid) for pid in [process.pid, *children.read_text().split()]))
        time.sleep(0.02)
    assert process.returncode == 0, command
    return most / 1024


def held_kilobytes(pid: int | str) -> int:
    with contextlib.suppress(OSError):  # it has ended
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1])
    return 0


def fill(lake: Path, events: int) -> None:
    subprocess.run(
        [sys.executable, ROOT / "benchmarks/lake.py", str(lake), str(events)], check=True, cwd=ROOT
    )


def publish(lake: Path) -> list[str]:
    return [sys.executable, "-m", "wgtwo_pipeline", "publish", "--lake", str(lake), "--log-level", "error"]


def script(lake: Path, out: Path, cores: int) -> float:
    seconds = timed([sys.executable, str(ROOT / "benchmarks/script.py"), str(lake), str(out)], cores)
    shutil.rmtree(out)
    return seconds


class Rounds:
    """What was measured on so many cores, a figure a round."""

    def __init__(self, cores: int, events: int) -> None:
        self.cores, self._events = cores, events
        self._ours: list[float] = []
        self._theirs: list[float] = []
        self._starts: list[tuple[float, float]] = []

    def measure(self, folder: Path) -> None:
        lake, one = folder / "lake", folder / "one"
        shutil.copytree(folder / "journal", lake)
        fill(one, 1)
        imports = "import sys; sys.argv[1:] = []; import ptars, pyarrow.parquet, wgtwo.events.v0.events_pb2"
        idle_script = timed([sys.executable, "-c", imports], self.cores)
        bare = script(lake, folder / "out", self.cores)
        idle = timed(publish(one), self.cores)
        seconds = timed(publish(lake), self.cores)
        self._ours.append(self._events / (seconds - idle))
        self._theirs.append(self._events / (bare - idle_script))
        self._starts.append((idle, idle_script))
        shutil.rmtree(lake)
        shutil.rmtree(one)

    def show(self, folder: Path) -> None:
        """Prints the medians, and the memory of one run more."""
        idle, idle_script = (statistics.median(each) for each in zip(*self._starts, strict=True))
        ratios = [a / b for a, b in zip(self._ours, self._theirs, strict=True)]
        ours, theirs = statistics.median(self._ours), statistics.median(self._theirs)
        print(f"{len(ratios)} rounds of {self._events:,} events, cores: {self.cores}, local lake")
        print(f"| publish, events/s | {ours:,.0f} (after a start of {idle:.1f} s) |")
        print(f"| bare script, events/s | {theirs:,.0f} (after a start of {idle_script:.1f} s) |")
        print(
            f"| publish / script | {statistics.median(ratios):.2f}; {min(ratios):.2f} to {max(ratios):.2f} |"
        )
        shutil.copytree(folder / "journal", folder / "lake")
        print(f"| peak memory | {weighed(publish(folder / 'lake'), self.cores):,.0f} MB |", flush=True)
        shutil.rmtree(folder / "lake")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument(
        "--memory", type=int, default=10, help="also publish so many times as many, for its memory"
    )
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        fill(folder / "journal", options.events)
        measured = [Rounds(cores, options.events) for cores in (1, 2) if cores <= (os.cpu_count() or 1)]
        for _ in range(options.rounds):
            for rounds in measured:
                rounds.measure(folder)
        for rounds in measured:
            rounds.show(folder)
            if options.memory > 1:
                many = options.events * options.memory
                fill(folder / "large", many)
                megabytes = weighed(publish(folder / "large"), rounds.cores)
                print(f"| peak memory with {many:,} events | {megabytes:,.0f} MB |", flush=True)
                shutil.rmtree(folder / "large")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
