"""Fixtures: a lake in a folder, and the command line as a function."""

import pytest
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation


@pytest.fixture
def store(tmp_path):
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    return store


@pytest.fixture
def run(store, capsys):
    """`run("query", "SELECT 1")` returns (exit code, standard output, standard error)."""

    def run(command, *arguments):
        code = main([command, *arguments, "--lake", store.location.url])
        return code, *capsys.readouterr()

    return run
