"""A lake in a folder, and the command line as a function."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2]))

from spark_session import spark  # noqa: F401  # a fixture
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
