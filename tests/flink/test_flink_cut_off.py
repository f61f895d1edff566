"""Two jobs at once by mistake, and workers that do not reach the lake, which is on a real S3 server; on Flink."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import FlinkCluster
from e2e.expected import assert_published
from patience import wait_until
from processes import Command, Service
from servers import Toxiproxy, VersityGateway, toxiproxy, versitygw

# The session's first test also waits for downloads, on a machine that has nothing yet.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

BUCKET, LAKE = "a-lake", "s3://a-lake/prefix"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[VersityGateway]:
    with versitygw(tmp_path / "versitygw") as server:
        server.client().create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture
def network(gateway: VersityGateway) -> Iterator[Toxiproxy]:
    """What lies between the workers and the lake; nobody else goes through it."""
    with toxiproxy(f"127.0.0.1:{gateway.port}") as proxy:
        yield proxy


def test_two_jobs_at_once_are_cut_off_from_the_lake_and_a_third_goes_on(
    flink: FlinkCluster,
    service: Callable[..., Service],
    command: Callable[..., Command],
    gateway: VersityGateway,
    network: Toxiproxy,
    tmp_path: Path,
) -> None:
    """The same ingest submitted twice by mistake, with and without checkpoints: its jobs share the events.

    Without the lake nothing is acked; with it both go on. Cancelled, and submitted again from nothing.
    """
    sandbox = service("--rate", 100)
    keys = gateway.credentials.environment()
    source = ("--endpoint", sandbox.address, "--plaintext", "--ack-timeout", "5s")
    seen_by_workers = ("--lake", LAKE, "--s3-endpoint", network.endpoint)
    seen_by_us = ("--lake", LAKE, "--s3-endpoint", gateway.endpoint)
    # The first bundle lasts longer than it takes to a checkpoint: what it puts out must not stay in that.
    with_checkpoints = ("--", "--checkpointing_interval=200", "--max_bundle_time_mills=3000")

    def ingest(*more: str) -> Command:
        return command("ingest", *source, *seen_by_workers, "--detach", *flink.flink_options(*more), env=keys)

    def acked() -> int:
        return int(sandbox.group().get("acked", 0))

    def go_on(members: int, after: str) -> None:
        """So many members, all of them at work."""
        wait_until(lambda: len(sandbox.group().get("members", [])) == members, 120, after, flink.jobs)
        before = {member["number"]: member["delivered"] for member in sandbox.group()["members"]}
        acked_before = acked()
        wait_until(
            lambda: all(
                member["delivered"] > before.get(member["number"], 0) + 100
                for member in sandbox.group()["members"]
            ),
            120,
            f"all members are at work {after}",
            sandbox.group,
        )
        wait_until(lambda: acked() > acked_before + 100, 60, f"acks {after}", sandbox.group)

    def in_lake() -> int:
        status = command("status", "--json", *seen_by_us, env=keys).succeeds(60).stdout
        found = json.loads(status)
        return int(found["journal"]["deliveries"])

    def cancel() -> None:
        for job in flink.running():
            flink.cancel(job)
        wait_until(lambda: not flink.running(), 60, "the jobs' end", flink.jobs)
        wait_until(lambda: not sandbox.group()["members"], 15, "their streams are closed", sandbox.group)

    first, second = ingest(*with_checkpoints), ingest()
    (checkpointed,) = first.succeeds(180).stdout.split()
    (forgetful,) = second.succeeds(180).stdout.split()
    assert set(flink.running()) == {checkpointed, forgetful}
    go_on(2, "of both jobs")

    def checkpoints() -> int:
        return int(flink.rest(f"/jobs/{checkpointed}/checkpoints")["counts"]["completed"])

    wait_until(lambda: checkpoints() > 0, 60, "a checkpoint")

    def emitted() -> int:
        return int(sandbox.state()["emitted"]["v0"])

    def no_acks_while_events_come() -> bool:
        acks, events = acked(), emitted()
        wait_until(lambda: emitted() > events + 300, 60, "300 events more", sandbox.state, 0.1)
        return acked() == acks

    network.enable(False)
    wait_until(no_acks_while_events_come, 60, "no acks without the lake", sandbox.group)
    assert acked() <= in_lake(), "acked is what is durable"
    network.enable(True)
    go_on(2, "after the lake has come back")

    cancel()
    ingest(*with_checkpoints).succeeds(180)
    go_on(1, "of a third job, from nothing")
    cancel()

    sandbox.set_rate(0)
    command("ingest", *source, *seen_by_us, "--until-idle", "6s", env=keys).succeeds(240)
    command("publish", *seen_by_us, env=keys).succeeds(60)
    sandbox.all_acked()
    audited = command("audit", "--deep", "--json", *seen_by_us, env=keys).succeeds(60).stdout
    assert json.loads(audited)["passed"]
    # What the server has stored is a folder, which needs no S3 to be compared with what was sent.
    assert_published(gateway.folder / "data" / BUCKET / "prefix", sandbox.emitted())
