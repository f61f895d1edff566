"""Kills, zombies, broken networks, full disks, at once, on real processes and servers: nothing lost or twice."""

import json
import random
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from patience import wait_until
from plain_reader import PlainReader
from servers import VersityGateway, free_port, s3_client, toxiproxy
from stage import BUCKET, LAKE, PREFIX, RUN, Stage

KILLS = {
    Stage.kill_lake: 20,
    Stage.kill_child: 12,
    Stage.kill_copy: 7,
    Stage.kill_parent: 6,
    Stage.kill_service: 5,
    Stage.kill_publish: 3,  # one that has ended by itself is not counted
}
TROUBLES = {Stage.cut: 7, Stage.disturb: 12, Stage.freeze: 6, Stage.fill_disk: 3}
AT_ONCE = 4
RECOVERY_SECONDS = 90
ORPHANED = re.compile(
    r"""^Traceback.*
  File "<string>", line 1, in <module>
  File ".*/multiprocessing/spawn\.py", line \d+, in spawn_main
(?:  .*\n)+EOFError: Ran out of input\n""",
    re.MULTILINE,
)
"""What Python says in a child whose parent is killed at the moment at which it starts the child."""


@pytest.fixture
def seed() -> int:
    """Printed with the figures; `--randomly-seed` makes it the same again, though not what processes do meanwhile."""
    return random.randrange(1 << 32)


@pytest.fixture
def gateway(tmp_path: Path, disk: Path) -> Iterator[VersityGateway]:
    """Its buckets are on a disk of their own."""
    (tmp_path / "versitygw").mkdir()
    (tmp_path / "versitygw" / "data").symlink_to(disk)
    server = VersityGateway(tmp_path / "versitygw").start()
    server.client().create_bucket(Bucket=BUCKET)
    yield server
    server.kill()


@pytest.fixture
def stage(tmp_path: Path, gateway: VersityGateway, seed: int) -> Iterator[Stage]:
    """Everything but the copies started, all through a network that can fail."""
    port = free_port()
    with (
        toxiproxy(f"127.0.0.1:{gateway.port}") as to_lake,
        toxiproxy(f"127.0.0.1:{port}") as to_service,
    ):
        made = Stage(tmp_path / "output", random.Random(seed), gateway, to_lake, to_service, port)
        yield made
        for command in made.started:
            command.end()


@pytest.fixture
def reader(gateway: VersityGateway) -> Iterator[PlainReader]:
    """On the server itself: it sees what the lake holds however the pipeline's own network is."""
    polling = PlainReader(partial(s3_client, gateway.endpoint, gateway.credentials), BUCKET, PREFIX)
    yield polling
    polling.close()


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_nothing_is_lost_and_nothing_is_ever_twice(stage, gateway, reader, seed, capsys):
    """Two copies of the pipeline on one lake, with everything killed, cut, frozen and filled at random moments.

    After each few troubles it goes on by itself: acks events, publishes files. A reader that polls all the time
    never sees an event twice, nor a file vanish or change. In the end every event that the service was acked, in
    whichever of its lives, is in its table or in quarantine, once, with every column right, and `audit` proves it.
    """
    started = time.monotonic()
    chance = random.Random(seed)
    troubles = [trouble for kind, count in (KILLS | TROUBLES).items() for trouble in [kind] * count]
    chance.shuffle(troubles)
    stage.start_copies()
    while troubles:
        for _ in range(min(chance.randint(1, AT_ONCE), len(troubles))):
            troubles.pop()(stage)
            stage.pause(chance.uniform(0, 1.5))
        goes_on(stage, reader)
    chaos_seconds = time.monotonic() - started

    end_well(stage)
    stage.life.all_acked()
    stage.books.close(stage.life)
    status = json.loads(stage.command("status", "--json").succeeds(60).stdout)
    audit = stage.command("audit", "--deep").succeeds(240).stdout
    reader.finish()
    held = stage.books.check(gateway.folder / "data" / BUCKET / PREFIX)
    with capsys.disabled():
        sys.stdout.write(f"\nchaos of seed {seed}\n" + figures(stage, status, reader))
        sys.stdout.write(
            f"{chaos_seconds:.0f} s of chaos, {time.monotonic() - started:.0f} s in all\n{audit}"
        )

    assert reader.wrong == []
    assert reader.polls > 100, "it has hardly looked: this shows little"
    assert reader.events == status["published"]
    assert held == status["published"] + status["quarantined"]
    assert status["duplicates"] > 0, "nothing ever came twice: this shows little"
    assert (status["journal"]["segments"], status["unreadable"], status["gaps"]) == (0, 0, [])
    assert stage.kills.total() >= 50
    for refusal in stage.refusals:
        assert refusal.startswith(f"1: wgtwo-pipeline: error: lake {LAKE}: "), (
            "nothing else may keep it from starting"
        )
    for command in stage.started:
        said = ORPHANED.sub("", command.stderr)
        assert not re.search("Traceback|unexpected", said), said


def goes_on(stage: Stage, reader: PlainReader) -> None:
    """Waits until events are acked and files are published that had not been."""
    acked, files = max(0, stage.acked), reader.files
    stage.expect(
        lambda: reader.files > files and stage.acked > acked, RECOVERY_SECONDS, "it goes on by itself"
    )
    assert reader.wrong == []


def end_well(stage: Stage) -> None:
    """Without troubles and new events, all is acked; both copies stop well, and one more run finds nothing left.

    No process stays behind, whose parent was killed.
    """
    stage.settle_all()
    stage.life.set_rate(0)
    stage.expect(stage.all_acked, RECOVERY_SECONDS, "all is acked")
    for copy in stage.copies.values():
        copy.send(signal.SIGTERM)
    for copy in stage.copies.values():
        copy.succeeds(60)
    stage.command(*RUN, "--until-idle", "4s").succeeds(120)
    others = [command for command in stage.started if command is not stage.life.command]
    wait_until(lambda: not any(command.everything() for command in others), 20, "all have ended")


def figures(stage: Stage, status: dict[str, Any], reader: PlainReader) -> str:
    books = stage.books
    lost = len(books.emitted) - status["published"] - status["quarantined"]
    return f"""\
{stage.kills.total()} kills: {told(stage.kills)}
{stage.troubles.total()} other troubles: {told(stage.troubles)}
{len(stage.refusals)} refusals to start without a lake
{len(books.emitted):,} events emitted in {stage.lives} lives of the service, in {books.deliveries:,} deliveries
{len(books.emitted) - len(books.acked):,} not acked when the service was killed, {lost:,} of them lost with it
{status["received"]:,} deliveries journaled, {status["duplicates"]:,} duplicates dropped
{status["published"]:,} events published, {status["quarantined"]:,} quarantined, in {status["epochs"]} epochs
{reader.polls:,} polls by the reader, of {reader.files:,} files in the end, {reader.unanswered} unanswered
"""


def told(counts: Counter[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counts.items()))
