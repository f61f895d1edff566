"""The flows on a real Flink cluster, by the commands that users type."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from cluster import FlinkCluster
from e2e.expected import assert_nothing_twice, assert_published
from patience import wait_until
from processes import Command, Service, assert_audit_passes

# The session's first test also waits for downloads, on a machine that has nothing yet.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]


@pytest.fixture(scope="module", name="flink")
def two_task_managers(flink: FlinkCluster) -> Iterator[FlinkCluster]:
    """With two slots each."""
    with flink.another_task_manager():
        yield flink


def chains(flink: FlinkCluster, job: str) -> list[tuple[str, list[str]]]:
    """Every task chain of a job, and how what it reads is shipped."""
    nodes = flink.rest(f"/jobs/{job}")["plan"]["nodes"]
    return sorted(
        (node["description"], [each["ship_strategy"] for each in node.get("inputs", [])]) for node in nodes
    )


def members(sandbox: Service) -> list[Any]:
    return sandbox.group().get("members", [])


def acked(sandbox: Service) -> int:
    return int(sandbox.group().get("acked", 0))


def test_nothing_is_lost_or_twice_through_a_kill_a_cancel_and_publishing_on_two_runners(
    flink: FlinkCluster,
    service: Callable[..., Service],
    command: Callable[..., Command],
    tmp_path: Path,
) -> None:
    """Two members on Flink, kill -9 of their TaskManager, SIGTERM; publish in four slots, and the rest locally."""
    lake = tmp_path / "lake"
    sandbox = service("--rate", 300)
    subscription = ("--endpoint", sandbox.address, "--plaintext", "--lake", lake, "--ack-timeout", "5s")
    job = command("ingest", *subscription, "--subscriptions", 2, *flink.flink_options())
    wait_until(lambda: acked(sandbox) > 1_500, 120, "acks through Flink", lambda: job.stderr)
    assert len(members(sandbox)) == 2
    assert all(member["delivered"] > 300 for member in members(sandbox)), "each at once, not in turns"

    (running_job,) = flink.running()
    sources, streams = chains(flink, running_job)[:2], chains(flink, running_job)[2:]
    assert [shipped for _, shipped in sources] == [[], []]
    assert all("Impulse" in chain and "Members" in chain for chain, _ in sources)
    assert [shipped for _, shipped in streams] == [["HASH"], ["HASH"]], "only the source's split is shipped"
    assert all("{Subscribe, Journal, Ack}" in chain for chain, _ in streams)

    flink.kill_task_manager(running_job)
    wait_until(lambda: not members(sandbox), 30, "the workers' streams are closed", lambda: members(sandbox))
    job.says("is RESTARTING")
    before = acked(sandbox)
    flink.start_task_manager()
    wait_until(lambda: acked(sandbox) > before + 1_500, 120, "acks after the restart", lambda: job.stderr)

    stopped_at = time.monotonic()
    job.send(signal.SIGTERM)
    job.succeeds(60)
    assert flink.jobs()[running_job] == "CANCELED"
    wait_until(lambda: not members(sandbox), 15, "the cancelled job's streams are closed")
    assert time.monotonic() - stopped_at < 30
    sandbox.set_rate(0)
    assert sandbox.group()["most_in_flight"] <= 100

    command("publish", "--lake", lake, *flink.flink_options("--parallelism=4")).succeeds(120)
    (writing,) = flink.subtasks(flink.newest_job(), "Write")
    assert len(writing) == 4
    assert len({place for place, _ in writing}) == 2
    assert all(records > 0 for _, records in writing), "tables are shared by all four"
    assert assert_nothing_twice(lake) >= acked(sandbox)
    assert_audit_passes(lake)

    command("ingest", *subscription, "--until-idle", "6s").succeeds(90)
    command("publish", "--lake", lake).succeeds(60)
    sandbox.all_acked()
    assert_published(lake, sandbox.emitted())


def test_a_job_outlives_its_command_a_worker_and_the_job_manager(
    flink: FlinkCluster,
    service: Callable[..., Service],
    command: Callable[..., Command],
    tmp_path: Path,
) -> None:
    """Four members in four slots of two TaskManagers share the load, detached.

    kill -9 of the Python workers, of the JobManager; submitted from nothing, and its command killed.
    """
    lake = tmp_path / "lake"
    sandbox = service("--rate", 300)
    subscription = ("--endpoint", sandbox.address, "--plaintext", "--lake", lake, "--ack-timeout", "5s")
    members_of_four = ("--subscriptions", 4, *flink.flink_options("--parallelism=4"))

    def goes_on(after: str) -> None:
        before = acked(sandbox)
        wait_until(lambda: acked(sandbox) > before + 600, 120, f"acks after {after}", flink.jobs)

    submitted = command("ingest", *subscription, "--detach", *members_of_four).succeeds(180)
    assert submitted.stdout.split() == flink.running(), "the id, and nothing else"
    wait_until(lambda: len(members(sandbox)) == 4, 120, "four streams", lambda: members(sandbox))
    before = {member["number"]: member["delivered"] for member in members(sandbox)}

    def more() -> list[int]:
        return [member["delivered"] - before[member["number"]] for member in members(sandbox)]

    goes_on("the command has ended")
    wait_until(lambda: min(more()) > 100, 60, "all get events, not in turns that never end", more)
    assert len(more()) == 4
    streams = flink.subtasks(*flink.running(), "Journal, Ack")
    assert [len({place for place, _ in tasks}) for tasks in streams] == [2, 2, 2, 2]
    assert flink.kill_python_workers() >= 2, "one for each TaskManager"
    goes_on("the workers were killed")

    flink.kill_job_manager()
    flink.start_job_manager()
    assert not flink.running(), "it knows nothing of the job: no savepoint, no checkpoint"
    again = command("ingest", *subscription, *members_of_four)
    goes_on("the JobManager was killed")

    again.send(signal.SIGKILL)
    wait_until(lambda: not flink.running(), 60, "the job of the killed command is cancelled", flink.jobs)
    sandbox.set_rate(0)
    command("ingest", *subscription, "--until-idle", "6s").succeeds(90)
    command("publish", "--lake", lake).succeeds(60)
    sandbox.all_acked()
    assert_published(lake, sandbox.emitted())
    assert_audit_passes(lake)


def test_check_looks_at_every_part_of_the_cluster(
    flink: FlinkCluster,
    service: Callable[..., Service],
    command: Callable[..., Command],
    tmp_path: Path,
) -> None:
    """Versions, Flink, job server and worker pool answer; no job is left by it."""
    sandbox = service("--rate", 1)
    before = flink.jobs()
    connection = ("--endpoint", sandbox.address, "--plaintext", "--lake", tmp_path / "lake")
    found = command("check", *connection, *flink.flink_options()).succeeds(60).stdout.splitlines()
    assert not [line for line in found if line.startswith("✗")]
    for part in (
        "✓ versions",
        "✓ runner",
        "✓ Flink         1.19",
        "✓ job server",
        "✓ worker pool",
        "✓ stream",
    ):
        assert any(line.startswith(part) for line in found), (part, found)
    assert flink.jobs() == before


def test_run_drives_both_flows_on_flink_and_publishes_at_the_end(
    flink: FlinkCluster,
    service: Callable[..., Service],
    command: Callable[..., Command],
    tmp_path: Path,
) -> None:
    """Ingest as a streaming job, publishing every while and once more when the events have ended; no job is left."""
    lake = tmp_path / "lake"
    sandbox = service("--rate", 1_000, "--count", 3_000)
    connection = ("--endpoint", sandbox.address, "--plaintext", "--lake", lake)
    process = command(
        "run", *connection, "--until-idle", "5s", "--publish-every", "5s", *flink.flink_options()
    )
    process.succeeds(180)
    assert not flink.running()
    sandbox.all_acked()
    assert_published(lake, sandbox.emitted())
