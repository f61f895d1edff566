"""S3 that is not plain S3, and credentials that come late or go."""

import http.server
import json
import threading

import pytest
from fault_server import Fault, FaultServer
from wgtwo_pipeline.errors import AlreadyExistsError, ConfigurationError, LakeError
from wgtwo_pipeline.lake import s3, s3_access, s3_puts
from wgtwo_pipeline.lake.s3 import S3LakeStore
from wgtwo_pipeline.lake.store import LakeLocation

KEYS = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture
def environment(monkeypatch, tmp_path):
    """Only what is set here; `environment(**variables)` sets more."""

    def put(**variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    import os

    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    put(HOME=str(tmp_path), AWS_EC2_METADATA_DISABLED="true", **KEYS)
    return put


@pytest.fixture
def server(environment):
    with FaultServer().serve() as running:
        yield running


def store(server, **more):
    return S3LakeStore(LakeLocation("s3://a-lake/p", server.endpoint), patience_seconds=0.5, **more)


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch):
    monkeypatch.setattr(s3_puts, "MULTIPART_BYTES", 3)


def works(lake):
    """Creates an object in one piece and one in parts, and neither twice."""
    lake.check()
    for key, content in (("one", b"1"), ("parts", b"12345")):
        lake.create(key, content)
        with pytest.raises(AlreadyExistsError):
            lake.create(key, content[::-1] + b"!")
        assert bytes(lake.read(key)) == content


def test_a_bucket_with_object_lock(server, showed):
    """A bucket that demands a checksum of each put gets one, in one piece and in parts."""
    server.demands_checksums = True
    works(store(server))
    showed("check, create, put-if-absent in one piece and in parts")


@pytest.mark.parametrize("wanted", [None, "when_supported", "when_required"])
def test_a_server_that_knows_no_checksums(server, environment, showed, wanted):
    """A server that refuses checksums is sent none, on no call of an upload, whatever boto3 is told elsewhere."""
    if wanted:
        environment(AWS_REQUEST_CHECKSUM_CALCULATION=wanted)
    server.refuses_checksums = True
    works(store(server))
    showed("check, create, put-if-absent in one piece and in parts")


def test_a_server_that_ignores_the_condition_at_the_end_of_an_upload(server, showed):
    """It is refused at the start check, which says which of the two conditions it ignores."""
    server.completes_on_any_condition = True
    with pytest.raises(LakeError, match="ignores If-None-Match on completed multipart uploads"):
        store(server).check()
    server.ignores_conditions = True
    with pytest.raises(LakeError, match="ignores If-None-Match on puts") as error:
        store(server).check()
    showed(str(error.value))


def test_a_server_that_cannot_do_something_says_what(server, showed):
    """HTTP 501 is a sentence that names what was tried."""
    server.faults = [Fault("POST", 501, "NotImplemented")]
    with pytest.raises(
        LakeError, match=r"cannot do what was asked.*tried with conditional completed"
    ) as error:
        store(server).check()
    showed(str(error.value))


def test_an_archived_object(server, showed):
    """An object that a lifecycle rule has archived is said to be, with what to except from the rule."""
    lake = store(server)
    lake.create("epochs/1/sealed.json", b"x")
    server.faults = [Fault("GET", 403, "InvalidObjectState", times=9)]
    with pytest.raises(LakeError, match="it is archived: restore it, and except epochs/") as error:
        lake.read("epochs/1/sealed.json")
    showed(str(error.value))


@pytest.mark.parametrize(
    "variable",
    [
        {"AWS_CONDITIONAL_PUT": "disabled"},
        {"AWS_CONDITIONAL_PUT": "dynamo:locks"},
        {"AWS_SKIP_SIGNATURE": "true"},
        {"AWS_S3_EXPRESS": "true"},
        {"AWS_ENDPOINT_URL_STS": "http://127.0.0.1:9"},
        {"AWS_ENDPOINT": "http://127.0.0.1:9"},
        {"AWS_BUCKET": "another"},
        {"AWS_VIRTUAL_HOSTED_STYLE_REQUEST": "true"},
        {"AWS_METADATA_ENDPOINT": "http://127.0.0.1:9"},
    ],
    ids=lambda variable: "=".join(*variable.items()),
)
def test_variables_that_a_library_reads_by_itself(server, environment, showed, variable):
    """What this project says of a put wins over variables that were set for another program."""
    environment(**variable)
    works(store(server))
    assert server.scopes == {"a/us-east-1"}, "every request was signed"
    showed("check, create, put-if-absent; signed")


