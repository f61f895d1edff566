"""Lakes on a local disk, on moto, and on a real S3 server; each as an ordinary reader would address it."""

import os
from dataclasses import dataclass
from typing import Any

import pytest
from moto.server import ThreadedMotoServer
from pyarrow import fs
from servers import Credentials, s3_client, versitygw
from spark_session import spark  # noqa: F401  # a fixture
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation, Store

BUCKET = "reading"
CREDENTIALS = Credentials("testaccess", "testsecretkey")


@dataclass
class Lake:
    """`url` of the tables for polars and DuckDB, `path` in `filesystem` for pyarrow and pandas."""

    store: Store
    url: str
    path: str
    filesystem: Any
    storage_options: dict[str, str] | None

    @property
    def options(self) -> list[str]:
        """The options of the command line that name it."""
        location = self.store.location
        endpoint = ["--s3-endpoint", location.s3_endpoint] if location.s3_endpoint else []
        return ["--lake", location.url, *endpoint]


@pytest.fixture(scope="module")
def moto():
    """An imitation of S3, which shows that requests are well-formed; real checks of them need a real server."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["local", "moto", pytest.param("versitygw", marks=pytest.mark.heavy)])
def lake(request, tmp_path, monkeypatch):
    if request.param == "local":
        store = open_store(LakeLocation(str(tmp_path / "lake")))
        store.check()
        yield Lake(store, store.uri("tables"), store.uri("tables"), fs.LocalFileSystem(), None)
        return
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in CREDENTIALS.environment().items():
        monkeypatch.setenv(name, value)
    if request.param == "moto":
        yield _s3(request.getfixturevalue("moto"), request.node.name)
    else:
        with versitygw(tmp_path / "versitygw") as server:
            yield _s3(server.endpoint, "lake")


def _s3(endpoint: str, name: str) -> Lake:
    s3_client(endpoint, CREDENTIALS).create_bucket(Bucket=BUCKET)
    prefix = f"lakes/{abs(hash(name))}"
    store = open_store(LakeLocation(f"s3://{BUCKET}/{prefix}", endpoint))
    filesystem = fs.S3FileSystem(
        access_key=CREDENTIALS.access_key,
        secret_key=CREDENTIALS.secret_key,
        endpoint_override=endpoint,
        region="us-east-1",
    )
    options = {
        "aws_access_key_id": CREDENTIALS.access_key,
        "aws_secret_access_key": CREDENTIALS.secret_key,
        "aws_endpoint_url": endpoint,
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
    path = f"{BUCKET}/{prefix}/tables"
    return Lake(store, f"s3://{path}", path, filesystem, options)
