"""These tests share what a lake must hold with the end to end tests, and whose rights a command has."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from processes import Command
from servers import Credentials, VersityGateway

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))
sys.path.insert(0, str(Path(__file__).parent))

from least_rights import BUCKET, PREFIX, secret


@pytest.fixture
def command(tmp_path: Path, gateway: VersityGateway) -> Iterator[Callable[..., Command]]:
    """`command("ingest", "publish", …)` runs `wgtwo-pipeline publish …` on the lake as the user `ingest`."""
    started: list[Command] = []
    lake = ("--lake", f"s3://{BUCKET}/{PREFIX}", "--s3-endpoint", gateway.endpoint)

    def start(user: str, name: str, *arguments: object) -> Command:
        environment = Credentials(user, secret(user)).environment()
        started.append(Command(tmp_path / "output", name, *lake, *arguments, env=environment))
        return started[-1]

    yield start
    for each in started:
        each.end()
