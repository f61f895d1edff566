"""What docs/cluster.md states of Flink: four members on two TaskManagers against one, and how a job's state grows.

Both on the cluster of `tests/flink`, whose TaskManagers have two slots each. The first takes turns in each round with
the Go server of `ingest.py`, which measures from its first delivery to its last ack. The second takes checkpoints far
more often than anyone would, and asks Flink for the size of each: 360 are an hour of one every 10 s. A JDK's `jcmd`
counts what lives on the TaskManager's heap then. `--job-server` takes another version of Beam's than the tests do.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "tests" / "flink")]
from cluster import FlinkCluster, flink_cluster  # noqa: E402  # the cluster of the tests
from processes import Service  # noqa: E402
from servers import tool  # noqa: E402

CASES = {
    "1 member, 1 slot": (1, "--parallelism=1"),
    "4 members, 4 slots": (4, "--parallelism=4"),
}
ONE, FOUR = CASES


@contextlib.contextmanager
def job(flink: FlinkCluster, address: str, lake: Path, members: int, *more: str) -> Iterator[str]:
    """An ingest job for as long as the context lasts; gives Flink's id of it."""
    command = [sys.executable, "-m", "wgtwo_pipeline", "ingest", "--endpoint", address, "--plaintext"]
    command += ["--lake", str(lake), "--log-level", "error", "--max-in-flight", "200"]
    command += ["--subscriptions", str(members), "--detach", *flink.flink_options(*more)]
    identity = subprocess.check_output(command, text=True).strip()
    try:
        yield identity
    finally:
        flink.cancel(identity)
        while flink.running():
            time.sleep(0.1)


def rate(flink: FlinkCluster, members: int, parallelism: str, events: int) -> float:
    """Acked events/s of one run, as the server saw it."""
    server = subprocess.Popen(
        [tool("loadserver"), "--events", str(events)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["address"]
        with (
            tempfile.TemporaryDirectory() as folder,
            job(flink, address, Path(folder), members, parallelism),
        ):
            assert json.loads(server.stdout.readline())["delivering"]
            outcome = json.loads(server.stdout.readline())
        assert outcome["acked"] == events, outcome
        return float(outcome["events_per_second"])
    finally:
        server.terminate()
        server.wait()


def parallel(flink: FlinkCluster, rounds: int, events: int) -> None:
    found: dict[str, list[float]] = {name: [] for name in CASES}
    with flink.another_task_manager():
        for _ in range(rounds):
            for name, (members, parallelism) in CASES.items():
                found[name].append(rate(flink, members, parallelism, events))
    print("| on two TaskManagers | events/s (median; min to max) |\n|---|---|")
    for name, rates in found.items():
        print(f"| {name} | {statistics.median(rates):,.0f}; {min(rates):,.0f} to {max(rates):,.0f} |")
    ratios = [four / one for one, four in zip(found[ONE], found[FOUR], strict=True)]
    print(f"| four against one | {statistics.median(ratios):.2f}; {min(ratios):.2f} to {max(ratios):.2f} |\n")


def living_heap(flink: FlinkCluster) -> int:
    """Bytes of all that is reachable on the heaps of all TaskManagers; it has them collect their garbage."""
    pids = [str(each.pid) for each in flink.task_managers.values()]
    found = [subprocess.check_output(["jcmd", pid, "GC.class_histogram"], text=True) for pid in pids]
    return sum(int(each.splitlines()[-1].split()[-1]) for each in found)


def state(flink: FlinkCluster, checkpoints: int, events_per_second: int, interval_ms: int) -> None:
    """Prints a line for each tenth of so many checkpoints."""
    settings = (f"--checkpointing_interval={interval_ms}", f"--max_bundle_time_mills={interval_ms // 5}")
    with tempfile.TemporaryDirectory() as folder:
        sandbox = Service(Path(folder) / "output", "--rate", events_per_second)
        sizes: dict[int, tuple[int, int]] = {}
        lines = 0
        try:
            with job(flink, sandbox.address, Path(folder) / "lake", 2, "--", *settings) as identity:
                print(
                    "| checkpoints | events acked | bytes of each | ms of each | MiB that live on the heap |"
                )
                print("|---|---|---|---|---|")
                while len(sizes) < checkpoints:
                    for each in flink.rest(f"/jobs/{identity}/checkpoints")["history"]:
                        if each["status"] == "COMPLETED":
                            sizes[each["id"]] = (each["state_size"], each["end_to_end_duration"])
                    if len(sizes) >= (lines + 1) * checkpoints // 10:
                        lines += 1
                        part = list(sizes.values())[-checkpoints // 10 :]
                        (least, _), (most, _) = min(part), max(part)
                        took = statistics.median(each for _, each in part)
                        acked = sandbox.group().get("acked", 0)  # nothing before a worker has subscribed
                        heap = living_heap(flink) / 2**20
                        print(
                            f"| {len(sizes)} | {acked:,} | {least:,} to {most:,} | {took:.0f} | {heap:.1f} |",
                            flush=True,
                        )
                    time.sleep(0.2)
                counts = flink.rest(f"/jobs/{identity}/checkpoints")["counts"]
                print(f"{counts['completed']} completed, {counts['failed']} failed, every {interval_ms} ms")
        finally:
            sandbox.command.end()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--events", type=int, default=150_000)
    parser.add_argument("--checkpoints", type=int, default=360)
    parser.add_argument("--rate", type=int, default=300, help="events/s while checkpoints are taken")
    parser.add_argument("--interval-ms", type=int, default=2_000)
    parser.add_argument("--only", choices=("parallel", "state"))
    parser.add_argument("--job-server", type=Path, metavar="JAR", help="Beam's, for Flink 1.19")
    options = parser.parse_args()
    print(f"flink: {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}\n", flush=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        flink_cluster(Path(folder), job_server=options.job_server) as flink,
    ):
        if options.only in (None, "parallel"):
            parallel(flink, options.rounds, options.events)
        if options.only in (None, "state"):
            state(flink, options.checkpoints, options.rate, options.interval_ms)


if __name__ == "__main__":
    main()
