"""What `run` ends with."""

import io
import os
import shlex
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import lakes
from wgtwo_pipeline.run import closing


def shown(store, monkeypatch):
    out = io.StringIO()
    monkeypatch.setattr("sys.stdout", out)
    monkeypatch.setattr("sys.argv", ["/some/where/wgtwo-pipeline"])
    monkeypatch.setenv("PATH", "/nowhere")  # an activated environment has one, too
    code = closing.show(SimpleNamespace(lake=store.location))
    return out.getvalue(), code


def test_it_shows_an_answer_a_proof_and_what_is_next(store, monkeypatch):
    """Tables, SQL with its answer, a passing audit, and commands that work as they stand; in 100 columns."""
    lakes.lake_of_two_days(store)
    text, code = shown(store, monkeypatch)
    assert code == 0
    assert "FROM events GROUP BY type" in text  # there are no delivery reports to ask for
    assert ["sms", "30"] in [line.split()[:2] for line in text.splitlines()]
    assert "audit passed" in text
    assert f'/some/where/wgtwo-pipeline query --lake {store.location.url} "FROM sms LIMIT 3"' in text
    assert max(map(len, text.partition("Next:")[0].splitlines())) <= 100


def test_the_line_for_pandas_works_as_it_stands(store, monkeypatch):
    """In a shell, in the folder where it was shown: the whole table, with nothing of this project."""
    lakes.lake_of_two_days(store)
    monkeypatch.chdir(Path(store.uri("")).parent)
    text, _ = shown(store, monkeypatch)
    (line,) = [line for line in text.splitlines() if "import pandas" in line]
    command = line[line.index("python -c") :].replace("python", shlex.quote(sys.executable), 1)
    assert '"lake/tables/sms"' in command
    without_us = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    found = subprocess.run(command, shell=True, capture_output=True, text=True, env=without_us, check=True)
    assert "[30 rows x " in found.stdout
    assert "2026-11-24" in found.stdout


def test_an_empty_lake_has_nothing_to_show(store, monkeypatch):
    """Stopped before anything came, it says so."""
    text, code = shown(store, monkeypatch)
    assert "is empty" in text
    assert code == 0


def test_a_difference_is_a_failure(store, monkeypatch):
    """A run that ends with an audit that does not pass has not succeeded."""
    lakes.lake_of_two_days(store)
    store.delete(["tables/sms/day=2026-11-23/0000000001-000.parquet"])
    text, code = shown(store, monkeypatch)
    assert "audit FAILED" in text
    assert code == 1
