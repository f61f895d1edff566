"""What a store does when S3 answers badly, shown by a server in memory that fails as scripted."""

import logging
import threading
import time

import boto3
import pytest
from fault_server import Fault, FaultServer
from patience import at_most
from wgtwo_pipeline.errors import AlreadyExistsError, LakeError, NotFoundError
from wgtwo_pipeline.lake.s3 import S3LakeStore
from wgtwo_pipeline.lake.store import LakeLocation


@pytest.fixture
def server(aws_environment):
    with FaultServer().serve() as running:
        yield running


@pytest.fixture
def lake(server):
    return S3LakeStore(LakeLocation("s3://a-lake/p", server.endpoint))


@pytest.fixture
def impatient_lake(server):
    return S3LakeStore(LakeLocation("s3://a-lake/p", server.endpoint), patience_seconds=3, timeout_seconds=1)


TRANSIENT = [
    Fault("PUT", 503, "SlowDown"),
    Fault("PUT", 500, "InternalError"),
    Fault("PUT", 500, "InternalError", done=True),
    Fault("PUT", 502),
    Fault("PUT", 429, "TooManyRequests"),
    Fault("PUT", 400, "RequestTimeout"),
    Fault("PUT", 409, "ConditionalRequestConflict"),
    Fault("PUT", 200, "InternalError"),
    Fault("PUT", 200, "InternalError", done=True),
    Fault("PUT", 0),
    Fault("PUT", 0, done=True),
    Fault("PUT", 503, "SlowDown", times=5),
]


@pytest.mark.parametrize(
    "fault", TRANSIENT, ids=lambda fault: f"{fault.status}{fault.code}{fault.done}{fault.times}"
)
def test_transient_fault_of_put_is_overcome(server, lake, fault):
    """A put that failed, or was done and said to have failed, ends as exactly one object, by looking."""
    server.faults = [Fault(**vars(fault))]
    lake.create("a/b", b"content")
    assert server.objects == {"p/a/b": b"content"}
    assert server.faults[0].times == 0


def test_unknown_outcome_of_anothers_object(server, lake):
    """A lost put whose key meanwhile holds another's content is AlreadyExistsError, not success."""
    server.objects["p/a/b"] = b"another"
    server.faults = [Fault("PUT", 0), Fault("GET", 500, "InternalError")]
    with pytest.raises(AlreadyExistsError):
        lake.create("a/b", b"content")
    assert server.objects == {"p/a/b": b"another"}


def test_object_deleted_before_the_look(server, lake):
    """Refused as existing, then gone when looked at: the object is put again."""
    server.faults = [Fault("PUT", 412, "PreconditionFailed")]
    lake.create("a/b", b"content")
    assert server.objects == {"p/a/b": b"content"}


def test_multipart_complete_that_fails_within_200(server, lake, monkeypatch):
    """A completion answered by 200 with an error, or not at all, is settled as a put is; uploads are aborted."""
    monkeypatch.setattr("wgtwo_pipeline.lake.s3_puts.MULTIPART_BYTES", 3)
    for number, fault in enumerate(
        [Fault("POST", 200, "InternalError"), Fault("POST", 0), Fault("POST", 0, done=True, times=2)]
    ):
        server.faults = [fault]
        lake.create(f"a/{number}", b"content")
        lake.create(f"a/{number}", b"content")
        with pytest.raises(AlreadyExistsError):
            lake.create(f"a/{number}", b"another")
    assert server.objects == {f"p/a/{number}": b"content" for number in range(3)}


def test_fault_that_stays_ends_in_bounded_time(server, impatient_lake):
    """Without end of the fault there is a LakeError, after the patience and at most one more request."""
    lake = impatient_lake
    server.faults = [Fault("PUT", 503, "SlowDown", times=10**6)]
    started = time.monotonic()
    with pytest.raises(LakeError, match="s3://a-lake/p: HTTP 503 SlowDown"):
        lake.create("a", b"content")
    assert 3 <= time.monotonic() - started < at_most(10)
    assert server.requests.count("PUT") < 40  # backs off
    server.faults = []
    lake.create("a", b"content")


