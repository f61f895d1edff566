"""Recognises the options of Beam's Python SDK.

Importing Beam takes seconds: this is called only for what is no option of ours.
"""

import argparse
import functools
from collections.abc import Sequence
from typing import Any, NoReturn

from wgtwo_pipeline.cli.types import nearest
from wgtwo_pipeline.errors import ConfigurationError


def known() -> dict[str, argparse.Action]:
    """Every option that Beam's PipelineOptions take, with its dashes."""
    return {flag: action for action in _parser()._actions for flag in action.option_strings}


def takes_value(flag: str) -> bool:
    """Whether a value follows this option of Beam's."""
    return known()[flag].nargs != 0


def check(arguments: Sequence[str]) -> None:
    """Refuses what Beam would refuse in its own words, by ending the process; what it does not know may pass."""
    _parser().parse_known_args(list(arguments))


@functools.cache
def _parser() -> Any:
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    parser = _BeamArgumentParser(add_help=False, allow_abbrev=False)
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    parser.error = _refuse
    return parser


def _refuse(message: str) -> NoReturn:
    raise ConfigurationError(f"Beam refuses its {message}: correct the option or leave it out")


def runner_name(name: str, origin: str) -> str:
    """The full name of a runner; Beam also takes `flink` for FlinkRunner, or the path of a class."""
    if name == "DirectRunner":
        return name
    from apache_beam.options.pipeline_options import StandardOptions

    if name in StandardOptions.ALL_KNOWN_RUNNERS:
        name = name.rpartition(".")[2]
    elif "." in name:
        return name
    if name.lower().startswith("switchingdirect"):
        return "DirectRunner"  # what that is in Beam
    names = {runner.lower(): str(runner) for runner in StandardOptions.KNOWN_RUNNER_NAMES}
    for candidate in (name.lower(), name.lower() + "runner"):
        if candidate in names:
            return names[candidate]
    hint = nearest(name, names.values()) or f": choose one of {', '.join(names.values())}"
    raise ConfigurationError(f"{origin} {name!r} is no runner that Beam knows{hint}")
