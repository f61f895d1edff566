"""Stopping is graceful and quick: what was received is journaled, acked and published."""

import os
import re
import signal
import time
from pathlib import Path

import pytest
from expected import assert_nothing_twice, assert_published, tables
from patience import wait_until
from processes import Command, Service

STOP_SECONDS = 10


def counts(process: Command) -> dict[str, int]:
    """What the last line of the log says of the whole run."""
    found = re.findall(
        r"stopped: received (\d+), journaled (\d+), acked (\d+), failed acks (\d+)", process.stderr
    )
    assert found, process.stderr
    return dict(zip(("received", "journaled", "acked", "failed"), map(int, found[-1]), strict=True))


def journaled_rows(lake: Path) -> int:
    return sum(int(path.stem.rpartition("-")[2]) for path in lake.glob("journal/*/*/*/*.arrow"))


def busy(sandbox: Service, process: Command, acked: int = 200) -> None:
    wait_until(lambda: sandbox.group().get("acked", 0) >= acked, 60, "acks", lambda: process.stderr)


@pytest.mark.parametrize(
    ("number", "signalled"),
    [
        (signal.SIGTERM, "all"),
        pytest.param(signal.SIGTERM, "parent", marks=pytest.mark.heavy),
        pytest.param(signal.SIGINT, "all", marks=pytest.mark.heavy),
        pytest.param(signal.SIGINT, "parent", marks=pytest.mark.heavy),
    ],
)
def test_a_signal_makes_run_finish_and_publish(service, run, tmp_path: Path, number, signalled):
    """Under load: exit 0 within 10 s; received, journaled, acked and published are the same events.

    Also where all processes get the signal at once, as terminals and service managers send it.
    """
    sandbox = service("--rate", 2_000)
    process = run(sandbox, "--max-in-flight", "200", "--publish-every", "1h")
    busy(sandbox, process)
    for pid in process.everything() if signalled == "all" else [process.pid]:
        os.kill(pid, number)
    process.succeeds(STOP_SECONDS)
    count = counts(process)
    assert count["received"] == count["journaled"] == count["acked"] == sandbox.group()["acked"]
    assert assert_nothing_twice(tmp_path / "lake") == count["acked"]
    assert journaled_rows(tmp_path / "lake") == 0


def test_a_signal_makes_ingest_finish_and_publish_does_the_rest(service, command, tmp_path: Path):
    """`ingest` journals, acks and publishes nothing; `publish` publishes that, once, and then has nothing to do."""
    lake = tmp_path / "lake"
    sandbox = service("--rate", 1_000)
    process = command("ingest", "--endpoint", sandbox.address, "--plaintext", "--lake", lake)
    busy(sandbox, process)
    process.send(signal.SIGTERM)
    process.succeeds(STOP_SECONDS)
    acked = sandbox.group()["acked"]
    assert counts(process)["acked"] == counts(process)["received"] == acked == journaled_rows(lake)
    assert tables(lake) == {}
    command("publish", "--lake", lake).succeeds(30)
    assert assert_nothing_twice(lake) == acked
    before = sorted(path.name for path in lake.rglob("*"))
    assert "published 0 events" in command("publish", "--lake", lake).succeeds(30).stderr
    assert sorted(path.name for path in lake.rglob("*")) == before


@pytest.mark.heavy
def test_a_second_signal_ends_at_once(service, run, tmp_path: Path):
    """Even where stopping gracefully takes its time; no process is left, and what was acked is not lost."""
    sandbox = service("--rate", 500)
    process = run(sandbox, "--publish-every", "300ms", "--ack-timeout", "3s")
    busy(sandbox, process)
    sandbox.change(lose_ack_replies=1.0)
    process.send(signal.SIGTERM)
    process.says("once more to stop at once")
    process.send(signal.SIGTERM)
    assert process.wait(3) != 0
    assert "Traceback" not in process.stderr
    wait_until(lambda: not process.everything(), 3, "no child is left", process.everything)
    sandbox.set_rate(0)
    sandbox.change(lose_ack_replies=0.0)
    run(sandbox, "--until-idle", "4s", "--ack-timeout", "3s").succeeds(60)
    assert_published(tmp_path / "lake", sandbox.emitted())


@pytest.mark.heavy
def test_a_service_that_no_longer_answers_holds_up_no_stop(service, run, tmp_path: Path):
    """Not one ack is answered: stopping takes less than 10 s all the same, and all that was received is published."""
    sandbox = service("--rate", 500)
    process = run(sandbox, "--publish-every", "1h")
    busy(sandbox, process)
    sandbox.change(lose_ack_replies=1.0)
    time.sleep(1.0)  # until acks that nobody answers have piled up
    process.send(signal.SIGTERM)
    process.succeeds(STOP_SECONDS)
    count = counts(process)
    assert count["received"] == count["journaled"]
    assert assert_nothing_twice(tmp_path / "lake") == count["received"]


@pytest.mark.heavy
def test_run_for_a_time(service, run):
    """`--for 3s` ends by itself, with success."""
    sandbox = service("--rate", 200)
    started = time.monotonic()
    run(sandbox, "--for", "4s").succeeds(4 + STOP_SECONDS)
    assert time.monotonic() - started > 4


@pytest.mark.heavy
def test_run_until_so_many_events_are_journaled(service, run, tmp_path: Path):
    """`--max-events N` journals at least N and stops at once."""
    sandbox = service("--rate", 500)
    process = run(sandbox, "--max-events", "300").succeeds(60)
    assert 300 <= counts(process)["journaled"] == assert_nothing_twice(tmp_path / "lake") < 1_500


@pytest.mark.heavy
def test_two_subscriptions_share_the_load(service, run, tmp_path: Path):
    """Each a process of its own, both of the same queue; nothing comes twice."""
    sandbox = service("--rate", 500)
    process = run(sandbox, "--subscriptions", "2", "--until-idle", "2s", "--publish-every", "1s")

    def both_work() -> bool:
        members = sandbox.group().get("members", [])
        return len(members) == 2 and all(member["delivered"] > 100 for member in members)

    wait_until(both_work, 60, "two members at work", lambda: process.stderr)
    sandbox.set_rate(0)
    process.succeeds(60)
    events = sandbox.emitted()
    assert sandbox.all_acked()["acked"] == sandbox.group()["delivered"] == len(events)
    assert_published(tmp_path / "lake", events)
