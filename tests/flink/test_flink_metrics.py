"""What the workers on Flink count is on Flink's own Prometheus reporter, under the names that the docs say."""

from __future__ import annotations

import re
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import requests
from cluster import FlinkCluster
from patience import wait_until
from processes import Command, Service
from reporter import REPORTER
from wgtwo_pipeline.ingest.counters import NAMES

# The session's first test also waits for downloads, on a machine that has nothing yet.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

COUNT = 400
DOCUMENT = Path(__file__).parents[2] / "docs" / "metrics.md"


def scraped(flink: FlinkCluster) -> dict[str, float]:
    """Our counters by their names, added up over operators, as all of the cluster's processes show them."""
    found: dict[str, float] = {}
    for port in flink.metrics_ports:
        try:
            text = requests.get(f"http://127.0.0.1:{port}/metrics", timeout=10).text
        except requests.ConnectionError:  # a port that no process has taken
            continue
        for name, value in re.findall(r"^(\w*ingest_\w+)\{[^}]*\} (\S+)$", text, re.MULTILINE):
            found[name] = found.get(name, 0) + float(value)
    return found


def test_its_prometheus_reporter_shows_our_counters(
    flink: FlinkCluster, service: Callable[..., Service], command: Callable[..., Command], tmp_path: Path
) -> None:
    """Every counter of `ingest`, and what was received, journaled and acked is what the service has sent."""
    sandbox = service("--count", COUNT, "--rate", 200)
    lake = tmp_path / "lake"
    connection = ("--endpoint", sandbox.address, "--plaintext", "--lake", lake)
    job = command("ingest", *connection, *flink.flink_options())
    prefix = "flink_taskmanager_job_task_operator_ingest_"

    def count(name: str) -> float:
        return scraped(flink).get(prefix + name, 0)

    wait_until(
        lambda: count("acked") >= COUNT, 120, "the acks are shown", lambda: (scraped(flink), job.stderr)
    )
    sandbox.all_acked()
    shown = scraped(flink)
    assert {name.removeprefix(prefix) for name in shown} >= set(NAMES)
    assert [shown[prefix + name] for name in ("received", "journaled", "acked")] == [COUNT] * 3
    document = DOCUMENT.read_text()
    assert f"`{prefix}received`" in document
    assert f"metrics.reporter.prometheus.factory.class: {REPORTER}" in document
    job.send(signal.SIGTERM)
    job.succeeds(60)