def test_a_variable_that_no_library_can_read(server, environment, showed):
    """It ends at once with a sentence that says so, instead of being tried again as a fault of the server."""
    environment(AWS_COPY_IF_NOT_EXISTS="nonsense")
    with pytest.raises(ConfigurationError, match=r"nonsense.*unset it") as error:
        store(server).check()
    showed(str(error.value))


class Metadata:
    """An EC2 metadata service, that answers 404 until it is `ready`."""

    def __init__(self):
        self.ready = False
        service = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def answer(self):
                found = service.answer(self.path)
                self.send_response(200 if found else 404)
                self.send_header("Content-Length", str(len(found)))
                self.end_headers()
                self.wfile.write(found)

            do_GET = do_PUT = answer  # noqa: N815

            def log_message(self, *arguments):
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def answer(self, path):
        if not self.ready:
            return b""
        if path.endswith("/api/token"):
            return b"session"
        if path.endswith("/security-credentials/"):
            return b"role"
        role = {"Code": "Success", "AccessKeyId": "role", "SecretAccessKey": "S", "Token": "T"}
        return json.dumps({**role, "Expiration": "2099-01-01T00:00:00Z"}).encode()

    def close(self):
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def metadata(server, environment, monkeypatch):
    service = Metadata()
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_EC2_METADATA_DISABLED"):
        monkeypatch.delenv(name)
    environment(AWS_EC2_METADATA_SERVICE_ENDPOINT=service.url)
    yield service
    service.close()


def test_a_role_that_comes_while_it_runs(server, metadata, showed):
    """A process that had no credentials at first has them as soon as there are some."""
    lake = store(server)
    with pytest.raises(LakeError, match="no credentials"):
        lake.create("a", b"x")
    metadata.ready = True
    lake.create("a", b"x")
    lake.create("parts", b"12345")
    assert server.scopes == {"role/us-east-1"}
    showed("first put: no credentials; second put: done")


def test_a_role_that_comes_during_the_start(server, metadata, monkeypatch, showed):
    """The start check waits some seconds for credentials, and says so."""
    waits = []
    monkeypatch.setattr(
        s3.time, "sleep", lambda seconds: (waits.append(seconds), setattr(metadata, "ready", True))
    )
    store(server).check()
    assert waits
    showed("the check waited, then passed")


def test_no_credentials_at_all(server, metadata, monkeypatch, showed):
    """Where none come, the start check ends with a sentence that names what to set."""
    monkeypatch.setattr(s3_access, "AWAIT_CREDENTIALS_SECONDS", 0.1)
    with pytest.raises(LakeError, match="no credentials found: set AWS_ACCESS_KEY_ID") as error:
        store(server).check()
    showed(str(error.value))


PROFILES = """\
[profile dev]
sso_session = corp
sso_account_id = 111122223333
sso_role_name = Dev
region = eu-west-1
[sso-session corp]
sso_region = eu-west-1
sso_start_url = https://example.invalid/start
[profile proc]
credential_process = /bin/false
region = eu-west-1
"""


@pytest.mark.parametrize(
    ("profile", "sentence"),
    [
        ("dev", "the SSO session has expired: aws sso login --profile dev"),
        ("proc", "of the profile proc gives no credentials"),
    ],
)
def test_credentials_that_have_gone(
    server, environment, monkeypatch, tmp_path, caplog, showed, profile, sentence
):
    """An expired SSO session or a failing credential_process is one sentence with the fix, without a traceback."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    (tmp_path / "config").write_text(PROFILES)
    environment(AWS_PROFILE=profile, AWS_CONFIG_FILE=str(tmp_path / "config"))
    monkeypatch.setattr(s3_access, "AWAIT_CREDENTIALS_SECONDS", 0.1)
    for action in (lambda lake: lake.check(), lambda lake: lake.create("a", b"x")):
        with pytest.raises(LakeError, match=sentence) as error:
            action(store(server))
    assert not [record for record in caplog.records if record.exc_info]
    showed(str(error.value))
