"""Starts the project's processes and ends them, whatever happens."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import Command, Service


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """`command("run", "--for", "1s")` starts `wgtwo-pipeline run --for 1s`."""
    started: list[Command] = []

    def start(*arguments: object, env: dict[str, str] | None = None) -> Command:
        started.append(Command(tmp_path / "output", *arguments, env=env))
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


@pytest.fixture
def run(command: Callable[..., Command], tmp_path: Path) -> Callable[..., Command]:
    """`run(service, …)` starts `run` on the lake `tmp_path / "lake"` against that service."""

    def start(service: Service, *options: object, env: dict[str, str] | None = None) -> Command:
        return command(
            *("run", "--endpoint", service.address, "--plaintext", "--lake", tmp_path / "lake", *options),
            env=env,
        )

    return start
