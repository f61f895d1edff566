"""What every test gets."""

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import patience
import pytest
from processes import Command, Service

# What an example takes says nothing where other work has the cores.
hypothesis.settings.register_profile(
    "busy", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("busy")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, in random order as all: begun last, it would be waited for."""
    items.sort(key=lambda item: (not item.path.stem.startswith("test_every_"), "e2e" not in item.path.parts))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture: only heavy tests are held to seconds."""
    patience.measure(item.get_closest_marker("heavy") is not None)


@pytest.fixture(autouse=True)
def _logging_as_it_was() -> Iterator[None]:
    """The command line sets up logging for its process; the next test must not inherit that."""
    root = logging.getLogger()
    level, handlers = root.level, list(root.handlers)
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


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
