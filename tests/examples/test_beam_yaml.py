"""Beam YAML: the provider file of the package, and a pipeline without a line of Python."""

from importlib.resources import files

import pytest
import yaml
from apache_beam.yaml import yaml_provider
from wgtwo_pipeline import beam

PROVIDERS = files("wgtwo_pipeline") / "beam_providers.yaml"
(LISTED,) = yaml.safe_load(PROVIDERS.read_text())


def test_the_file_is_one_that_beam_takes():
    """By an `include`, from wherever the package is installed."""
    (provider,) = yaml_provider.load_providers(str(PROVIDERS))
    assert provider.available()
    assert set(provider.provided_transforms()) == set(LISTED["transforms"])


@pytest.mark.parametrize("name", LISTED["transforms"])
def test_a_transform_has_the_name_that_it_has_in_python(name):
    """And is what a Beam user imports."""
    assert LISTED["transforms"][name] == f"wgtwo_pipeline.beam.{name}"
    assert name in beam.__all__


def test_an_option_that_there_is_not_is_named():
    """A slip in a file is an error that says which transform and which option, before anything runs."""
    (provider,) = yaml_provider.load_providers(str(PROVIDERS))
    with pytest.raises(TypeError, match="colums"):
        provider.create_transform("ReadFromWgtwoLake", {"lake": "lake", "table": "sms", "colums": []}, None)
