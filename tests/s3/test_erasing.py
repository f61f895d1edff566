"""`erase` on a real S3 server with the rights of `infra/iam-erase.json`, and what buckets keep beyond it is said."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lakes import at, journal
from lakes_erased import HERS, HIS, broken_of, eraser, revoke, sms_of
from least_rights import BUCKET, PREFIX, grant, secret
from processes import Command
from servers import Credentials, VersityGateway, versitygw
from wgtwo_pipeline.lake import journal as segments
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation, Store

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

NUMBER = HERS.removeprefix("+").encode()
KINDS = ("plain", "versioned", "locked")
LOCK = {"Mode": "GOVERNANCE", "Days": 1}


@pytest.fixture
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[VersityGateway]:
    """With a bucket of this kind, and a user each who may erase and read."""
    with versitygw(tmp_path / "versitygw", versioning=request.param != "plain") as server:
        client = server.client()
        client.create_bucket(Bucket=BUCKET, ObjectLockEnabledForBucket=request.param == "locked")
        if request.param == "locked":
            client.put_object_lock_configuration(
                Bucket=BUCKET,
                ObjectLockConfiguration={"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": LOCK}},
            )
        elif request.param == "versioned":
            client.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
        grant(server, BUCKET, "erase", "reader")
        yield server


@pytest.fixture
def store(gateway: VersityGateway, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The administrator's: it journals what two subscribers got, of whom one revokes."""
    for name, value in gateway.credentials.environment().items():
        monkeypatch.setenv(name, value)
    store = open_store(LakeLocation(f"s3://{BUCKET}/{PREFIX}", gateway.endpoint))
    journal(store, sms_of(HERS, 1, at(1)), sms_of(HIS, 2, at(2)), revoke(HERS, 3, at(3)), broken_of(HERS))
    return store


def kept(gateway: VersityGateway) -> dict[str, set[str]]:
    """By the folder of the lake: the keys of all versions of which some hold the number, decoded."""
    client, found = gateway.client(), dict[str, set[str]]()
    pages = client.get_paginator("list_object_versions").paginate(Bucket=BUCKET, Prefix=f"{PREFIX}/")
    for each in (each for page in pages for each in page.get("Versions", [])):
        version = {} if each["VersionId"] == "null" else {"VersionId": each["VersionId"]}
        answer = client.get_object(Bucket=BUCKET, Key=each["Key"], **version)
        key = each["Key"].removeprefix(f"{PREFIX}/")
        if NUMBER in decoded(key, answer["Body"].read()) or key.endswith("/request.json"):
            found.setdefault(key.split("/")[0], set()).add(key)
    return found


def decoded(key: str, data: bytes) -> bytes:
    if key.endswith(".parquet"):
        return repr(pq.read_table(pa.BufferReader(data)).to_pylist()).encode()
    if key.startswith(("journal/", "retained/")):
        return b"".join(segments.decode(key, memoryview(data)).deliveries["payload"].to_pylist())
    return data


def receipt_of(command: Command) -> dict[str, Any]:
    (line,) = command.succeeds(120).stdout.splitlines()
    return dict(json.loads(line))


@pytest.mark.parametrize(("gateway", "kind"), [(kind, kind) for kind in KINDS], indirect=["gateway"])
def test_it_erases_with_the_rights_of_its_policy(gateway, kind, store, command, monkeypatch):
    """From the request to its deletion after --suppress-for; a versioned bucket keeps nothing of it but segments that
    were published and deleted, a locked one what is locked; the receipt says so, and is not complete then.
    """
    command("erase", "publish").succeeds(120)
    receipt = receipt_of(command("erase", "erase", "--json"))
    assert receipt["erased"] == {"sms": 1, "consent_revoke": 1, "quarantine": 1}
    assert "audit passed" in command("reader", "audit", "--deep").succeeds(60).stdout
    counted = command("reader", "query", "SELECT sequence FROM sms", "--format", "csv").succeeds(60)
    assert counted.stdout.split() == ["sequence", "2"]

    elsewhere = LakeLocation(store.location.url, gateway.endpoint.replace("127.0.0.1", "localhost"))
    for name, value in Credentials("erase", secret("erase")).environment().items():
        monkeypatch.setenv(name, value)
    assert list(eraser(open_store(elsewhere), suppress_seconds=0.001).erase()) == []
    assert not [info.key for info in store.list("erasures/") if info.key.endswith("/request.json")]
    left, notes = kept(gateway), " ".join(receipt["notes"])
    if kind == "plain":
        assert (left, receipt["complete"], notes) == ({}, True, "")
    elif kind == "versioned":
        assert (left.keys(), receipt["complete"]) == ({"journal"}, False)
        assert "old versions of segments that were published and deleted" in notes
        assert "could not" not in notes
    else:
        assert left.keys() == {"journal", "tables", "quarantine", "retained", "erasures"}
        assert not receipt["complete"]
        assert "Object Lock" in notes
        assert "could not be deleted (AccessDenied)" in notes
    assert "audit passed" in command("reader", "audit", "--deep").succeeds(60).stdout


@pytest.mark.parametrize("gateway", ["versioned"], indirect=True)
def test_without_the_rights_to_old_versions_they_are_said_to_stay(gateway, store, command):
    """The role of publish may replace, and neither delete old versions nor see whether there are any: so it says."""
    grant(gateway, BUCKET, "publish")
    command("publish", "publish").succeeds(120)
    receipt = receipt_of(command("publish", "erase", "--json"))
    notes = " ".join(receipt["notes"])
    assert (receipt["erased"]["sms"], receipt["complete"]) == (1, False)
    assert "could not be deleted (AccessDenied)" in notes
    assert "could not be seen whether the bucket has versions" in notes
    assert notes.count("iam-erase.json") == 2


@pytest.mark.parametrize("gateway", ["plain"], indirect=True)
def test_a_reader_cannot_erase(gateway, store, command):
    """Exit 1 and a sentence that names the missing right, before anything is requested."""
    process = command("reader", "erase")
    assert process.wait(60) == 1
    assert "grant" in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
    assert not list(store.list("erasures/"))
