"""Beam YAML: the provider file of the package, and a pipeline without a line of Python."""

from importlib.resources import files

import lakes
import pytest
import yaml
from apache_beam import Create, Map, Pipeline
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.utils.timestamp import Timestamp
from apache_beam.yaml import yaml_provider
from apache_beam.yaml.yaml_transform import YamlTransform
from wgtwo_pipeline import beam

PROVIDERS = files("wgtwo_pipeline") / "beam_providers.yaml"
(LISTED,) = yaml.safe_load(PROVIDERS.read_text())


def test_the_file_is_one_that_beam_takes():
    """By an `include`, from wherever the package is installed."""
    (provider,) = yaml_provider.load_providers(str(PROVIDERS))
    assert provider.available()
    assert set(provider.provided_transforms()) == set(LISTED["transforms"])


def test_nothing_is_missing():
    """Each transform whose elements are rows; Arrow's batches mean nothing to YAML."""
    assert set(LISTED["transforms"]) == set(beam.__all__) - {"ReadBatchesFromWgtwoLake", "WgtwoDelivery"}


@pytest.mark.parametrize("name", LISTED["transforms"])
def test_a_transform_has_the_name_that_it_has_in_python(name):
    """And is what a Beam user imports."""
    _, _, found = LISTED["transforms"][name].rpartition(".")
    assert found == name
    assert name in beam.__all__


def test_an_option_that_there_is_not_is_named():
    """A slip in a file is an error that says which transform and which option, before anything runs."""
    (provider,) = yaml_provider.load_providers(str(PROVIDERS))
    with pytest.raises(TypeError, match="colums"):
        provider.create_transform("ReadFromWgtwoLake", {"lake": "lake", "table": "sms", "colums": []}, None)


DECODED = """
type: composite
input: {deliveries: input}
transforms:
  - type: DecodeWgtwoEvents
    name: Decode
    input: deliveries
    config: {table: sms}
  - type: MapToFields
    name: Texts
    input: Decode.rows
    config: {language: python, fields: {text: text}}
  - type: MapToFields
    name: Reasons
    input: Decode.quarantine
    config: {language: python, fields: {reason: reason}}
output: {texts: Texts, reasons: Reasons}
"""


def test_both_outputs_of_decoding_have_names():
    """`Decode.rows` and `Decode.quarantine` can be gone on with, each under its columns' names."""
    deliveries = [
        beam.WgtwoDelivery("v0.test", "v0", "Subscribe", payload, Timestamp(0))
        for payload in (lakes.sms(1, text="hello"), lakes.voice(2), lakes.BROKEN)
    ]
    with Pipeline("FnApiRunner") as pipeline:
        transform = YamlTransform(DECODED, providers=yaml_provider.load_providers(str(PROVIDERS)))
        found = {"input": pipeline | Create(deliveries)} | transform
        assert_that(found["texts"] | "text" >> Map(lambda row: row.text), equal_to(["hello"]), "texts")
        assert_that(
            found["reasons"] | "reason" >> Map(lambda row: row.reason), equal_to(["undecodable"]), "reasons"
        )
