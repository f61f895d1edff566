"""Recognises the options of Beam's Python SDK.

Importing Beam takes seconds: this is called only for what is no option of ours.
"""

import argparse
import functools

from pipeline.errors import ConfigurationError
from pipeline.settings import nearest


@functools.cache
def known() -> dict[str, argparse.Action]:
    """Every option that Beam's PipelineOptions take, with its dashes."""
    from apache_beam.options.pipeline_options import PipelineOptions, _BeamArgumentParser

    parser = _BeamArgumentParser(add_help=False, allow_abbrev=False)
    for group in PipelineOptions.__subclasses__():
        group._add_argparse_args(parser)
    return {flag: action for action in parser._actions for flag in action.option_strings}


def takes_value(flag: str) -> bool:
    """Whether a value follows this option of Beam's."""
    return known()[flag].nargs != 0


def check(flag: str, value: str | None) -> None:
    """Refuses a value that Beam would not take; else Beam would end the process in its own words."""
    action = known()[flag]
    if value is None or not takes_value(flag):
        if value is not None:
            raise ConfigurationError(f"{flag} takes no value: write {flag} alone")
        return
    try:
        if callable(action.type):
            action.type(value)
    except (argparse.ArgumentTypeError, TypeError, ValueError) as error:
        raise ConfigurationError(f"{flag} {value!r} is refused by Beam: {error}") from None
    if action.choices is not None and value not in action.choices:
        choices = ", ".join(map(str, action.choices))
        raise ConfigurationError(f"{flag} {value!r} is refused by Beam: choose one of {choices}")


def runner_name(name: str, origin: str) -> str:
    """The full name of a runner; Beam also takes `flink` for FlinkRunner, or the path of a class."""
    if name == "DirectRunner" or "." in name:
        return name
    from apache_beam.options.pipeline_options import StandardOptions

    names = {runner.lower(): str(runner) for runner in StandardOptions.KNOWN_RUNNER_NAMES}
    for candidate in (name.lower(), name.lower() + "runner"):
        if candidate in names:
            return names[candidate]
    hint = nearest(name, names.values()) or f": choose one of {', '.join(names.values())}"
    raise ConfigurationError(f"{origin} {name!r} is no runner that Beam knows{hint}")
