"""What only S3 can get wrong in replacing an object: answers that are lost, conditions ignored, old versions kept."""

import json

import pytest
from fault_server import Fault, FaultServer
from wgtwo_pipeline.errors import ChangedError, LakeError
from wgtwo_pipeline.lake.s3 import S3LakeStore
from wgtwo_pipeline.lake.s3_filesystem import StoreFileSystem
from wgtwo_pipeline.lake.store import LakeLocation

KEY = "tables/sms/1"


@pytest.fixture
def server(aws_environment):
    with FaultServer().serve() as running:
        yield running


@pytest.fixture
def lake(server):
    return S3LakeStore(LakeLocation("s3://a-lake/p", server.endpoint), patience_seconds=30, timeout_seconds=5)


@pytest.fixture
def tag(lake, server):
    """Of the object that is there."""
    server.objects[f"p/{KEY}"] = b"old object"
    return lake.read_tagged(KEY)[1]


FAULTS = [
    Fault("PUT", 503, "SlowDown"),
    Fault("PUT", 500, "InternalError"),
    Fault("PUT", 500, "InternalError", done=True),
    Fault("PUT", 409, "ConditionalRequestConflict"),
    Fault("PUT", 200, "InternalError"),
    Fault("PUT", 200, "InternalError", done=True),
    Fault("PUT", 0),
    Fault("PUT", 0, done=True),
    Fault("PUT", 0, done=True, times=3),
]


@pytest.mark.parametrize(
    "fault", FAULTS, ids=lambda fault: f"{fault.status}{fault.code}{fault.done}{fault.times}"
)
def test_an_unknown_outcome_is_settled_by_looking(server, lake, tag, fault):
    """A replacement that failed, or was done and said to have failed, ends done, with the tag of its own object."""
    server.faults = [Fault(**vars(fault))]
    new = lake.replace(KEY, b"new object", tag)
    assert server.objects == {f"p/{KEY}": b"new object"}
    assert server.faults[0].times == 0
    assert lake.read_tagged(KEY)[1] == new


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize("meanwhile", [b"another's", None])
def test_an_unknown_outcome_after_which_another_came(server, lake, tag, done, meanwhile):
    """The answer is lost, and when it is put again the object is another's, or gone: changed, and nothing undone."""
    puts = []

    def before(method, key):
        puts.append(method)
        if puts.count("PUT") == 2:
            server.objects.pop(f"p/{KEY}", None)
            if meanwhile is not None:
                server.objects[f"p/{KEY}"] = meanwhile

    server.faults = [Fault("PUT", 0, done=done)]
    server.before = before
    with pytest.raises(ChangedError, match=KEY):
        lake.replace(KEY, b"new object", tag)
    assert server.objects.get(f"p/{KEY}") == meanwhile


@pytest.mark.parametrize(
    "fault",
    [
        Fault("POST", 200, "InternalError"),
        Fault("POST", 200, "InternalError", done=True),
        Fault("POST", 0, times=2),
        Fault("POST", 0, done=True, times=2),
        Fault("POST", 409, "ConditionalRequestConflict"),
        Fault("PUT", 0),
    ],
    ids=lambda fault: f"{fault.method}{fault.status}{fault.code}{fault.done}",
)
def test_in_parts_an_unknown_outcome_is_settled_too(server, lake, tag, monkeypatch, fault):
    """Also of what is put in parts; then an outdated tag is refused, and so is one of an object that is gone."""
    monkeypatch.setattr("wgtwo_pipeline.lake.s3_puts.MULTIPART_BYTES", 3)
    server.faults = [fault]
    lake.replace(KEY, b"new object", tag)
    assert server.objects == {f"p/{KEY}": b"new object"}
    with pytest.raises(ChangedError):
        lake.replace(KEY, b"another", tag)
    del server.objects[f"p/{KEY}"]
    with pytest.raises(ChangedError):
        lake.replace(KEY, b"another", tag)
    assert server.objects == {}


def test_a_missing_bucket_is_no_change(server, lake, tag):
    """A bucket that is gone, or a right that was taken away, is said to be that."""
    for status, code, fix in ((404, "NoSuchBucket", "bucket does not exist"), (403, "AccessDenied", "grant")):
        server.faults = [Fault("*", status, code, times=10**6)]
        with pytest.raises(LakeError, match=fix) as caught:
            lake.replace(KEY, b"new object", tag)
        assert not isinstance(caught.value, ChangedError)


