"""docs/beam.md and docs/beam-yaml.md say what the transforms take, and leave nothing out."""

import ast
import inspect
import re
from pathlib import Path

import apache_beam
import pytest
import yaml
from wgtwo_pipeline import beam
from wgtwo_pipeline.cli.options import options_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "beam.md").read_text()
PARAMETERS = PAGE.partition("## Parameters")[2].partition("\n## ")[0]
TRANSFORMS = [name for name in beam.__all__ if issubclass(getattr(beam, name), apache_beam.PTransform)]
OF_INGEST = {name.replace("-", "_") for name in options_of("ingest")}
"""What docs/reference.md explains."""


@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_is_in_the_table(name):
    """With what it gives and how often."""
    assert f"| `{name}(" in PAGE


@pytest.mark.parametrize("name", TRANSFORMS)
def test_each_parameter_is_explained(name):
    """Here, or where the command of the same option is."""
    elsewhere = OF_INGEST if name == "ReadFromWgtwoEvents" else set()
    for parameter in set(inspect.signature(getattr(beam, name)).parameters) - elsewhere:
        assert f"`{parameter}`" in PARAMETERS, parameter


def test_no_parameter_is_promised_that_no_transform_has():
    """The page follows the code when one goes."""
    taken = {each for name in TRANSFORMS for each in inspect.signature(getattr(beam, name)).parameters}
    rows = [row.split("|")[1] for row in PARAMETERS.splitlines() if row.startswith("| `")]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} <= taken


def test_what_the_page_shows_can_be_run():
    """Its Python compiles, and imports what there is."""
    for code in re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL):
        for node in ast.walk(ast.parse(code)):
            if isinstance(node, ast.ImportFrom) and node.module == "wgtwo_pipeline.beam":
                assert {alias.name for alias in node.names} <= set(beam.__all__)


def test_the_yaml_page_shows_what_beam_reads():
    """Its pipeline is one, of transforms that the provider file or Beam has; its table has all of the file."""
    page = (DOCS / "beam-yaml.md").read_text()
    (shown,) = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
    assert yaml.safe_load(shown)["pipeline"]["transforms"][0]["type"] == "ReadFromWgtwoLake"
    listed = yaml.safe_load((Path(beam.__file__).parent / "beam_providers.yaml").read_text())[0]["transforms"]
    assert all(f"| `{name}` |" in page for name in listed)
