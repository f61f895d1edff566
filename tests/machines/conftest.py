"""Other people's machines, as a table: each case with the right outcome, and what it showed."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from patience import PATIENCE_SECONDS

_SHOWN: list[tuple[str, str, str]] = []


@pytest.fixture
def showed(request) -> Callable[[str], None]:
    """`showed("exit 0, 2 rows")` puts a line into the table that ends the run."""
    docstring = " ".join((request.function.__doc__ or "").split())
    return lambda text: _SHOWN.append((request.node.name, docstring, " ".join(text.split())))


def pytest_collection_modifyitems(items):
    """They start many processes and need namespaces: `make machines` runs them, not `make test`."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.heavy)


def pytest_runtest_logreport(report):
    """With several workers, what was shown travels with the report."""
    _SHOWN.extend(tuple(line) for line in dict(report.user_properties).get("showed", ()))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "teardown":
        report.user_properties.append(("showed", [line for line in _SHOWN if line[0] == item.name]))
    return report


def pytest_terminal_summary(terminalreporter):
    if _SHOWN:
        terminalreporter.section("other people's machines")
        for name, right, shown in dict.fromkeys(_SHOWN):
            terminalreporter.write_line(f"{name}\n    right   {right}\n    showed  {shown}")


class Machine:
    """A machine that lacks something: paths that are empty, variables, a limit of memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.hidden: list[str] = []
        self.environment: dict[str, str] = {}

    def run(
        self, *arguments: object, timeout: float = PATIENCE_SECONDS, **more: object
    ) -> subprocess.CompletedProcess[str]:
        """Runs `wgtwo-pipeline` with these arguments there, to its end."""
        return self.python("-m", "wgtwo_pipeline", *arguments, timeout=timeout, **more)

    def python(
        self, *arguments: object, timeout: float = PATIENCE_SECONDS, **more: object
    ) -> subprocess.CompletedProcess[str]:
        """Runs Python there."""
        command = self.command([sys.executable, *map(str, arguments)])
        return subprocess.run(
            command,
            env=self.variables(),
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            cwd=self.folder,
            **more,
        )

    def command(self, command: Sequence[str]) -> list[str]:
        """The command as this machine runs it: in a mount namespace in which the hidden folders are empty."""
        if not self.hidden:
            return list(command)
        hide = "; ".join(f"mount -t tmpfs none {path}" for path in self.hidden)
        who = [] if os.geteuid() == 0 else ["--map-root-user"]
        return ["unshare", *who, "--mount", "sh", "-c", f'set -e; {hide}; exec "$@"', "sh", *command]

    def variables(self) -> dict[str, str]:
        """An environment in which nobody has set anything up, but for `environment`."""
        kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH", "LANG") if name in os.environ}
        return {
            **kept,
            "HOME": str(self.folder / "home"),
            "AWS_EC2_METADATA_DISABLED": "true",
            **self.environment,
        }


@pytest.fixture
def machine(tmp_path) -> Machine:
    return Machine(tmp_path)


@pytest.fixture(scope="session")
def namespaces() -> None:
    """A mount namespace can be had here."""
    who = [] if os.geteuid() == 0 else ["--map-root-user"]
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([unshare, *who, "--mount", "true"], check=False).returncode:
        pytest.fail("no mount namespace can be had here (unshare --mount): run this set where one can")
