"""Flink's application mode, with the driver command of the chart: a JobManager that submits its own and only job."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import FlinkCluster
from e2e.expected import assert_published
from patience import wait_until
from processes import Command, Service

# The session's first test also waits for downloads, on a machine that has nothing yet.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

CHART = Path(__file__).parents[2] / "infra" / "helm" / "wgtwo-pipeline" / "templates" / "flink.yaml"


def driver(flink: FlinkCluster) -> str:
    """What the chart names as `--driver-cmd`, for two members and the worker pool of here."""
    (line,) = re.findall(r"^ *- (wgtwo-pipeline ingest .*--detach.*)$", CHART.read_text(), re.MULTILINE)
    values = {r"\{\{ \.Values\.flink\.subscriptions \}\}": "2", "localhost:50000": flink.worker_endpoint}
    for name, value in values.items():
        line, count = re.subn(name, value, line)
        assert count == 1, name
    return line


@pytest.fixture
def start_application(flink: FlinkCluster) -> Iterator[Callable[[str, dict[str, str]], None]]:
    """`start_application(driver, environment)` puts it in the JobManager's place, until the test's end."""

    def start(driver: str, environment: dict[str, str]) -> None:
        flink.kill_job_manager()
        flink.start_application(driver, environment)

    yield start
    flink.kill_job_manager()
    flink.start_job_manager()


def test_a_job_manager_that_was_killed_submits_again_from_nothing(
    flink: FlinkCluster,
    service: Callable[..., Service],
    command: Callable[..., Command],
    start_application: Callable[[str, dict[str, str]], None],
    tmp_path: Path,
) -> None:
    """No command, no job server: the job is RUNNING; killed, and started anew as Kubernetes would, it goes on."""
    lake, settings = tmp_path / "lake", tmp_path / "pipeline.toml"
    sandbox = service("--rate", 300)
    options = {"endpoint": sandbox.address, "plaintext": True, "lake": str(lake), "ack-timeout": "5s"}
    settings.write_text("".join(f"{name} = {json.dumps(value)}\n" for name, value in options.items()))

    def acked() -> int:
        return int(sandbox.group().get("acked", 0))

    def goes_on(life: str) -> None:
        start_application(driver(flink), {"WGTWO_CONFIG": str(settings)})
        before = acked()
        wait_until(lambda: acked() > before + 1_000, 120, f"acks of the {life} life", flink.jobs)
        assert list(flink.jobs().values()) == ["RUNNING"]
        wait_until(lambda: len(sandbox.group()["members"]) == 2, 30, "two members", sandbox.group)

    goes_on("first")
    goes_on("second")
    (job,) = flink.running()
    flink.cancel(job)
    wait_until(lambda: flink.job_manager.poll() is not None, 60, "the application ends with its job")
    wait_until(lambda: not sandbox.group()["members"], 15, "its streams are closed", sandbox.group)

    sandbox.set_rate(0)
    command("ingest", "--config", settings, "--until-idle", "6s").succeeds(90)
    command("publish", "--config", settings).succeeds(60)
    sandbox.all_acked()
    assert_published(lake, sandbox.emitted())
