"""Runners as people name them: none downloads anything, and what cannot work there is one sentence."""

import pytest

ELSEWHERE = "https://example.com/what-would-be-run"
SERVICE = ("--endpoint", "127.0.0.1:9", "--plaintext")


@pytest.mark.parametrize(
    ("command", "options", "sentence"),
    [
        ("ingest", ("--runner=SparkRunner", *SERVICE), "executes no splittable DoFn"),
        ("run", ("--runner=SparkRunner", *SERVICE), "executes no splittable DoFn"),
        ("publish", ("--runner=SparkRunner",), "would download Beam's job server: name its jar with --spark"),
        ("publish", ("--runner=FlinkRunner",), "would download Beam's job server: name its jar with --flink"),
        (
            "ingest",
            ("--runner=PrismRunner", *SERVICE),
            "would download Prism: name its program with",
        ),
        (
            "publish",
            ("--runner=apache_beam.runners.portability.spark_runner.SparkRunner",),
            "would download Beam's job",
        ),
        ("publish", ("--runner=PrismRunner", f"--prism_location={ELSEWHERE}"), "is no file on this machine"),
        ("publish", (f"--prism_location={ELSEWHERE}",), "is no file on this machine"),
        (
            "publish",
            ("--runner=FlinkRunner", f"--flink_job_server_jar={ELSEWHERE}"),
            "is no file on this machine",
        ),
        ("erase", ("--runner=FlinkRunner",), "would download Beam's job server: name its jar with --flink"),
        ("publish", ("--runner=PortableRunner",), "needs --job_endpoint=HOST:PORT"),
        ("publish", ("--runner=DataflowRunner",), "needs --project=…, --region=…, --temp_location=…"),
        (
            "publish",
            ("--runner=DataflowRunner", "--project=p", "--region=r", "--temp_location=gs://b/t"),
            'pip install "apache-beam[gcp]"',
        ),
    ],
)
def test_a_runner_that_cannot_work_as_it_is_set_up(machine, tmp_path, showed, command, options, sentence):
    """It is refused with exit code 2 and the fix, before anything is downloaded, submitted or acked."""
    ended = machine.run(command, *options, "--lake", tmp_path / "lake")
    assert ended.returncode == 2, ended.stderr
    assert sentence in ended.stderr
    assert not (tmp_path / "lake").exists()
    assert not (tmp_path / "home").exists(), "nothing was put into the home folder's cache"
    showed(ended.stderr.splitlines()[-1])
