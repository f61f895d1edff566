"""Images that lack what others have: time zones, certificates."""

import json
import ssl
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import authority
import pytest
from fault_server import FaultServer
from patience import PATIENCE_SECONDS
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

ZONES = ("/usr/share/zoneinfo",)


def a_lake(folder):
    """One event that becomes a row and one that cannot, journaled and not yet published."""
    response = v0.SubscribeEventsResponse()
    event = response.event
    event.metadata.sequence, event.timestamp.seconds = 1, 1_700_000_000
    event.sms_event.id, event.sms_event.text = "x", "hello"
    good = response.SerializeToString()
    bad = good.replace(b"hello", b"he\xffo\xfe")
    store = open_store(LakeLocation(str(folder)))
    store.check()
    now_us = int(datetime.now(UTC).timestamp() * 1e6)
    SegmentWriter(store).write(Source("v0.x", "v0", "Subscribe"), [good, bad], [now_us] * 2)


@pytest.mark.usefixtures("namespaces")
def test_an_image_without_time_zones(machine, tmp_path, showed):
    """Without zoneinfo an undecodable delivery is quarantined like anywhere, and every command works."""
    machine.hidden = list(ZONES)
    machine.environment["PYTHONTZPATH"] = ""
    a_lake(tmp_path / "lake")
    for command in (
        ["publish"],
        ["query", "SELECT timestamp, date FROM sms"],
        ["query", "SELECT received_at, reason FROM quarantine", "--format", "json"],
        ["query", "FROM events", "--fresh", "--format", "csv"],
        ["query", "FROM events", "--format", "parquet", "--output", "events.parquet"],
        ["query"],
        ["status"],
        ["audit", "--deep"],
    ):
        ended = machine.run(*command, "--lake", tmp_path / "lake")
        assert ended.returncode == 0, (command, ended.stderr)
    held = json.loads(machine.run("status", "--json", "--lake", tmp_path / "lake").stdout)
    assert (held["published"], held["quarantined"]) == (1, 1)
    showed(f"published {held['published']}, quarantined {held['quarantined']}, every command exit 0")


@pytest.mark.usefixtures("namespaces")
def test_a_user_without_an_entry(machine, tmp_path, showed):
    """A user that /etc/passwd does not know, without HOME, as clusters start containers: all but `~` works."""
    variables = {name: value for name, value in machine.variables().items() if name != "HOME"}

    def run(*arguments):
        who = ["unshare", "--user", "--map-user=12345", "--map-group=12345"]
        command = [*who, sys.executable, "-m", "wgtwo_pipeline", *map(str, arguments)]
        return subprocess.run(
            command, env=variables, cwd=tmp_path, capture_output=True, text=True, timeout=PATIENCE_SECONDS
        )

    for command in (["run", "--for", "3s"], ["query"], ["status"], ["audit", "--deep"]):
        ended = run(*command, "--lake", tmp_path / "lake")
        assert ended.returncode == 0, (command, ended.stderr)
    ended = run("status", "--lake", "~/lake")
    assert ended.returncode == 2
    assert "~ has no home folder on this machine: write the path whole" in ended.stderr
    showed(f"every command exit 0; {ended.stderr}")


@pytest.mark.usefixtures("namespaces")
def test_a_run_in_an_image_without_time_zones(machine, tmp_path, showed):
    """`run` with its sandbox, its closing table and its audit, malformed events included, ends with 0."""
    machine.hidden = list(ZONES)
    machine.environment["PYTHONTZPATH"] = ""
    ended = machine.run("run", "--for", "3s", "--lake", tmp_path / "lake")
    assert ended.returncode == 0, ended.stderr
    assert "unexpected" not in ended.stderr
    showed("exit 0, audit passed")


TRUST = ("/etc/ssl", "/usr/lib/ssl", "/usr/share/ca-certificates", "/etc/pki")


@pytest.fixture
def without_authorities(machine, namespaces):
    """A machine on which no authority is known but those that come with Python packages."""
    machine.hidden = [path for path in TRUST if Path(path).is_dir()]
    return machine


def test_streams_and_acks_in_an_image_without_certificates(without_authorities, service, tmp_path, showed):
    """With a service of a private authority both work, or neither: every event that is received is acked."""
    sandbox = service("--count", 20, "--tls-dir", tmp_path / "tls")
    ended = without_authorities.run(
        *("ingest", "--endpoint", sandbox.address, "--ca-file", tmp_path / "tls" / "cert.pem"),
        *("--lake", tmp_path / "lake", "--until-idle", "2s", "--log-format", "json"),
    )
    assert ended.returncode == 0, ended.stderr
    last = json.loads(ended.stderr.splitlines()[-1])["message"]
    assert "received 20, journaled 20, acked 20, failed acks 0" in last
    showed(last)


def test_a_service_that_is_not_trusted(without_authorities, service, tmp_path, showed):
    """It ends within seconds with a sentence that names the option, and nothing is acked."""
    sandbox = service("--count", 20, "--tls-dir", tmp_path / "tls")
    ended = without_authorities.run("ingest", "--endpoint", sandbox.address, "--lake", tmp_path / "lake")
    assert ended.returncode == 1
    assert "a certificate that is not trusted" in ended.stderr
    assert "--ca-file" in ended.stderr
    showed(ended.stderr.splitlines()[-1])


@pytest.fixture
def https_lake(tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.make(tmp_path / "tls")
    context.load_cert_chain(tmp_path / "tls" / "server.pem", tmp_path / "tls" / "server.key")
    with FaultServer(context).serve() as running:
        yield running


@pytest.mark.parametrize("named", [True, False])
def test_s3_in_an_image_without_certificates(without_authorities, https_lake, tmp_path, showed, named):
    """A lake whose server has a private authority works once AWS_CA_BUNDLE names it, and else says so."""
    keys = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}
    without_authorities.environment.update(keys)
    if named:
        without_authorities.environment["AWS_CA_BUNDLE"] = str(tmp_path / "tls" / "authority.pem")
    ended = without_authorities.run(
        "publish", "--lake", "s3://a-lake/p", "--s3-endpoint", https_lake.endpoint
    )
    assert ended.returncode == (0 if named else 1), ended.stderr
    if not named:
        assert "AWS_CA_BUNDLE for a private authority" in ended.stderr
    showed(ended.stderr.splitlines()[-1])


def test_a_bundle_that_is_none(machine, tmp_path, showed):
    """A variable that names a bundle which is not there is refused by its name, before anything is done."""
    for variable, lake in (("AWS_CA_BUNDLE", "s3://a-lake/p"), ("SSL_CERT_FILE", "s3://a-lake/p")):
        machine.environment = {variable: str(tmp_path / "nowhere.pem")}
        ended = machine.run("publish", "--lake", lake, "--s3-endpoint", "https://127.0.0.1:9")
        assert ended.returncode == 2, ended.stderr
        assert f"{variable} {tmp_path / 'nowhere.pem'} holds no certificate that can be read" in ended.stderr
        showed(ended.stderr.splitlines()[-1])
