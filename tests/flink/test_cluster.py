"""What `wgtwo_pipeline.run.cluster` does without a cluster: refuses, asks Flink's REST API, counts in the lake."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import apache_beam as beam
import pytest
from typed import settings
from wgtwo_pipeline.cli.build import build
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.errors import ConfigurationError, PipelineError
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.run import cluster, jobs
from wgtwo_pipeline.run.config import Config

FLINK = ("--runner=FlinkRunner", "--job_endpoint=127.0.0.1:9", "--flink_master=127.0.0.1:9")


def configuration(*arguments: str, environment: dict[str, str] | None = None) -> Config:
    return build(settings(*arguments, environment=environment))


@pytest.mark.parametrize(
    ("arguments", "fix"),
    [
        (("publish", "--runner=FlinkRunner"), "--flink_job_server_jar=FILE"),
        (("publish", "--runner=PortableRunner"), "--job_endpoint=HOST:PORT"),
        (("run", *FLINK), "--endpoint HOST:PORT"),
    ],
)
def test_what_cannot_work_on_a_cluster_is_refused_with_the_fix(arguments, fix):
    """Nothing is downloaded, and no worker is sent to a sandbox that it cannot reach."""
    with pytest.raises(ConfigurationError) as refusal:
        cluster.prepared(configuration(*arguments))
    assert fix in str(refusal.value)


def test_a_job_that_is_left_alone_needs_a_cluster(tmp_path: Path, capsys):
    """Here nobody would keep it; and nobody would be there to stop it after a time."""
    ingest = ["ingest", "--detach", "--endpoint", "localhost:1", "--lake", str(tmp_path)]
    assert main(ingest) == 2
    assert "name one, such as --runner=FlinkRunner" in capsys.readouterr().err
    with pytest.raises(ConfigurationError, match="--for needs somebody who watches the job"):
        configuration(*ingest, "--for", "1h", *FLINK)


def test_a_folder_is_named_to_workers_by_its_absolute_path(tmp_path: Path, monkeypatch, caplog):
    """A worker's own folder is another one; that it must be shared is said."""
    monkeypatch.chdir(tmp_path)
    assert (
        cluster.prepared(configuration("publish", "--lake", "lake", *FLINK)).lake.url == f"{tmp_path}/lake/"
    )
    assert "every worker" in caplog.text
    url = "s3://bucket/prefix"
    assert cluster.prepared(configuration("publish", "--lake", url, *FLINK)).lake.url == url


