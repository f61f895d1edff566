# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from cluster import FlinkCluster
from endless import Endless

# The session's first test also waits for downloads, on a machine that has nothing yet.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

FINAL = {"FINISHED", "CANCELED", "FAILED"}


def poll(ready: Callable[[], bool], what: str, deadline_seconds: float = 60) -> None:
    deadline = time.monotonic() + deadline_seconds
    while not ready():
        assert time.monotonic() < deadline, f"waited {deadline_seconds} s for {what}"
        time.sleep(0.1)


def test_batch_pipeline_computes_on_the_cluster(flink: FlinkCluster, tmp_path: Path) -> None:
    """A bounded pipeline with a shuffle runs on the cluster's own workers and its job ends FINISHED."""
    before = set(flink.jobs())

    def write(group: tuple[int, list[int]]) -> None:  # nested: workers cannot import this file
        key, values = group
        (tmp_path / str(key)).write_text(str(sum(values)))

    with beam.Pipeline(options=PipelineOptions(flink.options())) as pipeline:
        grouped = pipeline | beam.Create(range(10)) | beam.WithKeys(lambda n: n % 2) | beam.GroupByKey()
        _ = grouped | beam.Map(write)

    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {"0": "20", "1": "25"}
    poll(
        lambda: [s for j, s in flink.jobs().items() if j not in before] == ["FINISHED"],
        "the job to be FINISHED",
    )


def test_streaming_job_survives_kill_of_its_task_manager(flink: FlinkCluster, tmp_path: Path) -> None:
    """An unbounded job goes on after kill -9 of its TaskManager, and ends when it is cancelled through REST."""
    out = tmp_path / "out"
    before = set(flink.jobs())

    def append(at: object) -> None:
        with out.open("a") as file:
            file.write(f"{at}\n")

    def lines() -> int:
        return len(out.read_text().splitlines()) if out.exists() else 0

    # A checkpoint puts off the end of a bundle: where checkpoints come as often as bundles end, none ends.
    streaming = [
        "--streaming",
        "--checkpointing_interval=5000",
        "--max_bundle_time_mills=200",
        "--finish_bundle_before_checkpointing",
    ]
    pipeline = beam.Pipeline(options=PipelineOptions(flink.options(*streaming)))
    _ = pipeline | beam.Impulse() | beam.ParDo(Endless()) | beam.Map(append)
    pipeline.run()
    poll(lambda: lines() > 5, "the first elements")
    (job,) = set(flink.jobs()) - before

    flink.kill_task_manager(job)
    poll(lambda: flink.jobs()[job] == "RESTARTING", "the job to notice")
    written = lines()
    flink.start_task_manager()
    poll(lambda: lines() > written + 5, "elements after the restart")

    flink.cancel(job)
    poll(lambda: flink.jobs()[job] in FINAL, "the job to end")
    assert flink.jobs()[job] == "CANCELED"
