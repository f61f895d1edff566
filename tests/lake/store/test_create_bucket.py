"""The bucket set-up and the policies: by moto the settings, by versitygw (heavy) that the rights suffice.

moto takes any settings and enforces none; versitygw knows no lifecycle and no IAM, so the policies are tried
there as bucket policies.
"""

import importlib.util
import json
import os
import subprocess
from pathlib import Path

import pytest
from servers import Credentials, s3_client, tool
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake.s3 import S3LakeStore
from wgtwo_pipeline.lake.store import LakeLocation

INFRA = Path(__file__).parents[3] / "infra"
spec = importlib.util.spec_from_file_location("create_bucket", INFRA / "create_bucket.py")
create_bucket = importlib.util.module_from_spec(spec)
spec.loader.exec_module(create_bucket)


def test_sets_up_a_bucket_twice(moto_endpoint, aws_environment):
    """The bucket is private, encrypted and has the lake's rules; doing it again changes nothing."""
    client = s3_client(moto_endpoint, aws_environment)
    for _ in range(2):
        assert create_bucket.main(["s3://new-bucket/lake", "--s3-endpoint", moto_endpoint]) == 0
        block = client.get_public_access_block(Bucket="new-bucket")["PublicAccessBlockConfiguration"]
        assert len(block) == 4
        assert all(block.values())
        [rule] = client.get_bucket_encryption(Bucket="new-bucket")["ServerSideEncryptionConfiguration"][
            "Rules"
        ]
        assert rule["ApplyServerSideEncryptionByDefault"] == {"SSEAlgorithm": "AES256"}
        rules = client.get_bucket_lifecycle_configuration(Bucket="new-bucket")["Rules"]
        assert {rule["Filter"]["Prefix"]: rule["ID"].split(": ")[1] for rule in rules} == {
            "lake/": "versions",
            "lake/.probe/": "probes",
        }
        assert [rule["ID"] for rule in rules if "AbortIncompleteMultipartUpload" in rule] == [
            "wgtwo-pipeline lake: uploads"
        ]
        assert not [rule for rule in rules if "journal" in rule["Filter"]["Prefix"]]


def test_other_rules_stay(moto_endpoint, aws_environment):
    """Rules of others and of another lake in the bucket stay; a region other than the default is respected."""
    client = s3_client(moto_endpoint, aws_environment)
    options = ["--s3-endpoint", moto_endpoint, "--s3-region", "eu-north-1"]
    assert create_bucket.main(["s3://shared-bucket/one", *options]) == 0
    foreign = {"ID": "theirs", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 3}}
    rules = client.get_bucket_lifecycle_configuration(Bucket="shared-bucket")["Rules"]
    client.put_bucket_lifecycle_configuration(
        Bucket="shared-bucket", LifecycleConfiguration={"Rules": [*rules, foreign]}
    )
    assert create_bucket.main(["s3://shared-bucket/two", "--expire-journal-days", "90", *options]) == 0
    names = {
        rule["ID"] for rule in client.get_bucket_lifecycle_configuration(Bucket="shared-bucket")["Rules"]
    }
    own = {"uploads", "versions", "probes"}
    expected = {f"wgtwo-pipeline one: {name}" for name in own}
    expected |= {f"wgtwo-pipeline two: {name}" for name in own | {"journal"}}
    assert names == expected | {"theirs"}
    location = client.get_bucket_location(Bucket="shared-bucket")["LocationConstraint"]
    assert location == "eu-north-1"


def test_journal_expiry_is_guarded(capsys):
    """An expiry that could delete what an outage has left unpublished is refused."""
    assert create_bucket.main(["s3://bucket/lake", "--expire-journal-days", "7"]) == 2
    assert "published or not" in capsys.readouterr().err
    assert create_bucket.main(["bucket"]) == 2


def test_failure_is_one_sentence(aws_environment, capsys):
    """What goes wrong is said on standard error, with exit code 1."""
    assert create_bucket.main(["s3://bucket/lake", "--s3-endpoint", "http://127.0.0.1:9"]) == 1
    assert "127.0.0.1:9" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["ingest", "publish", "reader"])
