"""Consent is revoked all the time, everything is killed, and at the end nobody who revoked is left."""

import contextlib
import json
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from books import TYPES
from patience import wait_until
from processes import Command, Service
from servers import VersityGateway
from wgtwo.events.v0 import events_pb2 as v0

BUCKET = "a-lake"
LAKE = f"s3://{BUCKET}/lake"
GRACE_US = 300 * 1_000_000
ROUNDS = 5
RECOVERY_SECONDS = 120


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[VersityGateway]:
    server = VersityGateway(tmp_path / "versitygw").start()
    server.client().create_bucket(Bucket=BUCKET)
    yield server
    server.kill()


class Pipeline:
    """`run --erase-every 5s` on the lake, started again whenever it has ended."""

    def __init__(self, folder: Path, gateway: VersityGateway, service: Service) -> None:
        self._folder, self._gateway, self._service = folder, gateway, service
        self.kills: Counter[str] = Counter()
        self.started: list[Command] = []
        self.copies = [self.start(), self.start()]

    def start(self) -> Command:
        options = ("--publish-every", "1s", "--erase-every", "5s", "--ack-timeout", "3s")
        endpoint = ("--endpoint", self._service.address, "--plaintext")
        return self.command("run", *options, *endpoint)

    def command(self, *arguments: object) -> Command:
        options = ("--lake", LAKE, "--s3-endpoint", self._gateway.endpoint)
        environment = self._gateway.credentials.environment()
        self.started.append(Command(self._folder, *arguments, *options, env=environment))
        return self.started[-1]

    def tend(self) -> None:
        self.copies = [copy if copy.running else self.start() for copy in self.copies]

    def kill(self, chance: random.Random) -> None:
        """A copy with all its processes, one child (a member, the publisher or the eraser), or the S3 server."""
        what = chance.choice(("copy", "child", "child", "child", "server"))
        copy = chance.choice(self.copies)
        if what == "copy":
            copy.kill_everything()
        elif what == "child" and copy.running and copy.children():
            with contextlib.suppress(ProcessLookupError):
                os.kill(chance.choice(copy.children()), signal.SIGKILL)
        elif what == "server":
            self._gateway.kill()
            time.sleep(chance.uniform(0, 2))
            self._gateway.start()
        self.kills[what] += 1

    def status(self) -> dict:
        return json.loads(self.command("status", "--json").succeeds(60).stdout)


@pytest.mark.heavy
@pytest.mark.timeout(600)
def test_nobody_who_revoked_is_left(tmp_path, gateway, capsys):
    """Two copies erase every five seconds while they are killed; in the end audit proves what is erased and what not.

    Every event is published, erased, quarantined or a duplicate; no event of anybody who revoked is left up to five
    minutes behind the revocation; all events of the others are there, once.
    """
    chance = random.Random(1)
    service = Service(tmp_path / "output", "--rate", 60, "--types", TYPES)
    pipeline = Pipeline(tmp_path / "output", gateway, service)
    try:
        for _ in range(ROUNDS):
            before = receipts(gateway)
            for _ in range(chance.randint(2, 4)):
                pipeline.tend()
                time.sleep(chance.uniform(0, 9))
                pipeline.kill(chance)
            wait_until(
                lambda before=before: pipeline.tend() or receipts(gateway) > before,
                RECOVERY_SECONDS,
                "it goes on erasing by itself",
            )
        service.set_rate(0)
        for copy in pipeline.copies:
            copy.kill_everything()
        pipeline.command(
            *("run", "--endpoint", service.address, "--plaintext", "--until-idle", "6s"),
            *("--publish-every", "1s", "--erase-every", "never"),
        ).succeeds(RECOVERY_SECONDS)
        pipeline.command("erase").succeeds(RECOVERY_SECONDS)
        audit = pipeline.command("audit", "--deep").succeeds(240).stdout
        status = pipeline.status()
        emitted = service.emitted()
    finally:
        for command in [*pipeline.started, service.command]:
            command.end()
    assert status["erased"] > 0
    assert status["erasures"]["finished"] >= ROUNDS
    assert status["erasures"]["revocations"] == 0
    assert status["received"] == sum(
        status[name] for name in ("published", "duplicates", "quarantined", "erased", "unreadable")
    )
    revoked: dict[str, int] = {}
    for each in emitted:
        event = v0.Event.FromString(each.body)
        if event.WhichOneof("event") == "consent_revoke_event":
            who = event.consent_revoke_event.msisdn.e164
            revoked[who] = max(each.timestamp_us, revoked.get(who, 0))
    assert len(revoked) > 5
    stay = {
        (each.type, each.sequence)
        for each in emitted
        if each.timestamp_us > revoked.get(owner_of(each.body), -GRACE_US) + GRACE_US
    }
    found = Counter(rows(gateway.folder / "data" / BUCKET / "lake" / "tables", revoked))
    with capsys.disabled():
        sys.stdout.write(
            f"\n{pipeline.kills.total()} kills: {dict(pipeline.kills)}\n{status['erasures']}\n{audit}"
        )
    assert set(found) == stay
    assert set(found.values()) == {1}
    assert pipeline.kills.total() >= 2 * ROUNDS


def receipts(gateway: VersityGateway) -> int:
    return len(list((gateway.folder / "data" / BUCKET / "lake" / "erasures").glob("*/receipt.parquet")))


def owner_of(body: bytes) -> str:
    return v0.Event.FromString(body).owner.phone_number.e164


def rows(tables: Path, revoked: dict[str, int]) -> Iterator[tuple[str, int]]:
    """Type and sequence of every row; none may be of somebody who had revoked."""
    for path in tables.glob("*/day=*/*.parquet"):
        table = pq.read_table(path, partitioning=None)
        times = table["timestamp"].cast("int64").to_pylist()
        owners = table["owner_phone_number"].to_pylist()
        for sequence, time_us, owner in zip(table["sequence"].to_pylist(), times, owners, strict=True):
            assert time_us > revoked.get(owner, -GRACE_US) + GRACE_US, f"{path} holds {sequence}"
            yield path.parts[-3], sequence
