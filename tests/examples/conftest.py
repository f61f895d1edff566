"""A lake that the sandbox has filled, as `make run` leaves it: the examples begin there."""

from pathlib import Path

import pytest
from processes import Command
from wgtwo_pipeline import Lake


@pytest.fixture(scope="session")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Lake:
    """In a folder of its own, `…/lake`, with events of all types; nobody may change it."""
    folder = tmp_path_factory.mktemp("sandbox")
    made = Command(
        folder / "output", "run", "--max-events", 500, "--publish-every", "2s", "--lake", folder / "lake"
    )
    try:
        made.succeeds()
    finally:
        made.end()
    return Lake(folder / "lake")


@pytest.fixture
def beside_lake(lake: Lake, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder is the one that has `./lake`."""
    folder = Path(lake.status()["lake"]).parent
    monkeypatch.chdir(folder)
    return folder
