"""The project's own processes, started by its installed script as users start them, and stopped for sure.

Everything waits by polling (see `patience`). A failed wait tells what the process wrote.
"""

import base64
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests
from patience import PATIENCE_SECONDS, at_most, wait_until

SCRIPT = Path(sys.executable).with_name("wgtwo-pipeline")
START_SECONDS = 60.0
"""Imports alone take several seconds where other work shares the cores."""


ERASES_NOTHING = {"WGTWO_ERASE_EVERY": "never"}
"""Most tests compare what was emitted with what is stored: made-up revocations must not come in between."""


class Command:
    """One run of `wgtwo-pipeline`, in a session of its own; its output goes to files in `folder`.

    `run` obeys no revocation unless `--erase-every` says so.
    """

    def __init__(self, folder: Path, *arguments: object, env: dict[str, str] | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"{len(list(folder.iterdir())):03d}-{arguments[0]}"
        self._out, self._err = folder / f"{stem}.out", folder / f"{stem}.err"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("WGTWO_")}
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self.process = subprocess.Popen(
                [str(SCRIPT), *map(str, arguments)],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=clean | ERASES_NOTHING | (env or {}),
                start_new_session=True,
            )
        self.pid = self.process.pid

    @property
    def stdout(self) -> str:
        return self._out.read_text()

    @property
    def stderr(self) -> str:
        return self._err.read_text()

    @property
    def running(self) -> bool:
        return self.process.poll() is None

    def alarms(self, pattern: str) -> list[str]:
        """The lines of its log that match, but for the warning that ERASES_NOTHING asks for."""
        return [
            line
            for line in self.stderr.splitlines()
            if re.search(pattern, line) and "--erase-every never: " not in line
        ]

    def says(self, text: str, seconds: float = START_SECONDS) -> re.Match[str]:
        """Waits until the log matches; the process must not end before."""

        def found() -> re.Match[str] | None:
            ended = not self.running  # asked before reading: what it wrote last counts
            match = re.search(text, self.stderr)
            if match is None and ended:
                pytest.fail(f"ended with {self.process.returncode} before it said {text!r}\n{self.stderr}")
            return match

        return wait_until(found, seconds, f"the log says {text!r}", lambda: self.stderr)

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, seconds: float = PATIENCE_SECONDS) -> int:
        """Its exit code; fails the test if it goes on for longer."""
        seconds = at_most(seconds)
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.process.wait(seconds)
        return pytest.fail(f"still running after {seconds:.0f} s\n{self.stderr}")

    def succeeds(self, seconds: float = PATIENCE_SECONDS) -> "Command":
        """Waits for the end, which must be a good one."""
        code = self.wait(seconds)
        assert code == 0, f"exit code {code}\n{self.stderr}\n{self.stdout}"
        return self

    def children(self) -> list[int]:
        """The child processes that work for it, by the kernel's list."""
        try:
            listed = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
            return [int(pid) for pid in listed if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()]
        except OSError:
            return []

    def everything(self) -> dict[int, str]:
        """All processes that it has started and that they have started, itself included: their command lines."""
        found = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError):
                state, _, _, session, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
                if int(session) == self.pid and state != "Z":
                    command = (folder / "cmdline").read_bytes()
                    found[int(folder.name)] = command.replace(b"\0", b" ").decode()
        return found

    def kill_everything(self) -> None:
        """At one moment, as far as that goes; again where something was just being started."""
        while left := self.everything():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.process.wait()

    def end(self) -> None:
        """Leaves nothing behind."""
        self.kill_everything()


def assert_audit_passes(lake: Path, *options: str) -> str:
    """Returns what `audit` said."""
    audit = subprocess.run(
        [SCRIPT, "audit", "--lake", lake, *options],
        capture_output=True,
        text=True,
        timeout=at_most(60),
        check=False,
    )
    assert audit.returncode == 0, audit.stdout + audit.stderr
    return audit.stdout


@dataclass(frozen=True)
class Emitted:
    """One event as the sandbox published it: the bytes of its `Event` without metadata."""

    type: str
    sequence: int
    timestamp_us: int
    malformed: str
    body: bytes


class Service:
    """The sandbox as a process, and its admin page as the witness of what it sent and saw."""

    def __init__(self, folder: Path, *options: object) -> None:
        self.command = Command(
            folder, "sandbox", "--address", "127.0.0.1:0", "--admin-address", "127.0.0.1:0", *options
        )
        self.address = self.command.says(r"sandbox listening on (\S+)")[1]
        self._admin = self.command.says(r"admin page at (\S+)/")[1]

    def state(self) -> dict[str, Any]:
        found: dict[str, Any] = requests.get(f"{self._admin}/state", timeout=at_most(20)).json()
        return found

    def change(self, **faults: object) -> None:
        """Sets faults by the names of their fields."""
        requests.post(f"{self._admin}/faults", json=faults, timeout=at_most(20)).raise_for_status()

    def set_rate(self, rate: float) -> None:
        requests.post(f"{self._admin}/rate", json={"rate": rate}, timeout=at_most(20)).raise_for_status()

    def emitted(self, after: int = 0) -> list[Emitted]:
        """All v0 events so far, but for the first `after` of both APIs together."""
        return list(self._emitted(after))

    def _emitted(self, after: int) -> Iterator[Emitted]:
        limit = 10_000
        while True:
            page = requests.get(
                f"{self._admin}/events", params={"after": after, "limit": limit}, timeout=at_most(60)
            ).text.splitlines()
            for line in page:
                event = json.loads(line)
                if event["api"] == "v0":
                    body = base64.b64decode(event["body"])
                    yield Emitted(
                        event["type"], event["sequence"], event["timestamp_us"], event["malformed"], body
                    )
                after = event["number"]
            if len(page) < limit:
                return

    def group(self) -> dict[str, Any]:
        """The one subscription that there is; {} before it is."""
        groups = self.state()["groups"]
        assert len(groups) <= 1, groups
        return groups[0] if groups else {}

    def all_acked(self) -> dict[str, Any]:
        """The subscription, which must have acked every event there was; fails the test where it has not."""
        group = self.group()
        left = {name: group[name] for name in ("backlog", "unacked", "waiting", "lost")}
        assert not any(left.values()), left
        return group
