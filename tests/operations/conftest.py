"""Starts `run` against a sandbox."""

from collections.abc import Callable
from pathlib import Path

import pytest
from processes import Command, Service


@pytest.fixture
def run(command: Callable[..., Command], tmp_path: Path) -> Callable[..., Command]:
    """`run(service, …)` starts `run` on the lake `tmp_path / "lake"` against that service."""

    def start(service: Service, *options: object) -> Command:
        return command(
            "run", "--endpoint", service.address, "--plaintext", "--lake", tmp_path / "lake", *options
        )

    return start
