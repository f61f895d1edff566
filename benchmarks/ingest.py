"""Acked and journaled events/s of `ingest`, side by side with other clients of the same server, as ratios.

All clients take turns in each round; what counts is the median of the rounds. The server (Go, see
`go/loadserver`) measures from its first delivery to its last ack, so start-up does not count.
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools" / "bin"


def commands(target: str, lake: str, in_flight: int, events: int) -> dict[str, list[str]]:
    numbers = [str(in_flight), str(events)]
    go = ["--target", target, "--max-in-flight", numbers[0], "--events", numbers[1]]
    found = {
        "ingest": [
            *(
                sys.executable,
                "-m",
                "wgtwo_pipeline",
                "ingest",
                "--endpoint",
                target,
                "--plaintext",
                "--lake",
                lake,
            ),
            *("--max-in-flight", numbers[0], "--max-events", numbers[1], "--log-level", "error"),
        ],
        "bare loop": [sys.executable, str(ROOT / "benchmarks/bare.py"), target, lake, *numbers],
        "Go, acks in turn": [str(TOOLS / "turnclient"), *go],
    }
    if in_flight == 50:
        found["plain script"] = [sys.executable, str(ROOT / "benchmarks/plain.py"), target, lake, *numbers]
    return found


def measure(name: str, in_flight: int, events: int) -> float:
    """Events/s of one run of one client, as the server saw it."""
    folder = tempfile.mkdtemp(prefix="benchmark-")
    server = subprocess.Popen(
        [TOOLS / "loadserver", "--events", str(events)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        target = json.loads(server.stdout.readline())["address"]
        command = commands(target, f"{folder}/lake", in_flight, events)[name]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
        outcome = json.loads(server.stdout.readline())
        assert outcome["acked"] == events, outcome
        assert outcome["in_flight_peak"] <= in_flight, outcome
        return float(outcome["events_per_second"])
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--events", type=int, default=30_000)
    options = parser.parse_args()
    print(f"ingest: {options.rounds} rounds of {options.events:,} events, {os.cpu_count()} cores, local lake")
    print(
        "| in flight | client | events/s (median; min to max) | ingest / it (median of rounds; min to max) |"
    )
    print("|---|---|---|---|")
    for in_flight in (50, 200, 1000):
        names = list(commands("", "", in_flight, 0))
        rounds: dict[str, list[float]] = {name: [] for name in names}
        for _ in range(options.rounds):
            for name in names:
                events = options.events // 5 if name == "plain script" else options.events
                rounds[name].append(measure(name, in_flight, events))
        for name in names:
            rates = rounds[name]
            ratios = [ours / its for ours, its in zip(rounds["ingest"], rates, strict=True)]
            print(
                f"| {in_flight} | {name} | {statistics.median(rates):,.0f}; {min(rates):,.0f} to {max(rates):,.0f} "
                f"| {statistics.median(ratios):.2f}; {min(ratios):.2f} to {max(ratios):.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
