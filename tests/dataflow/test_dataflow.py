"""Dataflow's own runner translates every flow, by a dry run: no server of Google's is asked, no job was ever run."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
from dataflow_python import ROOT, dataflow_python
from patience import at_most

# The first test also waits for an installation, on a machine that has nothing yet.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

SECRET = "correct-horse-battery"
NOBODY = "http://127.0.0.1:9"
OPTIONS = (
    *("--runner=DataflowRunner", "--project=my-project", "--region=europe-west1"),
    *("--temp_location=gs://my-bucket/tmp", "--sdk_container_image=registry.example/worker"),
    "--dry_run=True",
)


def translated(*arguments: object) -> str:
    """What a Python with Google's packages prints that reaches nobody."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")},
        "PYTHONPATH": f"{ROOT / 'pipeline'}:{ROOT / 'protos'}",
        "CLIENT_SECRET": SECRET,
        "HTTPS_PROXY": NOBODY,
        "HTTP_PROXY": NOBODY,
    }
    ended = subprocess.run(
        [dataflow_python(), *map(str, arguments), *OPTIONS],
        env=environment, capture_output=True, text=True, timeout=at_most(120), check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert SECRET not in ended.stdout + ended.stderr
    return ended.stdout


def test_ingest_is_submitted_as_the_page_says(tmp_path: Path) -> None:
    """By the command itself: it prints the job's name and ends."""
    connection = ("--endpoint", "api.wgtwo.com:443", "--client-id", "us", "--lake", tmp_path / "lake")
    printed = translated("-m", "wgtwo_pipeline", "ingest", *connection, "--subscriptions", 2, "--detach")
    assert re.fullmatch(r"wgtwo-ingest-\w+\n", printed)
    page = (ROOT / "docs" / "cluster.md").read_text()
    assert all(option.partition("=")[0] in page for option in OPTIONS)


def test_publish_and_erase_translate() -> None:
    """Every step of both; a key that Dataflow could not group by would be refused."""
    found = json.loads(translated(Path(__file__).with_name("translate.py")))
    for flow, wanted in {
        "publish": {"Seal", "Decode", "Partition", "Write", "Epoch", "Commit"},
        "erase": {"Candidates", "Look", "Found", "Plan", "Rewrite", "Done", "Receipt"},
    }.items():
        assert wanted <= set(found[flow]), flow
