"""What docs/sizing.md states: members by round trip, S3 requests by rate, bytes an event by table.

Round trips are made by toxiproxy between ingest and the Go server of `ingest.py`, requests are counted in the access
log of a real S3 server (versitygw), bytes come from `status --json`. Only the first depends on the machine.
"""

import argparse
import collections
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools" / "bin"
OURS = [sys.executable, "-m", "wgtwo_pipeline"]
KEYS = {"AWS_ACCESS_KEY_ID": "sizing", "AWS_SECRET_ACCESS_KEY": "sizing-secret"}
DOLLARS = {"PUT": 0.005 / 1000, "LIST": 0.005 / 1000, "GET": 0.0004 / 1000}
"""S3 Standard, us-east-1, a request; deletes are free."""
RATES = ((1, 50), (10, 50), (100, 50), (1_000, 50), (1_000, 200))
"""Events/s, and how many may be in flight."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def running(*command: object, **settings: Any) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(list(map(str, command)), text=True, **settings)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()


def until_open(port: int) -> None:
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.05)


@contextlib.contextmanager
def delayed(target: str, milliseconds: int) -> Iterator[str]:
    """An address from which each answer takes so much longer."""
    api, port = free_port(), free_port()
    with running(
        TOOLS / "toxiproxy-server", "-port", api, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ):
        until_open(api)
        url = f"http://127.0.0.1:{api}/proxies"
        body = {"name": "service", "listen": f"127.0.0.1:{port}", "upstream": target}
        requests.post(url, json=body, timeout=5).raise_for_status()
        toxic = {"type": "latency", "attributes": {"latency": milliseconds}}
        requests.post(f"{url}/service/toxics", json=toxic, timeout=5).raise_for_status()
        yield f"127.0.0.1:{port}"


def round_trips() -> None:
    print("| round trip | in flight | events/s of one member | in flight ÷ it |\n|---|---|---|---|")
    for milliseconds in (5, 20, 50):
        for in_flight in (50, 200):
            events = max(2_000, min(30_000, 4_000 * in_flight // milliseconds))
            server = running(TOOLS / "loadserver", "--events", events, stdout=subprocess.PIPE)
            with tempfile.TemporaryDirectory() as folder, server as serves:
                assert serves.stdout is not None
                target = json.loads(serves.stdout.readline())["address"]
                with delayed(target, milliseconds) as address:
                    ingest = [
                        "ingest",
                        "--endpoint",
                        address,
                        "--plaintext",
                        "--lake",
                        folder,
                        "--log-level",
                        "error",
                    ]
                    limits = ["--max-in-flight", str(in_flight), "--max-events", str(events)]
                    subprocess.run([*OURS, *ingest, *limits], check=True)
                    lines = [json.loads(serves.stdout.readline()) for _ in range(2)]
            rate = float(lines[-1]["events_per_second"])
            print(
                f"| {milliseconds} ms | {in_flight} | {rate:,.0f} | {1000 * in_flight / rate:.0f} ms |",
                flush=True,
            )


def operation(line: str) -> str | None:
    """The kind of a request, as S3 charges it, in a line of the access log; None for the checks of a start."""
    found = re.search(r" s3_(\w+) ", line)
    if found is None or ".probe" in line:
        return None
    kinds = {"Delete": "DELETE", "List": "LIST", "Get": "GET", "Head": "GET"}
    return next((kind for verb, kind in kinds.items() if found[1].startswith(verb)), "PUT")


def dollars_a_day(name: str, counts: collections.Counter[str], seconds: int) -> float:
    """What a day of it costs: ingest puts for as long as events come; publish reads each segment, and else is by run.

    The listings of ingest are those of its start.
    """
    a_day = (
        {"PUT": 86_400 / seconds} if name == "ingest" else {"GET": 86_400 / seconds, "PUT": 96, "LIST": 96}
    )
    return sum(counts[kind] * DOLLARS[kind] * times for kind, times in a_day.items())


def s3_requests(seconds: int, rates: Sequence[tuple[int, int]] = RATES) -> None:
    print("\n| events/s | in flight | in | PUT | GET | LIST | DELETE | dollars a day |")
    print("|---|---|---|---|---|---|---|---|")
    for rate, in_flight in rates:
        with tempfile.TemporaryDirectory() as folder:
            port, log = free_port(), Path(folder) / "access.log"
            (Path(folder) / "data" / "lake").mkdir(parents=True)
            keys = ["--access", KEYS["AWS_ACCESS_KEY_ID"], "--secret", KEYS["AWS_SECRET_ACCESS_KEY"]]
            serve = [
                TOOLS / "versitygw",
                "--port",
                f"127.0.0.1:{port}",
                *keys,
                "--access-log",
                log,
                "--quiet",
            ]
            event_port = free_port()
            events = [
                *OURS,
                "sandbox",
                "--address",
                f"127.0.0.1:{event_port}",
                "--rate",
                rate,
                "--log-level",
                "error",
            ]
            with running(*serve, "posix", f"{folder}/data"), running(*events):
                until_open(port)
                until_open(event_port)
                lake = [
                    "--lake",
                    "s3://lake/l",
                    "--s3-endpoint",
                    f"http://127.0.0.1:{port}",
                    "--log-level",
                    "error",
                ]
                source = ["--endpoint", f"127.0.0.1:{event_port}", "--plaintext", "--start", "new"]
                environment = {**os.environ, **KEYS}
                commands = {
                    "ingest": [*source, "--max-in-flight", str(in_flight), "--for", f"{seconds}s"],
                    "publish": ["--journal-retention", "0s"],
                }
                for name, options in commands.items():
                    before = len(log.read_text().splitlines()) if log.exists() else 0
                    subprocess.run([*OURS, name, *lake, *options], check=True, env=environment)
                    lines = log.read_text().splitlines()[before:]
                    counts = collections.Counter(filter(None, map(operation, lines)))
                    dollars = dollars_a_day(name, counts, seconds)
                    shown = " | ".join(f"{counts[each]:,}" for each in ("PUT", "GET", "LIST", "DELETE"))
                    what = f"{seconds} s of ingest" if name == "ingest" else "one publish of these"
                    print(f"| {rate:,} | {in_flight} | {what} | {shown} | {dollars:.2f} |", flush=True)


def bytes_an_event(count: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lake, port = f"{folder}/lake", free_port()
        events = [*OURS, "sandbox", "--address", f"127.0.0.1:{port}", "--rate", "5000", "--count", count]
        with running(*events, "--log-level", "error"):
            until_open(port)
            source = ["--endpoint", f"127.0.0.1:{port}", "--plaintext", "--max-in-flight", "200"]
            quiet = ["--lake", lake, "--log-level", "error"]
            subprocess.run([*OURS, "ingest", *source, *quiet, "--until-idle", "3s"], check=True)
        status = [*OURS, "status", "--json", *quiet]
        waiting = json.loads(subprocess.check_output(status))["journal"]
        subprocess.run([*OURS, "publish", *quiet], check=True)
        found = json.loads(subprocess.check_output(status))
        print("\n| table | bytes a row |\n|---|---|")
        for name, table in sorted(found["tables"].items()):
            if table["rows"]:
                print(f"| `{name}` | {table['bytes'] / table['rows']:.0f} ({table['rows']:,} rows) |")
        rows = sum(table["rows"] for table in found["tables"].values())
        every = sum(table["bytes"] for table in found["tables"].values()) / rows
        print(
            f"| all | {every:.0f} |\n| a delivery in the journal | {waiting['bytes'] / waiting['deliveries']:.0f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="of ingest for each rate")
    parser.add_argument("--count", type=int, default=100_000, help="events for the bytes")
    parser.add_argument("--only", choices=("round-trips", "requests", "bytes"))
    options = parser.parse_args()
    print(f"sizing: {os.cpu_count()} cores, load {os.getloadavg()[0]:.0f}\n")
    if options.only in (None, "round-trips"):
        round_trips()
    if options.only in (None, "requests"):
        s3_requests(options.seconds)
    if options.only in (None, "bytes"):
        bytes_an_event(options.count)


if __name__ == "__main__":
    main()
