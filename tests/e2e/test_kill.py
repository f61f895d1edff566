"""`kill -9` at random moments: nothing is lost, and no duplicate is ever visible."""

import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from expected import assert_nothing_twice, assert_published
from patience import wait_until
from processes import Command, assert_audit_passes

ORPHANS_END_SECONDS = 10


def kill_parent(process: Command) -> None:
    """Its children go on without it, until they notice."""
    process.send(signal.SIGKILL)
    process.wait(5)


def kill_all(process: Command) -> None:
    process.kill_everything()


TEN_TIMES = [pytest.mark.heavy, pytest.mark.timeout(400)]


@pytest.mark.parametrize(
    ("kill", "kills"),
    [
        pytest.param(kill_parent, 1, id="parent, once"),
        pytest.param(kill_parent, 10, id="parent, ten times", marks=TEN_TIMES),
        pytest.param(kill_all, 10, id="all at once, ten times", marks=TEN_TIMES),
    ],
)
def test_run_is_killed_again_and_again(service, run, tmp_path: Path, kill: Callable[[Command], None], kills):
    """Restarted at once each time, beside what the killed parent has left running; checked after every kill."""
    lake = tmp_path / "lake"
    sandbox = service("--rate", 200)
    options = ("--publish-every", "300ms", "--ack-timeout", "2s")
    for _ in range(kills):
        process = run(sandbox, *options)
        if random.random() < 0.8:  # else while it starts
            process.says("subscribing")
        time.sleep(random.uniform(0.0, 2.0))  # of the seed that the test run prints
        kill(process)
        assert_nothing_twice(lake)
        if lake.exists():  # else it was killed while it started
            assert_audit_passes(lake)
    sandbox.set_rate(0)
    run(sandbox, *options, "--until-idle", "3s").succeeds(120)
    events = sandbox.emitted()
    assert sandbox.all_acked()["acked"] == len(events)
    assert_published(lake, events)


def test_children_of_a_killed_parent_end_by_themselves(service, run, tmp_path: Path):
    """They journal and ack what they had received, publish it, and end within seconds."""
    sandbox = service("--rate", 300)
    process = run(sandbox, "--publish-every", "1h", "--ack-timeout", "30s")
    wait_until(lambda: sandbox.group().get("acked", 0) > 100, 60, "acks", lambda: process.stderr)
    assert len(process.children()) == 2
    kill_parent(process)
    wait_until(lambda: not process.everything(), ORPHANS_END_SECONDS, "all have ended", process.everything)
    group = sandbox.group()
    assert group["members"] == []
    assert assert_nothing_twice(tmp_path / "lake") == group["acked"], (
        "what was journaled was acked and published"
    )


@pytest.mark.heavy
def test_children_are_killed_and_started_again(service, run, tmp_path: Path):
    """Any one child at any moment; the parent goes on, and the load with it. Stopped just after one was killed."""
    lake = tmp_path / "lake"
    sandbox = service("--rate", 400)
    process = run(sandbox, "--subscriptions", "2", "--publish-every", "300ms", "--ack-timeout", "3s")
    for kills in range(1, 7):
        wait_until(lambda: len(process.children()) == 3, 60, "all children are there", lambda: process.stderr)
        before = sandbox.group().get("acked", 0)
        wait_until(lambda: sandbox.group().get("acked", 0) > before, 60, "acks", lambda: process.stderr)  # noqa: B023
        time.sleep(random.uniform(0.0, 1.0))
        os.kill(random.choice(process.children()), signal.SIGKILL)
        process.says(rf"(?s)(starting it again.*){{{kills}}}", 10)
        assert_nothing_twice(lake)
    process.send(signal.SIGTERM)
    process.succeeds(10)
    assert assert_nothing_twice(lake) >= sandbox.group()["acked"]
    sandbox.set_rate(0)
    run(sandbox, "--until-idle", "4s", "--ack-timeout", "3s").succeeds(60)
    events = sandbox.emitted()
    assert sandbox.all_acked()["acked"] == len(events)
    assert_published(lake, events)


@pytest.mark.heavy
def test_a_publisher_that_was_killed_before_the_stop_is_made_up_for(service, run, tmp_path: Path):
    """`run` stopped while its publisher is dead starts it again for the last publication, and ends well."""
    sandbox = service("--rate", 300)
    process = run(sandbox, "--publish-every", "1h")
    wait_until(lambda: sandbox.group().get("acked", 0) > 100, 60, "acks", lambda: process.stderr)
    publisher = min(process.children())  # the first that was started
    os.kill(publisher, signal.SIGKILL)
    process.says("publisher ended with -9")
    process.send(signal.SIGTERM)
    process.succeeds(30)  # a new process has to start
    assert assert_nothing_twice(tmp_path / "lake") == sandbox.group()["acked"]