def test_permanent_fault_is_not_retried(server, lake):
    """What trying again cannot mend fails at once, with the fix."""
    for status, code, fix in [
        (403, "AccessDenied", "grant"),
        (403, "RequestTimeTooSkewed", "clock"),
        (404, "NoSuchBucket", "create it"),
        (501, "NotImplemented", "another server"),
    ]:
        server.requests.clear()
        server.faults = [Fault("PUT", status, code, times=10**6)]
        with pytest.raises(LakeError, match=fix):
            lake.create("a", b"content")
        assert server.requests == ["PUT"]


@pytest.mark.parametrize(
    "fault", [Fault("*", 503, "SlowDown"), Fault("*", 0), Fault("*", 500, "InternalError")]
)
def test_reads_lists_and_deletes_retry(server, lake, fault):
    """Reading, listing and deleting overcome transient faults."""
    server.objects = {"p/a/1": b"1", "p/a/2": b"2"}
    for work, expected in [
        (lambda: bytes(lake.read("a/1")), b"1"),
        (lambda: [bytes(data) for data in lake.read_many(["a/2", "a/1"])], [b"2", b"1"]),
        (lambda: [info.key for info in lake.list("a/")], ["a/1", "a/2"]),
        (lambda: lake.stat("a/1").size, 1),
        (lambda: lake.delete(["a/1"]), None),
    ]:
        server.faults = [Fault(**vars(fault))]
        assert work() == expected
        assert server.faults[0].times == 0
    assert server.objects == {"p/a/2": b"2"}


@pytest.mark.parametrize("before", range(6))
def test_error_within_a_listing_is_not_its_end(server, lake, before):
    """An error within an answer of 200, at any page, neither ends nor shortens a listing."""
    server.objects = {f"p/a/{number}": b"x" for number in range(7)}
    server.faults = [Fault("GET", 200, "InternalError")]
    with server.lock:
        real, passed = server.take_fault, []

    def take(method):
        passed.append(method)
        return real(method) if len(passed) > before else None

    server.take_fault = take
    assert [info.key for info in lake.list("a/")] == [f"a/{number}" for number in range(7)]


def test_missing_bucket_is_not_a_missing_object(server, lake):
    """Reading from a bucket that is gone is no NotFoundError, which would mean that nothing was stored."""
    server.faults = [Fault("GET", 404, "NoSuchBucket", times=10**6)]
    for work in (lambda: lake.read("a"), lambda: list(lake.list(""))):
        with pytest.raises(LakeError, match="bucket does not exist") as caught:
            work()
        assert not isinstance(caught.value, NotFoundError)


def test_check_passes_and_cleans_up(server, lake):
    """On a server that does what S3 does the check passes and leaves nothing."""
    lake.check()
    assert server.objects == {}


@pytest.mark.parametrize(
    ("faults", "fix"),
    [
        ([Fault("GET", 404, "NoSuchBucket", times=99)], "bucket does not exist.*create_bucket"),
        ([Fault("GET", 403, "AccessDenied", times=99)], "access denied: grant"),
        ([Fault("PUT", 403, "AccessDenied", times=99)], "access denied: grant"),
        ([Fault("GET", 403, "InvalidAccessKeyId", times=99)], "access key is not known"),
        ([Fault("GET", 403, "SignatureDoesNotMatch", times=99)], "secret access key is wrong"),
        ([Fault("GET", 400, "ExpiredToken", times=99)], "expired"),
        ([Fault("GET", 403, "RequestTimeTooSkewed", times=99)], "clock"),
        ([Fault("PUT", 403, "RequestTimeTooSkewed", times=99)], "clock"),
        ([Fault("*", 503, "SlowDown", times=99)], "SlowDown"),
        ([Fault("*", 404, times=99)], "--s3-endpoint"),
        ([Fault("*", 200, times=99)], "--s3-endpoint|--lake"),
        ([Fault("*", 0, times=99)], "--s3-endpoint"),
        ([Fault("PUT", 501, "NotImplemented", times=99)], "another server"),
    ],
    ids=lambda value: f"{value[0].method}{value[0].status}{value[0].code}" if isinstance(value, list) else "",
)
def test_check_names_the_fault(server, lake, faults, fix):
    """Each thing that can be wrong is one sentence with its fix, within seconds and without a secret."""
    server.faults = faults
    started = time.monotonic()
    with pytest.raises(LakeError, match=fix) as caught:
        lake.check()
    assert time.monotonic() - started < at_most(15)
    assert "\n" not in str(caught.value)
    assert "testsecretkey" not in str(caught.value)


