"""A folder that looks like the project's, for commands that people type there."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
_MADE_BY_THE_GUIDE = {"wgtwo.bin", "guide", "lake"}


class Shell:
    """Runs blocks of shell commands one after the other as one terminal does: variables stay exported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._variables = folder / ".variables"
        self._variables.write_text("")
        self._started: list[subprocess.Popen[bytes]] = []

    def run(self, block: str, seconds: float = 120) -> str:
        """Its standard output; the test fails if a command does."""
        done = subprocess.run(
            self._bash(f"{block}\nexport -p > {self._variables}"),
            cwd=self.folder,
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def start(self, block: str, output: Path) -> subprocess.Popen[bytes]:
        """As if in another terminal; what it says goes to a file."""
        with output.open("wb") as file:
            process = subprocess.Popen(
                self._bash(block),
                cwd=self.folder,
                env=self._environment(),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        self._started.append(process)
        return process

    def _bash(self, block: str) -> list[str]:
        return ["bash", "-c", f"set -e -o pipefail\nsource {self._variables}\n{block}"]

    @staticmethod
    def _environment() -> dict[str, str]:
        return {name: value for name, value in os.environ.items() if not name.startswith("WGTWO_")}

    def end(self) -> None:
        for process in self._started:
            try:
                os.killpg(process.pid, 9)
            except ProcessLookupError:
                continue
            process.wait()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """In a copy of the project's folder that leaves no trace in it; the environment is that of the tests.

    To make it looks just installed: through links, an installation would change the one that the tests run in.
    """
    folder = tmp_path / "project"
    folder.mkdir()
    for path in ROOT.iterdir():
        if path.name not in _MADE_BY_THE_GUIDE | {".venv"}:
            (folder / path.name).symlink_to(path)
    environment = folder / ".venv"
    environment.mkdir()
    for path in Path(sys.executable).parents[1].iterdir():
        if not path.name.startswith("installed"):
            (environment / path.name).symlink_to(path)
    for marker in ("installed", "installed-dev"):
        (environment / marker).touch()
    shell = Shell(folder)
    yield shell
    shell.end()
