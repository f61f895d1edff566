"""What docs/ says of the command line is what the program does."""

import json
from pathlib import Path

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from wgtwo_pipeline.cli.main import program
from wgtwo_pipeline.cli.options import all_options
from wgtwo_pipeline.cli.reference import FILES, schema

DOCS = Path(__file__).resolve().parents[2] / "docs"
OPTIONS = {option.key: option for option in all_options() if option.key != "config"}
VALIDATOR = jsonschema.Draft202012Validator(json.loads(schema()))


@pytest.mark.parametrize("name", FILES)
def test_generated_files_are_up_to_date(name):
    """Nobody edits them by hand, and nobody forgets `make reference`."""
    assert (DOCS / name).read_text(encoding="utf-8") == FILES[name](), "run: make reference"


def test_the_reference_has_everything():
    """Each command and each option, with its default, stands in it."""
    text = FILES["reference.md"]()
    for command in program.commands:
        assert f"\n### {command}\n" in text
    for option in all_options():
        usage = option.usage.replace("|", "\\|")
        (row, *_) = [row for row in text.splitlines() if row.startswith(f"| `{usage}`")]
        assert option.default is None or option.kind.name == "flag" or f" `{option.default}` " in row


def test_the_schema_is_one():
    """Editors can read it; what the README and the help show is valid by it."""
    jsonschema.Draft202012Validator.check_schema(VALIDATOR.schema)
    for example in (
        {},
        {"lake": "./lake", "ack-timeout": "10s", "max_events": 5, "plaintext": True},
        {"types": ["sms", "voice"], "start": 4711, "rate": 0.5, "log-format": "json"},
    ):
        VALIDATOR.validate(example)


@pytest.mark.parametrize(
    "wrong", [{"lak": "x"}, {"ack-timeout": 3}, {"ack-timeout": "3"}, {"config": "x"}, {"api": "v2"},
              {"subscriptions": 257}, {"plaintext": "true"}, {"lake": {"url": "x"}}, {"max_events": 0}],
)  # fmt: skip
def test_the_schema_refuses_what_the_program_refuses(wrong):
    """An editor underlines what would not start."""
    assert not VALIDATOR.is_valid(wrong)


TEXTS = ["", "x", "3s", "5", "v1", "oldest", "debug"]
ENTRIES = st.booleans() | st.integers(-5, 2000) | st.sampled_from([0.5, 2.0, *TEXTS, [], ["sms"], {}])


@settings(deadline=None)  # no clock decides
@given(st.sampled_from(sorted(OPTIONS)), ENTRIES)
def test_the_program_reads_what_the_schema_allows(name, entry):
    """An entry of a type that the schema allows is one of a type that the program takes."""
    if VALIDATOR.is_valid({name: entry}):
        assert isinstance(OPTIONS[name].kind.from_toml(entry), str)