def test_the_check_tries_if_match(server, lake):
    """A server that honours it passes, and nothing is left behind."""
    lake.check()
    lake.check_replace()
    assert server.objects == {}


@pytest.mark.parametrize("flaw", ["ignores_conditions", "completes_on_any_condition"])
def test_a_server_that_ignores_if_match_is_refused(server, lake, flaw):
    """In a sentence that names it, whether it ignores the condition always or only when parts are put together."""
    setattr(server, flaw, True)
    with pytest.raises(LakeError, match=r"ignores If-Match.*erase needs another") as caught:
        lake.check_replace()
    assert server.endpoint in str(caught.value)
    assert server.objects == {}


def test_who_only_publishes_needs_no_if_match(moto_lake):
    """moto ignores If-Match where parts are put together: good enough to create objects, not to replace them."""
    store = S3LakeStore(moto_lake)
    store.check()
    with pytest.raises(LakeError, match="ignores If-Match"):
        store.check_replace()


def test_a_file_system_starts_anew_after_a_change(server, lake):
    """Files opened through one file system see one generation of an object; the first to meet another gets
    ChangedError, and so does whoever is still reading; what is opened afterwards sees the new one, dated later.
    """
    old, new = b"o" * 300_000, b"n" * 200_000
    server.objects[f"p/{KEY}"] = old
    files = StoreFileSystem(lake)
    uri = f"a-lake/p/{KEY}"
    one, other = files.open(uri), files.open(uri)
    assert one.read(10) == old[:10]
    dated = files.modified(uri)
    server.objects[f"p/{KEY}"] = new
    another = files.open(uri)  # of what is known, and so pinned
    for file in (one, other, another):
        file.seek(150_000)
        with pytest.raises(ChangedError):
            file.read(1000)
    assert files.changes == 1
    assert files.open(uri).read() == new
    assert files.modified(uri) > dated
    assert files.changes == 1


def test_a_server_without_conditions_on_reads_is_noticed(server, lake):
    """A read of another generation is refused by the ETag of its answer, also where a server ignores If-Match."""
    server.ignores_conditions = True
    server.objects[f"p/{KEY}"] = b"o" * 300_000
    with lake.open(KEY) as file:
        file.read(10)
        server.objects[f"p/{KEY}"] = b"n" * 300_000
        file.seek(150_000)
        with pytest.raises(ChangedError):
            file.read(1000)


def test_versions_that_may_not_be_deleted_are_said_to_stay(server, lake, monkeypatch):
    """A role without the right, or a lock, leaves them: a sentence says how many, why and what does it instead."""
    answers = {
        "versioning": b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>",
        "versions": b"<ListVersionsResult><IsTruncated>false</IsTruncated><Version><Key>p/tables/sms/1</Key>"
        b"<VersionId>1</VersionId><IsLatest>false</IsLatest></Version></ListVersionsResult>",
        "delete": b"<DeleteResult><Error><Key>p/tables/sms/1</Key><VersionId>1</VersionId>"
        b"<Code>AccessDenied</Code></Error></DeleteResult>",
    }
    server.answers = answers
    said = lake.delete_versions([KEY])
    assert "1 objects could not be deleted (AccessDenied)" in said
    assert "lifecycle rule" in said
    assert "iam-erase.json" in said


def test_what_may_not_be_looked_at_is_said(server, lake):
    """A role that may not look at the bucket's settings does not know them: no False that is not known."""
    server.faults = [Fault("GET", 403, "AccessDenied", times=10**6)]
    assert lake.protections().unseen == ("versioned", "object_lock", "replicated")
    assert "AccessDenied" in lake.delete_versions([KEY])


def test_the_policy_of_the_eraser_is_what_it_needs(request):
    """infra/iam-erase.json lets a role delete versions, and no other policy does."""
    folder = request.config.rootpath / "infra"
    may = {
        path.stem: {
            action
            for statement in json.loads(path.read_text())["Statement"]
            for action in _actions(statement)
        }
        for path in folder.glob("iam-*.json")
    }
    versions = {"s3:ListBucketVersions", "s3:DeleteObjectVersion"}
    looks = {
        "s3:GetBucketVersioning",
        "s3:GetBucketObjectLockConfiguration",
        "s3:GetReplicationConfiguration",
    }
    assert versions | looks <= may["iam-erase"]
    assert not any(versions & actions for name, actions in may.items() if name != "iam-erase")


def _actions(statement):
    actions = statement["Action"]
    return [actions] if isinstance(actions, str) else actions
