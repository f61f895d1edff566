"""What a bucket keeps of replaced and deleted objects: it goes, or it is seen."""

import pytest
from servers import s3_client, versitygw
from wgtwo_pipeline.lake.s3 import S3LakeStore
from wgtwo_pipeline.lake.store import LakeLocation, Protections

KEY = "tables/sms/day=2026-11-23/0000000001-000.parquet"


@pytest.fixture(params=["moto", pytest.param("versitygw", marks=pytest.mark.heavy)])
def versioned(request, tmp_path, aws_environment):
    """A store in a bucket that keeps versions, its client and the bucket's name."""
    if request.param == "moto":
        location = request.getfixturevalue("moto_lake")
        client = s3_client(location.s3_endpoint, aws_environment)
        bucket = location.url.split("/")[2]
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        yield S3LakeStore(location), client, bucket
        return
    with versitygw(tmp_path / "versitygw", versioning=True) as gateway:
        client = gateway.client()
        client.create_bucket(Bucket="a-lake")
        client.put_bucket_versioning(Bucket="a-lake", VersioningConfiguration={"Status": "Enabled"})
        yield S3LakeStore(LakeLocation("s3://a-lake/p", gateway.endpoint)), client, "a-lake"


def contents(client, bucket):
    """Every version that is kept: key and bytes."""
    listed = client.list_object_versions(Bucket=bucket)
    return sorted(
        (
            each["Key"],
            client.get_object(Bucket=bucket, Key=each["Key"], VersionId=each["VersionId"])["Body"].read(),
        )
        for each in listed.get("Versions", [])
    )


def test_old_versions_go(versioned):
    """Of a versioned bucket the versions before the last replacement are deleted, those of deleted objects whole,
    and nothing of other keys, also of those whose names begin alike.
    """
    store, client, bucket = versioned
    full = store.access.full
    for key in (KEY, f"{KEY}0", "retained/1"):
        store.create(key, b"first")
        _, tag = store.read_tagged(key)
        tag = store.replace(key, b"second", tag)
        store.replace(key, b"third", tag)
    store.delete(["retained/1"])
    assert len(contents(client, bucket)) == 9
    assert store.protections().versioned
    assert store.delete_versions([KEY, "retained/1", "never/was"]) == ""
    assert contents(client, bucket) == [
        (full(KEY), b"third"),
        *[(full(f"{KEY}0"), content) for content in (b"first", b"second", b"third")],
    ]
    assert bytes(store.read(KEY)) == b"third"
    assert [info.key for info in store.list("")] == [KEY, f"{KEY}0"]
    assert store.delete_versions([KEY, "retained/1"]) == ""


def test_old_versions_of_a_folder_go(versioned):
    """A key that ends with "/" stands for what is under it: also of objects that nobody lists any more, as after a
    kill between the deletion of an object and that of its versions. What lies beside it stays.
    """
    store, client, bucket = versioned
    full = store.access.full
    for key in ("erasures/1/request.json", "erasures/2/request.json", "erasures.txt", "journal/one"):
        store.create(key, b"first")
        store.replace(key, b"second", store.read_tagged(key)[1])
    store.delete(["erasures/1/request.json"])
    assert store.protections().deleted_segments
    assert store.delete_versions(["erasures/", "erasures/1/request.json", "never/was/"]) == ""
    assert contents(client, bucket) == [
        *[(full("erasures.txt"), content) for content in (b"first", b"second")],
        (full("erasures/2/request.json"), b"second"),
        *[(full("journal/one"), content) for content in (b"first", b"second")],
    ]
    assert store.delete_versions(["journal/"]) == ""
    assert not store.protections().deleted_segments


def test_what_a_bucket_keeps_is_seen(moto_endpoint, aws_environment):
    """Object Lock and replication are found, and locked versions are said to stay, with what takes them away."""
    client = s3_client(moto_endpoint, aws_environment)
    client.create_bucket(Bucket="locked", ObjectLockEnabledForBucket=True)
    client.create_bucket(Bucket="copy")
    client.put_bucket_versioning(Bucket="copy", VersioningConfiguration={"Status": "Enabled"})
    rule = {"Status": "Enabled", "Prefix": "", "Destination": {"Bucket": "arn:aws:s3:::copy"}}
    client.put_bucket_replication(
        Bucket="locked", ReplicationConfiguration={"Role": "arn:aws:iam::1:role/r", "Rules": [rule]}
    )
    store = S3LakeStore(LakeLocation("s3://locked/p", moto_endpoint))
    assert store.protections() == Protections(versioned=True, object_lock=True, replicated=True)
