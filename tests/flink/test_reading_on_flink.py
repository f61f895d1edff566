"""The sources on a real Flink cluster: windows of event time close with what SQL says, also through a kill."""

# mypy: disable-error-code="no-untyped-call"
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import apache_beam as beam
import pytest
import reading_graph
from apache_beam.options.pipeline_options import PipelineOptions
from cluster import FlinkCluster
from patience import wait_until
from processes import Command, Service
from reading_graph import BOTH, closed, events

# The session's first test also waits for downloads, on a machine that has nothing yet.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

WINDOWS = 20


def test_windows_close_with_what_sql_says_through_a_kill_of_the_task_manager(
    flink: FlinkCluster,
    service: Callable[..., Service],
    command: Callable[..., Command],
    tmp_path: Path,
) -> None:
    """kill -9 with checkpoints: table rows exactly once, deliveries at least once, and the positions are kept."""
    lake = tmp_path / "lake"
    sandbox = service("--rate", 200, "--duplicate-deliveries", 0.01)
    connection = ("--endpoint", sandbox.address, "--plaintext", "--lake", lake, "--ack-timeout", "3s")
    run = command("run", *connection, "--publish-every", "2s")
    wait_until(lambda: list(lake.glob("epochs/*2/manifest.json")), 60, "two epochs", lambda: run.stderr)
    first = min(sequence for sequences in reading_graph.by_sql(lake).values() for sequence in sequences)

    before = set(flink.jobs())
    streaming = [
        "--streaming",
        "--checkpointing_interval=6000",
        "--max_bundle_time_mills=200",
        "--finish_bundle_before_checkpointing",
    ]
    pipeline = beam.Pipeline(options=PipelineOptions(flink.options(*streaming)))
    reading_graph.build(pipeline, tmp_path, str(lake), allowed_lag=6)
    pipeline.run()
    (job,) = wait_until(lambda: set(flink.jobs()) - before, 60, "the job is there", pause_seconds=0.1)

    def at_least(windows: int) -> bool:
        return min(len(closed(tmp_path, name)) for name in BOTH) >= windows

    def checkpoints() -> int:
        return int(flink.rest(f"/jobs/{job}/checkpoints")["counts"]["completed"])

    wait_until(lambda: at_least(5) and checkpoints() > 0, 150, "windows and a checkpoint", pause_seconds=0.3)
    flink.kill_task_manager(job)
    wait_until(lambda: flink.jobs()[job] == "RESTARTING", 60, "the job to notice", pause_seconds=0.1)
    came = {name: len(events(tmp_path, name)) for name in BOTH}
    most = max(len(closed(tmp_path, name)) for name in BOTH)
    flink.start_task_manager()
    wait_until(lambda: at_least(max(WINDOWS, most) + 5), 150, "windows after the restart", pause_seconds=0.3)

    flink.cancel(job)
    wait_until(lambda: flink.jobs()[job] == "CANCELED", 60, "the job to end", pause_seconds=0.1)
    sandbox.set_rate(0)
    run.send(2)  # publishes what is left
    run.succeeds(60)
    reading_graph.assert_equal_to_sql(tmp_path, lake, WINDOWS)
    for name in BOTH:
        assert first in events(tmp_path, name)[: came[name]]
        again = events(tmp_path, name)[came[name] :]
        assert again
        assert first not in again, f"{name}: it went on at the position of the checkpoint, not at the start"
