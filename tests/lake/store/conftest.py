"""One lake of each kind, empty, checked. The contract suite runs over all of them."""

import os
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from moto.s3.responses import S3Response
from moto.server import ThreadedMotoServer
from servers import Credentials, VersityGateway, s3_client, toxiproxy, versitygw
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation, Store

BUCKET = "a-lake"


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """moto, an imitation of S3. It proves the shape of requests; it accepts wrong credentials, signatures
    and checksums. It looks for an object and puts its own in two steps, so that of concurrent conditional puts more
    than one may win, or one that comes after a deletion; here it takes them one at a time.
    """
    lock, monkeypatch = threading.Lock(), pytest.MonkeyPatch()

    def one_at_a_time(name: str) -> None:
        original = getattr(S3Response, name)

        def locked(self: S3Response, *arguments: Any) -> Any:
            with lock:
                return original(self, *arguments)

        monkeypatch.setattr(S3Response, name, locked)

    one_at_a_time("put_object")
    one_at_a_time("_bucket_response_delete_keys")
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()
    monkeypatch.undo()


@pytest.fixture
def aws_environment(monkeypatch) -> Credentials:
    """Credentials that any server of these tests accepts, and nothing of the machine's."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    credentials = Credentials("testaccess", "testsecretkey")
    for name, value in credentials.environment().items():
        monkeypatch.setenv(name, value)
    return credentials


@pytest.fixture
def moto_lake(moto_endpoint, aws_environment, request) -> LakeLocation:
    client = s3_client(moto_endpoint, aws_environment)
    bucket = f"{BUCKET}-{abs(hash(request.node.nodeid))}"
    client.create_bucket(Bucket=bucket)
    return LakeLocation(f"s3://{bucket}/some/prefix", moto_endpoint)


@pytest.fixture
def gateway(tmp_path, aws_environment) -> Iterator[VersityGateway]:
    with versitygw(tmp_path / "versitygw") as server:
        assert server.credentials == aws_environment
        server.client().create_bucket(Bucket=BUCKET)
        yield server


@pytest.fixture
def gateway_lake(gateway) -> LakeLocation:
    return LakeLocation(f"s3://{BUCKET}/lakes/one", gateway.endpoint)


@pytest.fixture
def proxy(gateway):
    """Toxiproxy before the gateway."""
    with toxiproxy(f"127.0.0.1:{gateway.port}") as server:
        yield server


@pytest.fixture
def location_of(request, tmp_path) -> Callable[[str], LakeLocation]:
    """`location_of("moto")` is an empty place for a lake of this kind."""

    def find(kind: str) -> LakeLocation:
        if kind == "local":
            return LakeLocation(str(tmp_path / "lake"))
        return request.getfixturevalue("moto_lake" if kind == "moto" else "gateway_lake")

    return find


@pytest.fixture(params=["local", "moto", pytest.param("versitygw", marks=pytest.mark.heavy)])
def location(request, location_of) -> LakeLocation:
    return location_of(request.param)


@pytest.fixture
def store(location) -> Store:
    opened = open_store(location)
    opened.check()
    return opened
