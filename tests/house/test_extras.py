"""A worker does without the extras; whoever does not is told what to install."""

import os
import re
import tomllib
from pathlib import Path

import pytest
from processes import Command, Service
from wgtwo_pipeline.extras import EXTRAS

ROOT = Path(__file__).resolve().parents[2]
WITHOUT = Path(__file__).parent / "without_extras"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
IMPORTED_AS = {"grpcio-health-checking": "grpc_health", "grpcio-reflection": "grpc_reflection"}


@pytest.fixture
def without_extras(command):
    """`without_extras("publish", …)` starts it with a Python that finds no module of an extra."""
    path = os.pathsep.join(filter(None, (str(WITHOUT), os.environ.get("PYTHONPATH"))))

    def start(*arguments: object) -> Command:
        return command(*arguments, env={"PYTHONPATH": path})

    return start


def names(requirements):
    """The distributions of requirements, without versions."""
    return {re.split(r"[^a-z0-9-]", requirement)[0] for requirement in requirements}


def pins(name):
    """The lines of a lock file that pin, without comments."""
    return {line for line in (ROOT / name).read_text().splitlines() if line and line[0] not in " #"}


def test_ingest_and_publish_need_no_extra(service, without_extras, tmp_path):
    """A worker journals, acks and publishes where no module of an extra is installed; so do `status` and `audit`."""
    sandbox: Service = service("--rate", 500, "--count", 100)
    lake = ("--lake", tmp_path / "lake")
    ingest = without_extras(
        *("ingest", "--endpoint", sandbox.address, "--plaintext", "--max-events", 100, *lake)
    )
    ingest.succeeds()
    assert sandbox.all_acked()["acked"] == 100
    assert "published 100 events" in without_extras("publish", *lake).succeeds().stderr
    assert "100" in without_extras("status", *lake).succeeds().stdout
    assert "audit passed" in without_extras("audit", *lake).succeeds().stdout


@pytest.mark.parametrize(
    ("arguments", "module", "extra"),
    [
        (("query",), "duckdb", "query"),
        (("audit", "--deep"), "duckdb", "query"),
        (("sandbox", "--address", "127.0.0.1:0"), "grpc_health", "sandbox"),
        (("register",), "pyiceberg", "iceberg"),
        (("report",), "duckdb, fsspec, matplotlib", "query,report"),
        (("run", "--for", "1s", "--endpoint", "localhost:1", "--catalog", "lake"), "pyiceberg", "iceberg"),
        (("run", "--for", "1s"), "grpc_health, grpc_reflection, duckdb, fsspec", "query,sandbox"),
    ],
    ids=[
        "query",
        "audit --deep",
        "sandbox",
        "register",
        "report",
        "run --catalog",
        "run with a sandbox inside",
    ],
)
def test_what_is_missing_is_named_with_what_to_type(without_extras, tmp_path, arguments, module, extra):
    """Exit code 2 and one sentence; `run` says it before it has done anything."""
    lake = tmp_path / "lake"
    options = () if arguments[0] == "sandbox" else ("--lake", lake)
    if arguments[0] in ("query", "audit", "register", "report"):
        lake.mkdir()
    refused = without_extras(*arguments, *options)
    assert refused.wait() == 2
    verb = "are" if "," in module else "is"
    assert refused.stderr.splitlines() == [
        f'wgtwo-pipeline: error: {module} {verb} not installed: pip install "wgtwo-pipeline[{extra}]"'
    ]
    assert arguments[0] != "run" or not lake.exists()


def test_a_plain_installation_brings_every_extra_but_two():
    """What the README shows works after `pip install wgtwo-pipeline`; each extra is what `extras.py` says of it."""
    extras = dict(PROJECT["optional-dependencies"])
    assert extras.pop("all") == [f"wgtwo-pipeline[{','.join(sorted(extras))}]"]
    for name, requirements in extras.items():
        assert (set(requirements) <= set(PROJECT["dependencies"])) == (name not in ("iceberg", "report"))
        imported = {IMPORTED_AS.get(each, each) for each in names(requirements)}
        assert imported == set(EXTRAS[name])
    assert extras.keys() == EXTRAS.keys()


def test_a_worker_is_pinned_as_everything_else_is():
    """`requirements-worker.lock` holds what is not of an extra, in the versions that `requirements.lock` has."""
    worker, everything = pins("requirements-worker.lock"), pins("requirements.lock")
    extras = set().union(*map(names, list(PROJECT["optional-dependencies"].values())))
    assert worker <= everything
    assert names(PROJECT["dependencies"]) - extras <= names(worker)
    assert names(everything) - names(worker) <= extras
    assert names(everything) - names(worker) >= {"duckdb", "grpcio-reflection", "grpcio-health-checking"}
