"""What the service emitted against what a lake holds, for both APIs; and how the project's commands are started.

An event is known by its table and timestamp: the sandbox gives no two events of a type the same.
"""

import json
import os
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import requests
from patience import at_most
from processes import SCRIPT, Service

Identity = tuple[str, int]
"""Table and timestamp in microseconds."""

V1_TYPES = "handset_change_v1,first_attachment_v1,country_change_v1,periodic_country_v1,consent_change_v1"
CLIENT, SECRET = "the-client", "a-secret+of/the=client"
CREDENTIALS = {"CLIENT_ID": CLIENT, "CLIENT_SECRET": SECRET}


class Stand(Service):
    """A sandbox that stands in for wgtwo."""

    @property
    def token_url(self) -> str:
        return self.command.says(r"tokens at (\S+)")[1]

    def post(self, path: str, **body: object) -> dict[str, Any]:
        answer = requests.post(f"{self._admin}{path}", json=body, timeout=at_most(20))
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def all_events(self) -> list[dict[str, Any]]:
        """Every event of both APIs so far, as the admin page describes them."""
        found: list[dict[str, Any]] = []
        while True:
            after = found[-1]["number"] if found else 0
            page = requests.get(
                f"{self._admin}/events", params={"after": after, "limit": 10_000}, timeout=at_most(60)
            ).text.splitlines()
            found += map(json.loads, page)
            if len(page) < 10_000:
                return found

    def identities(self, api: str | None = None) -> Counter[Identity]:
        return Counter(
            (event["type"], event["timestamp_us"])
            for event in self.all_events()
            if api in (None, event["api"])
        )

    def now_ahead_seconds(self) -> float:
        """How far its clock, if accelerated, has run ahead of the real one."""
        ahead: float = self.state()["now_us"] / 1e6 - time.time()
        return ahead

    def groups(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.state()["groups"]
        return found


def published(lake: Path) -> Counter[Identity]:
    """What a plain reader of the tables sees."""
    found: Counter[Identity] = Counter()
    for path in lake.glob("tables/*/*/*.parquet"):
        times = pq.ParquetFile(path).read(columns=["timestamp"])["timestamp"]
        found.update((path.parts[-3], time) for time in times.cast(pa.int64()).to_pylist())
    return found


def assert_each_once(emitted: Counter[Identity], lake: Path) -> None:
    """The tables hold every emitted event once, and nothing else."""
    found = published(lake)
    assert emitted, "nothing was emitted: this shows nothing"
    assert not emitted - found, f"lost {len(emitted - found)}: {list(emitted - found)[:5]}"
    assert not found - emitted, f"too many {len(found - emitted)}: {list(found - emitted)[:5]}"


def ask(*arguments: object, exit_code: int = 0) -> str:
    """Runs a command that only reads; its standard output."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("WGTWO_")}
    done = subprocess.run(
        [SCRIPT, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=at_most(60),
        check=False,
        env=clean,
    )
    assert done.returncode == exit_code, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def audited(lake: Path) -> dict[str, Any]:
    """What `audit --deep` says of a lake, which must be in order."""
    text = ask("audit", "--deep", "--json", "--lake", lake)
    found: dict[str, Any] = json.loads(text)
    return found