def test_the_default_runner_is_known_to_be_local_without_importing_beam():
    """It would cost each command seconds."""
    code = (
        "import sys; from wgtwo_pipeline.cli.build import build; from wgtwo_pipeline.cli.command import Settings;"
        "from wgtwo_pipeline.cli.main import program; from wgtwo_pipeline.run import cluster;"
        "config = build(Settings(program.commands['publish'].make_context('publish', [])));"
        "sys.exit(cluster.is_remote(config) or 'apache_beam' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert cluster.is_remote(configuration("publish", *FLINK))
    assert not cluster.is_remote(configuration("publish", "--runner=PrismRunner"))


def test_the_submitted_job_holds_no_secret_and_a_branch_for_each_member(monkeypatch):
    """What goes to a job server is shown on its pages and kept in its folders."""
    secret = "correct-horse-battery"
    config = configuration(
        *("ingest", "--endpoint", "localhost:1", "--client-id", "us", "--subscriptions", "3", *FLINK),
        environment={"CLIENT_SECRET": secret},
    )
    submitted = []
    monkeypatch.setattr(beam.Pipeline, "run", lambda pipeline: submitted.append(pipeline))
    assert config.service is not None
    jobs.submit(config, config.service, jobs.job_name(config, "abc"))
    (pipeline,) = submitted
    graph = pipeline.to_runner_api()
    assert secret.encode() not in graph.SerializeToString()
    assert secret not in json.dumps(pipeline.options.get_all_options(), default=str)
    assert pipeline.options.get_all_options()["job_name"] == "wgtwo-ingest-abc"
    # Else a job with a checkpoint in its first bundle never begins: docs/cluster.md.
    assert pipeline.options.get_all_options()["finish_bundle_before_checkpointing"] is True
    acks = [
        each.unique_name for each in graph.components.transforms.values() if each.unique_name.endswith("/Ack")
    ]
    assert sorted(acks) == [f"Member {number}/Ack" for number in (1, 2, 3)]


class Flink:
    """A stand-in for Flink's REST API with one job."""

    def __init__(self, state: str, cancels: bool = True) -> None:
        self.state, self.asked = state, 0
        self.exceptions: dict[str, object] = {}
        flink = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                answers = {
                    "/jobs/overview": {
                        "jobs": [
                            {"jid": "old", "name": "ingest-1", "state": "CANCELED"},
                            {"jid": "job", "name": "ingest-1", "state": flink.state},
                        ]
                    },
                    "/jobs/job": {"state": flink.state},
                    "/jobs/job/exceptions?maxExceptions=1": flink.exceptions,
                }
                self._answer(answers[self.path])

            def do_PATCH(self) -> None:
                assert self.path == "/jobs/job?mode=cancel"
                flink.asked += 1
                if cancels:
                    flink.state = "CANCELED"
                self._answer({})

            def _answer(self, answer: object) -> None:
                self.send_response(200)
                self.end_headers()
                self.wfile.write(json.dumps(answer).encode())

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def job(self) -> cluster._FlinkJob:
        flink = cluster.Flink(self.url)
        found = flink.find("ingest-1")
        assert found == "job"
        return cluster._FlinkJob("ingest-1", flink, found)


@pytest.fixture
def flinks() -> Iterator[list[Flink]]:
    started: list[Flink] = []
    yield started
    for each in started:
        each.server.shutdown()
        each.server.server_close()


def test_a_cancel_is_asked_of_flink_and_waited_for(flinks):
    """Beam's own cancel would leave the job running."""
    flinks.append(Flink("RUNNING"))
    flinks[0].job().cancel()
    assert flinks[0].state == "CANCELED"
    assert cluster.Flink(flinks[0].url).find("ingest-1") is None


def test_a_job_that_does_not_end_is_no_success(flinks, monkeypatch):
    """The message says where it is to be ended."""
    monkeypatch.setattr(cluster, "_CANCEL_SECONDS", 0.6)
    flinks.append(Flink("RUNNING", cancels=False))
    with pytest.raises(PipelineError, match=r"still RUNNING .* end it there"):
        flinks[0].job().cancel()
    assert flinks[0].asked


def test_a_restarting_job_says_what_went_wrong(flinks):
    """Our own error, in the traceback in the Java stack; else the first line."""
    flinks.append(Flink("RESTARTING"))
    stack = (
        "java.lang.RuntimeException: Error received from SDK harness: Traceback (most recent call last):\n"
        "  File x\nwgtwo_pipeline.errors.ServiceError: the service refuses: check --client-id\n\n\tat java.base/x\n"
    )
    flinks[0].exceptions = {"exceptionHistory": {"entries": [{"stacktrace": stack}]}}
    assert flinks[0].job().state() == ("RESTARTING", "the service refuses: check --client-id")
    flinks[0].exceptions = {"exceptionHistory": {"entries": [{"stacktrace": "java.X: gone\n\tat y"}]}}
    assert flinks[0].job().state() == ("RESTARTING", "java.X: gone")


def test_a_flink_that_does_not_answer_has_not_ended_the_job(flinks):
    """A restart of the JobManager's host is waited for."""
    flinks.append(Flink("RUNNING"))
    job = flinks[0].job()
    flinks[0].server.shutdown()
    flinks[0].server.server_close()
    assert job.state() == ("", "")


def test_progress_is_what_came_into_the_lake_since_the_start(tmp_path: Path):
    """What was there before does not count; a heartbeat shows that a member is connected."""
    store = open_store(LakeLocation(str(tmp_path)))
    store.check()
    source = Source("v0.queue", "v0", "Subscribe")
    now = int(datetime.now(UTC).timestamp() * 1e6)
    SegmentWriter(store).write(source, [b"old"], [now])
    progress = cluster._Journaled(store)
    assert progress.look() == {"received": 0, "journaled": 0, "streams": 0}
    writer = SegmentWriter(store)
    writer.write(source, [], [])
    assert progress.look() == {"received": 0, "journaled": 0, "streams": 1}
    writer.write(source, [b"one", b"two"], [now, now])
    assert progress.look() == {"received": 2, "journaled": 2, "streams": 1}
