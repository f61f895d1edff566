from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cluster import FlinkCluster, flink_cluster
from processes import Command, Service


@pytest.fixture(scope="session")
def flink(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    with flink_cluster(tmp_path_factory.mktemp("flink")) as cluster:
        yield cluster


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """`command("ingest", "--for", "1s")` starts `wgtwo-pipeline ingest --for 1s`."""
    started: list[Command] = []

    def start(*arguments: object) -> Command:
        started.append(Command(tmp_path / "output", *arguments))
        return started[-1]

    yield start
    for each in started:
        each.end()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """`service("--count", 100)` starts a sandbox."""
    started: list[Service] = []

    def start(*options: object) -> Service:
        started.append(Service(tmp_path / "output", *options))
        return started[-1]

    yield start
    for each in started:
        each.command.end()
