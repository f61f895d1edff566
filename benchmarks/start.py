"""Seconds from typing a command to its answer: `status` and `query` on a small lake, `run` to its first acked event.

All take turns in each round; beside them, what Python takes to import the libraries that the command cannot do
without. What counts is the median of the rounds. In an environment with pandas, pyarrow imports it, which takes a
quarter of a second of each: this program's own environment has none (`pip install wgtwo-pipeline`), so it is hidden.
"""

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

WITHOUT_PANDAS = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "pandas":
            raise ModuleNotFoundError("hidden by the benchmark", name="pandas")
sys.meta_path.insert(0, Hidden())
"""
COMMAND = [
    *(
        sys.executable,
        "-c",
        WITHOUT_PANDAS + "from wgtwo_pipeline.cli.main import main; sys.exit(main(sys.argv[1:]))",
    )
]


def timed(command: list[str]) -> float:
    started = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.monotonic() - started


def imports(*modules: str) -> list[str]:
    return [sys.executable, "-c", f"{WITHOUT_PANDAS}import {', '.join(modules)}"]


def first_ack(folder: Path) -> float:
    """Of `run` beside a sandbox that is there already: until that has got an ack."""
    sandbox = subprocess.Popen(
        [
            *COMMAND,
            "sandbox",
            "--address",
            "127.0.0.1:0",
            "--admin-address",
            "127.0.0.1:0",
        ],
        stderr=subprocess.PIPE,
        text=True,
    )
    assert sandbox.stderr is not None
    service, admin = (line.split()[-1] for line in (sandbox.stderr.readline(), sandbox.stderr.readline()))
    lake = folder / "lake"
    started = time.monotonic()
    run = subprocess.Popen(
        [*COMMAND, "run", "--endpoint", service, "--plaintext", "--lake", str(lake), "--log-level", "error"]
    )
    while not _acked(admin):
        time.sleep(0.01)
    seconds = time.monotonic() - started
    for process in (run, sandbox):
        process.terminate()
        process.wait()
    shutil.rmtree(lake)
    return seconds


def _acked(admin: str) -> int:
    with urllib.request.urlopen(f"{admin}state") as answer:
        return sum(group["acked"] for group in json.load(answer)["groups"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="benchmark-"))
    try:
        small = str(folder / "small")
        subprocess.run([*COMMAND, "run", "--for", "5s", "--lake", small], check=True, capture_output=True)
        measured: dict[str, Callable[[], float]] = {
            "status": lambda: timed([*COMMAND, "status", "--lake", small]),
            "query": lambda: timed([*COMMAND, "query", "SELECT count(*) FROM sms", "--lake", small]),
            "run, to the first ack": lambda: first_ack(folder),
            "importing pyarrow": lambda: timed(imports("pyarrow.parquet")),
            "importing pyarrow and duckdb": lambda: timed(imports("pyarrow.parquet", "duckdb")),
            "importing Beam": lambda: timed(imports("apache_beam")),
        }
        seconds = defaultdict(list)
        for _ in range(options.rounds):
            for name, measure in measured.items():
                seconds[name].append(measure())
        print(f"start-up: {options.rounds} rounds")
        for name, each in seconds.items():
            print(f"| {name} | {statistics.median(each):.2f} s ({min(each):.2f} to {max(each):.2f}) |")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
