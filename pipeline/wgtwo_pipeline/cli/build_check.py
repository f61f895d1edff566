"""What `check` was asked for: the configuration of a run, built and refused as for a run."""

from dataclasses import replace

from wgtwo_pipeline.check.settings import Checking
from wgtwo_pipeline.cli.build import build
from wgtwo_pipeline.cli.command import Settings


def build_checking(settings: Settings) -> Checking:
    """The configuration to try; ConfigurationError names what cannot work, as for a run."""
    return Checking(replace(build(settings), command="run"), settings["offline"], settings["json"])