def test_check_finds_a_server_that_ignores_conditions(server, lake):
    """A server on which a second put overwrites the first is refused."""
    server.ignores_conditions = True
    with pytest.raises(LakeError, match="ignores If-None-Match"):
        lake.check()
    assert server.objects == {}


def test_check_finds_the_wrong_region(server, lake):
    """A bucket of another region is named with the option that mends it."""
    server.region = "eu-north-1"
    with pytest.raises(LakeError, match="--s3-region eu-north-1"):
        lake.check()


def test_check_without_anyone_listening(aws_environment):
    """A wrong port is found at once."""
    with pytest.raises(LakeError, match=r"cannot connect.*|check the network.*--s3-endpoint"):
        S3LakeStore(LakeLocation("s3://a-lake/p", "http://127.0.0.1:9")).check()


def test_check_without_credentials(server, monkeypatch):
    """No credentials anywhere is said so, instead of a denied request."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(LakeError, match=r"no credentials found.*AWS_ACCESS_KEY_ID"):
        S3LakeStore(LakeLocation("s3://a-lake/p", server.endpoint)).check()


def test_unknown_profile(server, monkeypatch):
    """A profile that is not configured is named."""
    monkeypatch.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(LakeError, match="nobody"):
        S3LakeStore(LakeLocation("s3://a-lake/p", server.endpoint)).check()


def test_a_profile_gives_all(server, monkeypatch, tmp_path):
    """Credentials, region and endpoint come from ~/.aws by the profile's name; both clients sign with them."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    server.region = "eu-north-1"
    settings = f"[profile lake]\nregion = eu-north-1\nendpoint_url = {server.endpoint}\n"
    for variable, text in (
        ("AWS_CONFIG_FILE", settings),
        ("AWS_SHARED_CREDENTIALS_FILE", "[lake]\naws_access_key_id = ofprofile\naws_secret_access_key = x\n"),
    ):
        (tmp_path / variable).write_text(text)
        monkeypatch.setenv(variable, str(tmp_path / variable))
    monkeypatch.setenv("AWS_PROFILE", "lake")
    store = S3LakeStore(LakeLocation("s3://a-lake/p"))
    store.check()
    store.create("a", b"x")
    assert bytes(store.read("a")) == b"x"
    assert server.scopes == {"ofprofile/eu-north-1"}


def test_credentials_are_renewed(server, lake, monkeypatch):
    """Temporary credentials are asked for again and again, so that a role's renewal arrives in time."""
    asked = threading.Event()
    real = boto3.Session.get_credentials

    class Counting:
        def __init__(self, credentials):
            self.credentials, self.count = credentials, 0

        def get_frozen_credentials(self):
            self.count += 1
            if self.count > 1:
                asked.set()
            return self.credentials.get_frozen_credentials()

    monkeypatch.setattr(boto3.Session, "get_credentials", lambda self: Counting(real(self)))
    monkeypatch.setattr("wgtwo_pipeline.lake.s3_access._CREDENTIALS_SECONDS", 1)
    for number in range(50):
        lake.create(f"a/{number}", b"x")
        if asked.wait(0.05):
            return
    pytest.fail("never asked again")


def test_secrets_stay_out_of_logs(server, lake, caplog):
    """Even at debug level neither the secret nor a signature is logged."""
    logging.getLogger().setLevel(logging.DEBUG)
    with caplog.at_level(logging.DEBUG):
        lake.check()
        lake.create("a", b"x")
    assert "testsecretkey" not in caplog.text
    assert "Signature" not in caplog.text
