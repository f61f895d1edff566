"""Gathers a command's options: a flag beats the environment beats the TOML file beats the default.

Whatever nobody would read is refused: a key, a `WGTWO_` variable or a value that no option can take.
"""

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from wgtwo_pipeline.cli.options import Option, all_options, options_of
from wgtwo_pipeline.errors import ConfigurationError

_OF_KUBERNETES = re.compile(r"WGTWO_.*_(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT(_[0-9]+_(TCP|UDP|SCTP)(_.*)?)?)")
"""What Kubernetes puts into every container of a namespace with a service called `wgtwo-…`."""


@dataclass(frozen=True)
class Given:
    """The text that somebody gave an option, and who: `--lake`, `WGTWO_LAKE` or `lake in pipeline.toml`."""

    text: str
    origin: str


@dataclass(frozen=True)
class Settings:
    """The values of a command's options, each with where it came from; other commands' options at their default."""

    command: str
    values: Mapping[str, Any]
    origins: Mapping[str, str]

    def __getitem__(self, name: str) -> Any:
        return self.values[name]

    def origin(self, name: str) -> str:
        """How a message names the option: by where its value came from."""
        return self.origins.get(name, f"--{name}")

    def is_default(self, name: str) -> bool:
        """Whether nobody gave this option."""
        return name not in self.origins

    def is_flag(self, name: str) -> bool:
        """Whether the option was given on this very command line, so that it must be meant for this command."""
        return self.origin(name) == f"--{name}" and not self.is_default(name)


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of a sentence that suggests what was meant; empty if nothing is near."""
    spellings = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), spellings, n=1, cutoff=0.6)
    return f": did you mean {prefix}{spellings[found[0]]}?" if found else ""


def gather(command: str, flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """The settings of a command; ConfigurationError names the first thing that cannot be taken, and the fix.

    A file or a variable may hold options of other commands: one file serves them all.
    """
    options = options_of(command)
    given = {name: Given(text, f"--{name}") for name, text in flags.items()}
    given = _from_environment(environment) | given
    if "config" in given:
        given = _from_file(given["config"]) | given
    defaults = {option.name: _value(option, None) for option in all_options()}
    values = {name: _value(option, given.get(name)) for name, option in options.items()}
    origins = {name: given[name].origin for name in options if name in given}
    return Settings(command, defaults | values, origins)


def _from_environment(environment: Mapping[str, str]) -> dict[str, Given]:
    variables = {option.variable: option.name for option in all_options()}
    for variable in environment:
        ours = variable.startswith("WGTWO_") and not _OF_KUBERNETES.fullmatch(variable)
        if ours and variable not in variables:
            hint = nearest(variable, variables) or ": unset it"
            raise ConfigurationError(f"no option belongs to the environment variable {variable}{hint}")
    given = {}
    for option in all_options():
        for variable in filter(None, (option.fallback_variable, option.variable)):
            # An empty variable is one that a script meant to leave out.
            if environment.get(variable):
                given[option.name] = Given(environment[variable], variable)
    return given


def _from_file(config: Given) -> dict[str, Given]:
    try:
        entries = tomllib.loads(Path(config.text).expanduser().read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{config.origin} {config.text} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{config.origin} {config.text} is no TOML file: {error}") from None
    options = {option.name: option for option in all_options() if option.name != "config"}
    given: dict[str, Given] = {}
    for key, entry in entries.items():
        if isinstance(entry, dict):
            raise ConfigurationError(
                f"{config.text} has the section [{key}]: write all options without sections"
            )
        name = key.replace("_", "-")  # TOML's users are used to both.
        if name not in options:
            hint = nearest(name, options) or "; see --help for those there are"
            raise ConfigurationError(f"{config.text} has the key {key!r}, which is no option{hint}")
        if name in given:
            raise ConfigurationError(f"{config.text} has {name!r} twice, with - and with _: leave one out")
        given[name] = Given(_text(options[name], entry, config.text), f"{key} in {config.text}")
    return given


def _text(option: Option, entry: Any, file: str) -> str:
    """The text that a flag would have for this entry of a file."""
    match entry:
        case bool() if option.kind == "flag":
            return str(entry).lower()
        case str() if option.kind != "flag":
            return entry
        case int() | float() if not isinstance(entry, bool) and option.kind in ("int", "float", "start"):
            return str(entry)
        case datetime() | date() if option.kind == "start":
            return entry.isoformat()
        case list() if option.kind == "list" and all(isinstance(item, str) for item in entry):
            return ",".join(entry)
    right = {
        "flag": "true or false",
        "int": "a number",
        "float": "a number",
        "list": 'such as ["sms", "voice"]',
    }
    raise ConfigurationError(
        f"{option.name} in {file} has the wrong type: write it "
        + right.get(
            option.kind,
            'in quotation marks, such as "30s"' if option.kind == "duration" else "in quotation marks",
        )
    )


def _value(option: Option, given: Given | None) -> Any:
    if given is None:
        return None if option.default is None else option.parse(option.default)
    try:
        return option.parse(given.text)
    except ValueError as error:
        text = "***" if option.kind == "secret" else repr(given.text)
        hint = nearest(given.text, option.choices) if option.choices else ""
        raise ConfigurationError(f"{given.origin} {text} {error}{hint}") from None