def test_policies_name_only_the_lake(name):
    """Each policy allows named S3 actions within the bucket's prefix, nothing by wildcard."""
    for statement in json.loads((INFRA / f"iam-{name}.json").read_text())["Statement"]:
        assert statement["Effect"] == "Allow"
        if statement["Action"] == "s3:ListBucket":
            assert all(
                value.startswith("PREFIX/") for value in statement["Condition"]["StringLike"]["s3:prefix"]
            )
        else:
            assert "*" not in "".join(statement["Action"])
            assert all(each.startswith("arn:aws:s3:::BUCKET/PREFIX/") for each in statement["Resource"])


@pytest.fixture
def roles(gateway, monkeypatch):
    """A user of the real server for each policy, and a way to be one of them."""
    bucket = "a-lake"
    statements = []
    for name in ("ingest", "publish", "reader"):
        command = [tool("versitygw"), "admin", "--access", gateway.credentials.access_key]
        command += ["--secret", gateway.credentials.secret_key, "--endpoint-url", gateway.endpoint]
        command += ["create-user", "--access", name, "--secret", f"{name}secret", "--role", "user"]
        subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
        text = (INFRA / f"iam-{name}.json").read_text().replace("BUCKET", bucket).replace("PREFIX", "lake")
        statements += [
            {**statement, "Sid": f"{name}{statement['Sid']}", "Principal": {"AWS": [name]}}
            for statement in json.loads(text)["Statement"]
        ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    gateway.client().put_bucket_policy(Bucket=bucket, Policy=policy)

    def become(name):
        for variable, value in Credentials(name, f"{name}secret").environment().items():
            monkeypatch.setenv(variable, value)
        return S3LakeStore(LakeLocation(f"s3://{bucket}/lake", gateway.endpoint), patience_seconds=1)

    return become


@pytest.mark.heavy
def test_rights_suffice_and_are_no_more(roles):
    """Each role does its work on a real server, and is refused, with the fix, what is not its work."""
    ingest, publish, reader = roles("ingest"), roles("publish"), roles("reader")
    roles("ingest")
    ingest.check()
    ingest.create("journal/s/1", b"segment")
    ingest.create("journal/s/1", b"segment")
    ingest.create("gaps/1.json", b"{}")
    assert [info.key for info in ingest.list("journal/")] == ["journal/s/1"]
    for refused in (
        lambda: ingest.create("tables/sms/1", b"x"),
        lambda: ingest.delete(["journal/s/1"]),
        lambda: ingest.read("tables/sms/1"),
        lambda: list(ingest.list("tables/")),
    ):
        with pytest.raises(LakeError, match="grant"):
            refused()
    roles("publish")
    publish.check()
    large = b"x" * (33 << 20)
    for key in (
        "epochs/1/sealed.json",
        "epochs/1/manifest.json",
        "quarantine/1",
        "retained/1",
        "checkpoints/1",
        "descriptors/1",
        "erasures/1",
    ):
        publish.create(key, b"x")
    publish.create("tables/sms/1", large)
    publish.create("checkpoints/0", b"x")
    publish.delete(["journal/s/1", "retained/1", "checkpoints/0"])
    for key in ("epochs/1/manifest.json", "descriptors/1", "tables/sms/1", "quarantine/1"):
        with pytest.raises(LakeError, match="grant"):
            publish.delete([key])
    roles("ingest")
    assert [bytes(ingest.read(key)) for key in ("epochs/1/manifest.json", "checkpoints/1")] == [b"x", b"x"]
    assert len(list(ingest.list("checkpoints/"))) == 1
    roles("reader")
    reader.check(writes=False)
    assert len(reader.read("tables/sms/1")) == len(large)
    for refused in (lambda: reader.create("tables/sms/2", b"x"), reader.check):
        with pytest.raises(LakeError, match="grant"):
            refused()


@pytest.mark.heavy
def test_set_up_of_a_real_server(gateway, capsys):
    """On a server that lacks some settings the script names them, and the bucket can be used."""
    assert create_bucket.main(["s3://other-bucket/lake", "--s3-endpoint", gateway.endpoint]) == 0
    assert create_bucket.main(["s3://other-bucket/lake", "--s3-endpoint", gateway.endpoint]) == 0
    assert "not supported by this server" in capsys.readouterr().out
    S3LakeStore(LakeLocation("s3://other-bucket/lake", gateway.endpoint)).check()
