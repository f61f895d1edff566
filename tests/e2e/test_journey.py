"""What a newcomer does first: one command, no service, no options to know."""

import json
import re
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from expected import assert_nothing_twice
from processes import assert_audit_passes


def test_run_with_its_own_sandbox_ends_by_itself_and_shows_what_it_has_done(command, tmp_path: Path):
    """`run --for 8s`: events arrive, are published, and the lake, an answer and a proof are shown; exit 0.

    The line of pandas that it ends with works as it stands.
    """
    lake = tmp_path / "lake"
    process = command("run", "--for", "8s", "--lake", lake)
    process.says("subscribing")  # imports take their time where other work shares the cores
    process.succeeds(8 + 10 + 3)  # the stop and what is shown
    assert "Traceback" not in process.stderr
    assert process.alarms("WARN|ERROR") == []
    rows = assert_nothing_twice(lake)
    assert rows > 20
    shown = process.stdout
    assert "audit passed" in shown
    assert "wgtwo-pipeline query" in shown
    for table in ("voice", "sms", "location_update"):
        assert re.search(rf"\b{table}\b", shown), shown
    assert_audit_passes(lake, "--deep")
    assert not process.everything()
    line = re.search(r"^ *read it with pandas +python (.+)$", shown, re.MULTILINE)
    assert line, shown
    read = subprocess.run(
        [sys.executable, *shlex.split(line[1])], capture_output=True, text=True, check=False
    )
    assert (read.returncode, read.stderr) == (0, "")
    assert "timestamp" in read.stdout


@pytest.mark.heavy
def test_what_it_leaves_can_be_asked(command, tmp_path: Path):
    """`query`, `status --json` and `publish` work on the lake of a run that Ctrl-C ended."""
    lake = tmp_path / "lake"
    process = command("run", "--lake", lake, "--publish-every", "1s")
    process.says("subscribing")
    time.sleep(2.0)
    process.send(signal.SIGINT)
    process.succeeds(13)
    count = (
        command("query", "--lake", lake, "--format", "csv", "SELECT count(*) FROM events").succeeds(20).stdout
    )
    assert int(count.splitlines()[1]) == assert_nothing_twice(lake) > 0
    status = json.loads(command("status", "--lake", lake, "--json").succeeds(20).stdout)
    assert status
    command("publish", "--lake", lake).succeeds(20)


@pytest.mark.heavy
def test_a_second_run_goes_on_in_the_same_lake(command, tmp_path: Path):
    """The embedded sandbox starts anew, the lake does not: its events are added, none is taken for another."""
    lake = tmp_path / "lake"
    rows = 0
    for _ in range(2):
        command("run", "--max-events", "100", "--lake", lake).succeeds(60)
        before, rows = rows, assert_nothing_twice(lake)
        assert rows > before
    assert_audit_passes(lake, "--deep")


@pytest.mark.heavy
def test_it_obeys_the_revocations_that_its_sandbox_makes_up(command, tmp_path: Path):
    """`run` erases those who revoke, at the latest when it stops; its table and its proof say so."""
    lake = tmp_path / "lake"
    shown = command("run", "--for", "8s", "--lake", lake, "--erase-every", "30s").succeeds(60).stdout
    erased = re.search(r"erased ([\d,]+)", shown)
    assert erased, shown
    assert int(erased[1].replace(",", "")) > 0
    assert "audit passed" in shown
    assert assert_nothing_twice(lake) > 20
    assert_audit_passes(lake, "--deep")
