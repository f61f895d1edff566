"""Every command on a real S3 server, each with no more rights than its policy in `infra/` gives."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from expected import assert_published
from least_rights import BUCKET, PREFIX, grant
from processes import Service
from servers import VersityGateway, versitygw

COUNT, RATE = 5_000, 2_500

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[VersityGateway]:
    """With a bucket, and a user for each policy: their names are `ingest`, `publish` and `reader`."""
    with versitygw(tmp_path / "versitygw") as server:
        server.client().create_bucket(Bucket=BUCKET)
        grant(server, BUCKET, "ingest", "publish", "reader")
        yield server


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    sandbox = Service(tmp_path / "output", "--rate", RATE, "--count", COUNT)
    yield sandbox
    sandbox.command.end()


def download(gateway: VersityGateway, folder: Path) -> Path:
    """The lake's objects as files."""
    client = gateway.client()
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/")
    for found in (found for page in pages for found in page.get("Contents", [])):
        target = folder / found["Key"].removeprefix(f"{PREFIX}/")
        target.parent.mkdir(parents=True, exist_ok=True)
        client.download_file(BUCKET, found["Key"], str(target))
    return folder


def test_every_command_does_its_work_on_s3_with_the_rights_of_its_policy(service, gateway, command, tmp_path):
    """5,000 events: acked, published once with every column right, queried, counted and proved."""
    settings = ("--endpoint", service.address, "--plaintext", "--max-in-flight", "200")
    command("ingest", "ingest", *settings, "--until-idle", "2s").succeeds(120)
    assert service.all_acked()["acked"] == COUNT

    fresh = command("reader", "query", "SELECT count(*) AS n FROM events", "--fresh", "--format", "csv")
    assert fresh.succeeds(60).stdout.split() == ["n", str(COUNT)]
    waiting = json.loads(command("reader", "status", "--json").succeeds(60).stdout)["journal"]
    assert waiting["deliveries"] == COUNT

    command("publish", "publish").succeeds(120)
    events = service.emitted()
    lake = download(gateway, tmp_path / "lake")
    assert_published(lake, events)
    folders = {path.name for path in lake.iterdir()}
    assert folders == {"lake.json", "epochs", "tables", "retained", "descriptors"}, (
        "the journal is empty, no probe is left"
    )

    counted = command("reader", "query", "SELECT count(*) AS n FROM sms", "--format", "csv").succeeds(60)
    assert counted.stdout.split() == ["n", str(sum(event.type == "sms" for event in events))]
    status = json.loads(command("reader", "status", "--json").succeeds(60).stdout)
    assert (status["published"], status["journal"]["segments"]) == (COUNT, 0)
    for deep in ((), ("--deep",)):
        assert "audit passed" in command("reader", "audit", *deep).succeeds(60).stdout

    command("ingest", "ingest", *settings, "--until-idle", "6s").succeeds(60)  # heartbeats, a start position
    command("publish", "publish", "--journal-retention", "0s").succeeds(60)
    assert "audit passed" in command("reader", "audit", "--deep").succeeds(60).stdout
    assert_published(download(gateway, tmp_path / "after"), events)


@pytest.mark.parametrize(("user", "cross"), [("ingest", []), ("publish", []), ("reader", ["lake"])])
def test_check_tries_the_rights(command, user, cross):
    """Those who write pass with the rights of their policy; who only reads is told which are missing."""
    process = command(user, "check", "--json")
    assert process.wait(60) == bool(cross)
    found = {each["name"]: each for each in json.loads(process.stdout)["checks"]}
    assert [name for name, each in found.items() if each["passed"] is False] == cross, process.stdout
    assert not cross or "grant" in found["lake"]["says"]


def test_a_command_without_the_rights_says_which_are_missing(service, command):
    """A reader can neither ingest nor publish, ingest cannot publish: exit 1, one sentence; no event is taken."""
    settings = ("--endpoint", service.address, "--plaintext")

    def refused(user: str, *arguments: object) -> None:
        process = command(user, *arguments)
        assert process.wait(60) == 1
        assert "grant" in process.stderr.splitlines()[-1]
        assert "Traceback" not in process.stderr

    refused("reader", "publish")
    refused("reader", "ingest", *settings)
    assert service.group() == {}
    command("ingest", "ingest", *settings, "--max-events", "10").succeeds(60)
    refused("ingest", "publish")
    command("publish", "publish").succeeds(60)
