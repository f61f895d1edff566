"""Starts sandboxes and ends them, whatever happens."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from scripted_server import self_signed
from witness import Stand


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


@pytest.fixture(scope="session")
def certificate():
    return self_signed("127.0.0.1")


@pytest.fixture
def ca_file(certificate, tmp_path):
    path = tmp_path / "ca.pem"
    path.write_bytes(certificate.pem)
    return str(path)
