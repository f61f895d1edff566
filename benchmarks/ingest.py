"""Acked and journaled events/s of `ingest`, side by side with other clients of the same server, as ratios.

All clients take turns in each round; what counts is the median of the rounds. The server (Go, see
`go/loadserver`) measures from its first delivery to its last ack, so start-up does not count; nor does it in the CPU
time an event, which is that of the client and all its processes.

`--tls` speaks TLS, `--s3` journals to a real S3 server on this machine, `--round-trip-ms 20` puts a proxy that delays
(`delay.py`) between client and server: then no client can ack more than `max_in_flight` a round trip and a put, which
is shown.

What was written is deleted when all is measured: ext4 without a journal takes up to 30 times as long to create a file
for five minutes after thousands were deleted in the same part of the disk. `--folder` says where nothing was.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.sandbox.certificate import certificate

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools" / "bin"
TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
INGEST, BUCKET = "ingest", "benchmark"

sys.path.insert(0, str(ROOT / "tests"))
from servers import versitygw  # noqa: E402  # the servers of the tests


@dataclass
class Measured:
    rate: float  # acked events/s, as the server saw it
    cpu_us: float  # of the client, an event


@dataclass
class Conditions:
    """What lies between the client and the server, and where the lake is."""

    folder: Path  # of lakes, certificates and what S3 holds
    tls: bool = False
    s3: str = ""  # the endpoint, with credentials in the environment
    round_trip_ms: int = 0

    @property
    def alone(self) -> bool:
        """Whether only clients take part that do the same work."""
        return self.tls or bool(self.s3) or self.round_trip_ms > 0

    @property
    def ca_file(self) -> str:
        return str(self.folder / "cert.pem")


def commands(
    target: str, folder: str, in_flight: int, events: int, conditions: Conditions
) -> dict[str, list[str]]:
    numbers = [str(in_flight), str(events)]
    ingest = [sys.executable, "-m", "wgtwo_pipeline", "ingest", "--endpoint", target, "--log-level", "error"]
    ingest += ["--ca-file", conditions.ca_file] if conditions.tls else ["--plaintext"]
    if conditions.s3:
        ingest += ["--lake", f"s3://{BUCKET}/{Path(folder).name}", "--s3-endpoint", conditions.s3]
    else:
        ingest += ["--lake", f"{folder}/lake"]
    ingest += ["--max-in-flight", numbers[0], "--max-events", numbers[1]]
    go = ["--target", target, "--max-in-flight", numbers[0], "--events", numbers[1]]
    go += ["--ca-file", conditions.ca_file] if conditions.tls else []
    found = {INGEST: ingest, "ingest --transport grpc": [*ingest, "--transport", "grpc"]}
    if not conditions.s3:
        found["Go, pipelined, stores as much"] = [str(TOOLS / "pipeclient"), *go, "--store", folder]
        found["Go, pipelined, stores nothing"] = [str(TOOLS / "pipeclient"), *go]
    if not conditions.alone:
        found["Go, acks in turn, stores nothing"] = [str(TOOLS / "turnclient"), *go]
    if not conditions.alone and in_flight == 50:
        found["plain script"] = [
            *(sys.executable, str(ROOT / "benchmarks/plain.py"), target, f"{folder}/lake"),
            *numbers,
        ]
    return found


def measure(name: str, in_flight: int, events: int, conditions: Conditions) -> Measured:
    """One run of one client."""
    folder = tempfile.mkdtemp(prefix="run-", dir=conditions.folder)
    command = [str(TOOLS / "loadserver"), "--events", str(events)]
    if conditions.tls:
        command += ["--certificate", conditions.ca_file, "--key", str(conditions.folder / "key.pem")]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        target = json.loads(server.stdout.readline())["address"]
        with delayed(target, conditions.round_trip_ms) as reached:
            chosen = commands(reached, folder, in_flight, events, conditions)[name]
            client = subprocess.Popen(chosen, stdout=subprocess.DEVNULL, cwd=ROOT)
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


@contextlib.contextmanager
def delayed(target: str, round_trip_ms: int) -> Iterator[str]:
    """Where the target is reached through so long a round trip; the target itself where there is none."""
    if not round_trip_ms:
        yield target
        return
    proxy = subprocess.Popen(
        [sys.executable, str(ROOT / "benchmarks/delay.py"), target, str(round_trip_ms / 2)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert proxy.stdout is not None
        yield f"127.0.0.1:{proxy.stdout.readline().strip()}"
    finally:
        proxy.kill()
        proxy.wait()


def put_seconds(folder: Path, in_flight: int) -> float:
    """How long the lake takes to store one segment, the mean of many: a disk that others use takes turns."""
    store = open_store(LakeLocation(tempfile.mkdtemp(prefix="puts-", dir=folder)))
    store.check()
    data, took = os.urandom(220 * max(1, in_flight // 2)), []
    for number in range(100):
        started = time.monotonic()
        store.create(f"journal/x/{number:06d}", data)
        took.append(time.monotonic() - started)
    return statistics.mean(took)


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
    parser.add_argument("--in-flight", type=int, nargs="+", default=[50, 200, 1000])
    parser.add_argument("--tls", action="store_true")
    parser.add_argument("--s3", action="store_true")
    parser.add_argument("--round-trip-ms", type=int, default=0)
    parser.add_argument("--folder", help="where the lakes are; else where temporary files are")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="benchmark-", dir=options.folder))
    conditions = Conditions(folder, options.tls, round_trip_ms=options.round_trip_ms)
    with contextlib.ExitStack() as servers:
        servers.callback(shutil.rmtree, folder)
        if options.tls:
            certificate(str(folder))
        if options.s3:
            gateway = servers.enter_context(versitygw(folder / "s3"))
            gateway.client().create_bucket(Bucket=BUCKET)
            os.environ.update(gateway.credentials.environment())
            conditions.s3 = gateway.endpoint
        show(options, conditions)


def show(options: argparse.Namespace, conditions: Conditions) -> None:
    """Runs all rounds, and prints a table."""
    cores, (load, *_) = os.cpu_count(), os.getloadavg()
    told = [f"{options.rounds} rounds of {options.events:,} events", f"{cores} cores", f"load {load:.0f}"]
    told += [
        "an S3 lake on this machine" if conditions.s3 else "a local lake",
        "TLS" if conditions.tls else "plaintext",
    ]
    told += [f"a round trip of {conditions.round_trip_ms} ms"] if conditions.round_trip_ms else []
    print(f"ingest: {', '.join(told)}")
    print(
        "| in flight | client | events/s (median; min to max) | ingest / it (median of rounds; min to max) | CPU µs |"
    )
    print("|---|---|---|---|---|")
    for in_flight in options.in_flight:
        names = list(commands("", "", in_flight, 0, conditions))
        rounds: dict[str, list[Measured]] = {name: [] for name in names}
        puts = []  # right after each round's ingest: what a put takes changes with what others do
        for _ in range(options.rounds):
            for name in names:
                slow = name in ("plain script", "Go, acks in turn, stores nothing", "ingest --transport grpc")
                events = options.events // 5 if slow else options.events
                rounds[name].append(measure(name, in_flight, events, conditions))
                if name == INGEST and conditions.round_trip_ms:
                    puts.append(put_seconds(conditions.folder, in_flight))
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
        if conditions.round_trip_ms:
            bounds = [in_flight / (conditions.round_trip_ms / 1000 + put) for put in puts]
            ratios = [ours.rate / bound for ours, bound in zip(rounds[INGEST], bounds, strict=True)]
            print(
                f"| {in_flight} | at most, with a put of {statistics.median(puts) * 1000:.1f} ms "
                f"| {statistics.median(bounds):,.0f}; {min(bounds):,.0f} to {max(bounds):,.0f} "
                f"| {statistics.median(ratios):.2f}; {min(ratios):.2f} to {max(ratios):.2f} | |"
            )


if __name__ == "__main__":
    main()
