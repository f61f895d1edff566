"""Every event that is logged has a stable name, and docs/log-events.md has each of them."""

import ast
import json
import logging
import re
from pathlib import Path

import pytest
from wgtwo_pipeline import log_events, logs

PACKAGE = Path(__file__).parents[2] / "pipeline" / "wgtwo_pipeline"
SAYS = ("info", "warning", "error", "exception", "critical", "log")
NAMES = sorted(set(log_events.EVENTS.values()))


def said():
    """(logger, sentence) of each call of a logger above level debug."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in SAYS:
                if getattr(node.func.value, "id", "") not in ("_LOG", "logger"):
                    continue
                sentence = node.args[1] if node.func.attr == "log" else node.args[0]
                logger = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
                assert isinstance(sentence, ast.Constant), f"{path.name} {node.lineno}: log a constant"
                yield logger, sentence.value


def test_every_sentence_has_a_name():
    """What is logged can be searched for by a name that stays; and no name stands for what is said no longer."""
    assert set(said()) == set(log_events.EVENTS), (
        "log_events.py: a name for each sentence of the code, no other"
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_documented(name):
    """In docs/log-events.md, in lower case, with its area first."""
    assert re.fullmatch(r"[a-z]+(\.[a-z_]+)?", name)
    page = (Path(__file__).parents[2] / "docs" / "log-events.md").read_text()
    assert f"| `{name}` |" in page


def test_json_lines_carry_it_and_text_does_not():
    """For programs; people read the sentence. What others say has none."""
    record = logging.LogRecord(
        "wgtwo_pipeline.lake.journal", logging.WARNING, "", 0, "left alone: %s", ("a",), None
    )
    entry = json.loads(logs.JsonFormatter().format(record))
    assert (entry["event"], entry["message"]) == ("journal.foreign_object", "left alone: a")
    assert "foreign_object" not in logs.TextFormatter().format(record)
    other = logging.LogRecord("apache_beam", logging.WARNING, "", 0, "left alone: %s", ("a",), None)
    assert "event" not in json.loads(logs.JsonFormatter().format(other))
