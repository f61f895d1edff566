"""Acked and journaled events/s of `ingest`, side by side with other clients of the same server, as ratios.

All clients take turns in each round; what counts is the median of the rounds. The server (Go, see
`go/loadserver`) measures from its first delivery to its last ack, so start-up does not count; nor does it in the CPU
time an event, which is that of the client and all its processes.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools" / "bin"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
INGEST = "ingest"


@dataclass
class Measured:
    rate: float  # acked events/s, as the server saw it
    cpu_us: float  # of the client, an event


def commands(target: str, folder: str, in_flight: int, events: int) -> dict[str, list[str]]:
    numbers = [str(in_flight), str(events)]
    ingest = [sys.executable, "-m", "wgtwo_pipeline", "ingest", "--endpoint", target, "--plaintext"]
    ingest += ["--lake", f"{folder}/lake", "--log-level", "error"]
    ingest += ["--max-in-flight", numbers[0], "--max-events", numbers[1]]
    go = ["--target", target, "--max-in-flight", numbers[0], "--events", numbers[1]]
    found = {
        INGEST: ingest,
        "ingest --transport grpc": [*ingest, "--transport", "grpc"],
        "Go, pipelined, stores as much": [str(TOOLS / "pipeclient"), *go, "--store", folder],
        "Go, pipelined, stores nothing": [str(TOOLS / "pipeclient"), *go],
        "Go, acks in turn, stores nothing": [str(TOOLS / "turnclient"), *go],
    }
    if in_flight == 50:
        found["plain script"] = [
            *(sys.executable, str(ROOT / "benchmarks/plain.py"), target, f"{folder}/lake"),
            *numbers,
        ]
    return found


def measure(name: str, in_flight: int, events: int) -> Measured:
    """One run of one client."""
    folder = tempfile.mkdtemp(prefix="benchmark-")
    server = subprocess.Popen(
        [TOOLS / "loadserver", "--events", str(events)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        target = json.loads(server.stdout.readline())["address"]
        client = subprocess.Popen(
            commands(target, folder, in_flight, events)[name], stdout=subprocess.DEVNULL, cwd=ROOT
        )
        assert json.loads(server.stdout.readline())["delivering"]
        before = cpu_seconds(client.pid)
        outcome = json.loads(server.stdout.readline())
        spent = cpu_seconds(client.pid) - before
        _, status, usage = os.wait4(client.pid, 0)
        assert status == 0, name
        if not name.startswith(INGEST):  # it may have ended before it was looked at; its start costs nothing
            spent = usage.ru_utime + usage.ru_stime
        assert outcome["acked"] == events, outcome
        assert outcome["in_flight_peak"] <= in_flight, outcome
        return Measured(float(outcome["events_per_second"]), spent / events * 1e6)
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def cpu_seconds(root: int) -> float:
    """What a process and all that it has started have used so far."""
    children: dict[int, list[int]] = defaultdict(list)
    used: dict[int, float] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except OSError:
            continue  # it has just ended
        pid = int(path.parent.name)
        children[int(fields[1])].append(pid)
        used[pid] = (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND
    total, waiting = 0.0, [root]
    while waiting:
        pid = waiting.pop()
        total += used.get(pid, 0.0)
        waiting += children[pid]
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=100_000)
    options = parser.parse_args()
    cores, (load, *_) = os.cpu_count(), os.getloadavg()
    print(
        f"ingest: {options.rounds} rounds of {options.events:,} events, {cores} cores, load {load:.0f}, local lake"
    )
    print(
        "| in flight | client | events/s (median; min to max) | ingest / it (median of rounds; min to max) | CPU µs |"
    )
    print("|---|---|---|---|---|")
    for in_flight in (50, 200, 1000):
        names = list(commands("", "", in_flight, 0))
        rounds: dict[str, list[Measured]] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                slow = name in ("plain script", "Go, acks in turn, stores nothing", "ingest --transport grpc")
                rounds[name].append(measure(name, in_flight, options.events // 5 if slow else options.events))
        for name in names:
            rates = [each.rate for each in rounds[name]]
            pairs = zip(rounds[INGEST], rates, strict=True)
            ratios = [ours.rate / its for ours, its in pairs]
            cpu_us = statistics.median(each.cpu_us for each in rounds[name])
            print(
                f"| {in_flight} | {name} | {statistics.median(rates):,.0f}; {min(rates):,.0f} to {max(rates):,.0f} "
                f"| {statistics.median(ratios):.2f}; {min(ratios):.2f} to {max(ratios):.2f} | {cpu_us:.0f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
