"""A real S3 server behind a faulty network, and killed: a create is done exactly once, or says that it is not."""

import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from wgtwo_pipeline.errors import AlreadyExistsError, LakeError
from wgtwo_pipeline.lake.s3 import S3LakeStore
from wgtwo_pipeline.lake.store import LakeLocation

pytestmark = pytest.mark.heavy
BUCKET = "a-lake"


@pytest.fixture
def lake(proxy):
    return S3LakeStore(
        LakeLocation(f"s3://{BUCKET}/p", proxy.endpoint), patience_seconds=4, timeout_seconds=1
    )


def contents(gateway):
    """What the server holds, seen without the code under test."""
    client = gateway.client()
    found = client.list_objects_v2(Bucket=BUCKET).get("Contents", [])
    return {each["Key"]: client.get_object(Bucket=BUCKET, Key=each["Key"])["Body"].read() for each in found}


TOXICS = [
    ("latency", "downstream", {"latency": 300, "jitter": 100}),
    ("latency", "downstream", {"latency": 3000, "jitter": 0}),
    ("reset_peer", "downstream", {"timeout": 0}),
    ("reset_peer", "upstream", {"timeout": 100}),
    ("timeout", "upstream", {"timeout": 0}),
    ("timeout", "downstream", {"timeout": 200}),
    ("limit_data", "upstream", {"bytes": 20_000}),
    ("limit_data", "upstream", {"bytes": 100}),
    ("limit_data", "downstream", {"bytes": 0}),
    ("limit_data", "downstream", {"bytes": 10}),
    ("slow_close", "downstream", {"delay": 500}),
    ("bandwidth", "upstream", {"rate": 1}),
]


@pytest.mark.parametrize(("kind", "stream", "attributes"), TOXICS)
def test_create_is_done_or_not_said_to_be(gateway, proxy, lake, kind, stream, attributes):
    """Under a fault that stays, a create returns with the object in the server or raises LakeError in bounded
    time; when the fault is gone the same call succeeds, and the object is there once with its content.
    """
    data = os.urandom(60_000)
    lake.create("before", data)
    proxy.add(kind, stream, **attributes)
    started = time.monotonic()
    try:
        lake.create("during", data)
    except AlreadyExistsError:
        pytest.fail("its own object taken for another's")
    except LakeError:
        pass
    else:
        assert contents(gateway)["p/during"] == data
    assert time.monotonic() - started < 15
    proxy.clear()
    lake.create("during", data)
    with pytest.raises(AlreadyExistsError):
        lake.create("during", data[:-1] + b"?")
    assert contents(gateway) == {"p/before": data, "p/during": data}


@pytest.mark.parametrize("size", [10_000, 40 << 20])
def test_lost_answer_is_settled_by_looking(gateway, proxy, lake, size):
    """A put that the server has done and whose answer never comes ends as success once answers come again."""
    data = os.urandom(size)
    proxy.add("limit_data", "downstream", bytes=0)
    client_done = threading.Event()

    def heal():
        deadline = time.monotonic() + 3
        while "p/lost" not in contents(gateway) and time.monotonic() < deadline and size < 1 << 20:
            time.sleep(0.02)
        proxy.clear()
        client_done.wait(30)

    healer = threading.Thread(target=heal)
    healer.start()
    try:
        lake.create("lost", data)
    finally:
        client_done.set()
        healer.join()
    assert contents(gateway) == {"p/lost": data}


def test_flapping_network_under_load(gateway, proxy, lake):
    """While the network is cut again and again, every create that returned is in the server, and in the end
    each object is there with its content; the listing shows exactly them.
    """
    wanted = {f"j/{number:03d}": os.urandom(5000) for number in range(120)}
    stop = threading.Event()

    def flap():
        while not stop.is_set():
            proxy.enable(False)
            time.sleep(0.05)
            proxy.enable(True)
            time.sleep(0.1)

    def put(key):
        while True:
            try:
                return lake.create(key, wanted[key])
            except AlreadyExistsError:
                raise
            except LakeError:
                assert not stop.is_set()

    flapper = threading.Thread(target=flap)
    flapper.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, wanted))
        assert [info.key for info in lake.list("j/")] == sorted(wanted)
        assert [bytes(data) for data in lake.read_many(sorted(wanted))] == [
            wanted[key] for key in sorted(wanted)
        ]
    finally:
        stop.set()
        flapper.join()
        proxy.clear()
    assert contents(gateway) == {f"p/{key}": data for key, data in wanted.items()}


def test_server_killed_and_started_again(gateway, lake):
    """A server killed with -9 between and during puts: what was created is there after its restart, and the
    same store goes on.
    """
    lake = S3LakeStore(
        LakeLocation(f"s3://{BUCKET}/p", gateway.endpoint), patience_seconds=20, timeout_seconds=2
    )
    done = []
    enough = threading.Event()

    def put_all():
        while not enough.is_set():
            lake.create(f"j/{len(done):06d}", bytes([len(done) % 256]) * 20_000)
            done.append(None)

    worker = threading.Thread(target=put_all)
    worker.start()
    try:
        for _ in range(5):
            time.sleep(0.15)
            gateway.kill()
            acknowledged = len(done)
            gateway.start()
            stored = {info.key for info in lake.list("j/")}
            assert {f"j/{number:06d}" for number in range(acknowledged)} <= stored
    finally:
        enough.set()
        worker.join(60)
    keys = [f"j/{number:06d}" for number in range(len(done))]
    assert len(keys) > 50
    for number, data in enumerate(lake.read_many(keys)):
        assert bytes(data) == bytes([number % 256]) * 20_000


def test_check_of_a_dead_network_is_quick(proxy, lake):
    """When nothing answers the check says so within seconds."""
    for fault in (lambda: proxy.enable(False), lambda: proxy.add("timeout", "upstream", timeout=0)):
        fault()
        started = time.monotonic()
        with pytest.raises(LakeError, match="--s3-endpoint"):
            lake.check()
        assert time.monotonic() - started < 25
        proxy.clear()
    lake.check()


def test_check_finds_bad_credentials_and_bucket(gateway, monkeypatch):
    """A real server's refusals: a wrong secret, an unknown key, a bucket that is not there."""

    def check(url=f"s3://{BUCKET}/p"):
        S3LakeStore(LakeLocation(url, gateway.endpoint)).check()

    check()
    with pytest.raises(LakeError, match="bucket does not exist"):
        check("s3://no-such-bucket/p")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(LakeError, match="secret access key is wrong"):
        check()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    with pytest.raises(LakeError, match="access key is not known"):
        check()


def test_unfinished_uploads_are_aborted(gateway, proxy, lake):
    """A large put that fails leaves no parts behind, if it can still say so."""
    lake.create("large", b"x" * (40 << 20))
    with pytest.raises(AlreadyExistsError):
        lake.create("large", b"y" * (40 << 20))
    assert not gateway.client().list_multipart_uploads(Bucket=BUCKET).get("Uploads")
