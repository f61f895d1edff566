"""Starts sandboxes and the project's commands, and ends them, whatever happens."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import Command
from witness import Stand


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
def sandbox(tmp_path: Path) -> Iterator[Callable[..., Stand]]:
    """`sandbox("--count", 100)` starts one."""
    started: list[Stand] = []

    def start(*options: object) -> Stand:
        started.append(Stand(tmp_path / "output", *options))
        return started[-1]

    yield start
    for each in started:
        each.command.end()


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"
