"""`check` says of each thing that a run needs whether it is there, with the fix, and changes nothing."""

import json
import os
import socket
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from memory_store import MemoryStore
from processes import Service
from wgtwo_pipeline.check import cluster, storage
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.cli.options import options_of
from wgtwo_pipeline.errors import JobError, LakeError

CLIENT, SECRET = "the-client", "a-secret+of/the=client"
NAMES = [
    "configuration", "packages", "versions", "runner", "lake", "rights", "If-Match", "clock", "connection", "token",
    "stream",
]  # fmt: skip


@dataclass
class Stand:
    """A sandbox with TLS and tokens, and the options that reach it."""

    service: Service
    options: dict[str, str]

    def arguments(self, folder: Path, **other: str) -> list[str]:
        chosen = {
            "--lake": str(folder),
            **self.options,
            **{f"--{k.replace('_', '-')}": v for k, v in other.items()},
        }
        return ["check", *(word for pair in chosen.items() for word in pair)]


@pytest.fixture(scope="module")
def stand(tmp_path_factory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("stand")
    oauth = ("--oauth-address", "127.0.0.1:0", "--oauth-client", f"{CLIENT}:{SECRET}")
    service = Service(folder, "--rate", 20, "--tls-dir", folder / "tls", *oauth)
    yield Stand(
        service,
        {
            "--endpoint": service.address,
            "--ca-file": str(folder / "tls" / "cert.pem"),
            "--token-url": service.command.says(r"tokens at (\S+)")[1],
        },
    )
    service.command.end()


@pytest.fixture(autouse=True)
def credentials(monkeypatch) -> None:
    for name in [name for name in os.environ if name.startswith("WGTWO_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("CLIENT_ID", CLIENT)
    monkeypatch.setenv("CLIENT_SECRET", SECRET)


def checked(capsys, arguments: list[str], code: int) -> dict[str, tuple[bool | None, str]]:
    """What `check --json` found, by name; it ends with this code and shows no secret."""
    assert main([*arguments, "--json"]) == code
    shown = capsys.readouterr()
    assert SECRET not in shown.out + shown.err
    document = json.loads(shown.out)
    assert document["passed"] == (code == 0)
    return {each["name"]: (each["passed"], each["says"]) for each in document["checks"]}


@pytest.mark.parametrize("api", ["v0", "v1"])
def test_all_is_well_and_nothing_is_touched(stand, tmp_path, capsys, api):
    """A line each, exit 0; no event was given to anybody for it, and nothing is left in the lake."""
    assert main([*stand.arguments(tmp_path / "lake"), "--api", api]) == 0
    shown = capsys.readouterr()
    lines = shown.out.splitlines()
    assert list(dict.fromkeys(line.split()[1] for line in lines)) == NAMES
    assert all(line.startswith("✓ ") for line in lines), shown.out
    assert SECRET not in shown.out + shown.err
    left = [path for path in (tmp_path / "lake").rglob("*") if path.is_file() and ".tmp" not in path.parts]
    assert left == []
    names = [
        (group.get("queue_name"), group.get("durable_name")) for group in stand.service.state()["groups"]
    ]
    assert all(not queue and not durable for queue, durable in names), "no queue was joined, no position made"


def test_offline_asks_nobody(tmp_path, capsys):
    """The configuration alone: a lake and a service that are not there are no matter."""
    arguments = ["check", "--offline", "--lake", str(tmp_path / "lake"), "--endpoint", "no-such-host.invalid"]
    found = checked(capsys, arguments, 0)
    assert list(found) == ["configuration", "packages", "versions", "runner"]
    assert not (tmp_path / "lake").exists()


def test_a_wrong_configuration_is_refused_as_by_every_command(capsys):
    """Exit 2 and the sentence: there is nothing to try."""
    assert main(["check", "--offline", "--linger", "20s"]) == 2
    assert "at most a quarter of it" in capsys.readouterr().err


def nobody() -> str:
    """An address at which nothing listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.mark.parametrize(
    ("name", "wrong", "fix"),
    [
        ("token", {"client_id": "another"}, "check CLIENT_ID and CLIENT_SECRET"),
        ("connection", {"ca_file": "/etc/ssl/certs/ca-certificates.crt"}, "name its authority by --ca-file"),
        ("connection", {"endpoint": "there-is-no-such-host.invalid:443"}, "check --endpoint"),
        ("lake", {"lake": __file__}, "name another with --lake"),
        ("runner", {"runner": "SparkRunner"}, "ingest on FlinkRunner"),
    ],
)
def test_what_is_wrong_has_a_cross_and_the_fix(stand, tmp_path, capsys, name, wrong, fix):
    """Exit 1, one ✗ where it is; what rests on it is not tried, all else is."""
    found = checked(capsys, stand.arguments(tmp_path / "lake", **wrong), 1)
    assert [each for each in found if found[each][0] is False] == [name]
    assert fix in found[name][1]
    assert set(NAMES) <= set(found)


def test_a_service_that_is_down_and_a_cluster_that_is_not_there(tmp_path, capsys):
    """Each part of the cluster has its own line."""
    flink, jobs, pool = nobody(), nobody(), nobody()
    cluster_options = ["--runner=PortableRunner", f"--job_endpoint={jobs}", f"--flink_master={flink}"]
    cluster_options += ["--environment_type=EXTERNAL", f"--environment_config={pool}"]
    arguments = ["check", "--lake", str(tmp_path / "lake"), "--endpoint", nobody(), *cluster_options]
    found = checked(capsys, arguments, 1)
    assert "check --flink_master" in found["Flink"][1]
    assert "check --job_endpoint" in found["job server"][1]
    assert "worker_pool_main" in found["worker pool"][1]
    assert "whether it is up" in found["connection"][1]
    assert found["stream"][0] is None


def test_a_worker_pool_beside_each_task_manager_is_not_looked_for_here():
    """`localhost` is the TaskManager's own host, on which this command does not run."""
    assert cluster._worker_pool("localhost:50000", "http://jobmanager:8081").passed is None


def test_a_job_server_of_another_version_than_flink(tmp_path):
    """Its jar's name says which Flink it is for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b'{"flink-version": "1.20.1"}')

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        assert cluster._flink(url, "/x/beam-runners-flink-1.20-job-server-2.62.0.jar").startswith("1.20.1 at")
        with pytest.raises(JobError, match=r"take the job server for 1\.20"):
            cluster._flink(url, "/x/beam-runners-flink-1.19-job-server-2.62.0.jar")
    finally:
        server.shutdown()
        server.server_close()


def job_server_jar(folder: Path, version: str) -> Path:
    """What of Beam's jar tells its version."""
    jar = folder / "job-server.jar"
    with zipfile.ZipFile(jar, "w") as made:
        made.writestr("org/apache/beam/sdk/sdk.properties", f"# SDK\n\nversion={version}\n")
    return jar


@pytest.mark.parametrize(
    ("version", "grows"),
    [("2.62.0", True), ("2.75.1", True), ("2.76.0", False), ("2.77.0-SNAPSHOT", False), ("3.0.0", False)],
)
def test_a_job_server_whose_state_grows_is_told(tmp_path, version, grows):
    """By the version that is in the jar, with the fix."""
    says = cluster._job_server_jar(job_server_jar(tmp_path, version))
    assert says.startswith(f"job-server.jar is of Beam {version}")
    assert ("take 2.76 or newer" in says) == grows


def test_a_jar_that_is_no_job_server(tmp_path, capsys):
    """Whether it is cut off or another's: it is refused, with the option to correct."""
    jar = tmp_path / "job-server.jar"
    jar.write_bytes(b"PK")
    arguments = ["check", "--lake", str(tmp_path / "lake"), "--endpoint", nobody(), "--runner=FlinkRunner"]
    found = checked(capsys, [*arguments, f"--flink_job_server_jar={jar}"], 1)
    assert found["job server"] == (
        False, f"{jar} is no job server of Beam's: name its jar with --flink_job_server_jar=FILE",
    )  # fmt: skip


class Elsewhere(MemoryStore):
    """A lake whose clock differs."""

    def __init__(self, differs: timedelta) -> None:
        super().__init__()
        self._differs = differs

    def create(self, key, data):
        self.overwrite(key, bytes(data), datetime.now(UTC) + self._differs)


@pytest.mark.parametrize(
    ("minutes", "says"), [(0, None), (-2, "ahead of the lake's"), (2, "behind the lake's")]
)
def test_clocks_that_differ(minutes, says):
    """By more than a minute it is refused, with the direction; no probe stays."""
    store = Elsewhere(timedelta(minutes=minutes))
    if says is None:
        assert "second" in storage._clock(store)
    else:
        with pytest.raises(LakeError, match=says):
            storage._clock(store)
    assert not store.objects


def test_who_may_not_delete_may_ingest(monkeypatch):
    """No failure, but it is said: publish and erase need it."""
    store = MemoryStore()

    def refuse(_keys):
        raise LakeError("grant s3:DeleteObject")

    monkeypatch.setattr(store, "delete", refuse)
    assert "not delete, which publish and erase need and ingest does not" in storage._rights(store)


def test_it_takes_what_a_run_takes():
    """The same command line with another word: nothing has to be left out."""
    assert set(options_of("run")) <= set(options_of("check"))
