"""The TOML file becomes click's map of defaults. What nobody would read is refused: a key, a type, a variable."""

import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Final

import click

from wgtwo_pipeline.cli.types import Kind, nearest
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.service.settings import read_text

_ORIGINS: Final = __name__ + ".origins"
_OF_KUBERNETES: Final = re.compile(
    r"WGTWO_(.+_)?(SERVICE_HOST|SERVICE_PORT(_.*)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_.*)?)=.*"
    r"|WGTWO_(.+_)?PORT=(tcp|udp|sctp)://.*"
)
"""What Kubernetes puts into every container of a namespace with a service called `wgtwo` or `wgtwo-…`."""


def load(ctx: click.Context, file: str, asked_by: str, kinds: Mapping[str, Kind]) -> None:
    """From now on the command's defaults are those in the file, which may hold options of other commands, too.

    ConfigurationError names the first thing in it that cannot be taken, and the fix.
    """
    ctx.default_map = {}
    origins = ctx.meta[_ORIGINS] = {}
    for key, entry in _entries(file, asked_by).items():
        if isinstance(entry, dict):
            raise ConfigurationError(f"{file} has the section [{key}]: write all options without sections")
        name = key.replace("_", "-")  # TOML's users are used to both.
        if name not in kinds:
            hint = nearest(name, kinds) or "; see --help for those there are"
            raise ConfigurationError(f"{file} has the key {key!r}, which is no option{hint}")
        if name in origins:
            raise ConfigurationError(f"{file} has {name!r} twice, with - and with _: leave one out")
        origins[name] = f"{key} in {file}"
        try:
            ctx.default_map[name.replace("-", "_")] = kinds[name].from_toml(entry)
        except ValueError as error:
            raise ConfigurationError(f"{name} in {file} has the wrong type: write it {error}") from None


def origin(ctx: click.Context, name: str) -> str:
    """Where the file has this option: `lake in pipeline.toml`."""
    return str(ctx.meta[_ORIGINS][name])


def refuse_unknown_variables(environment: Mapping[str, str], known: Collection[str]) -> None:
    """ConfigurationError names the first `WGTWO_` variable that no option reads; those of Kubernetes may stay."""
    for variable, value in environment.items():
        ours = variable.startswith("WGTWO_") and not _OF_KUBERNETES.fullmatch(f"{variable}={value}")
        if ours and variable not in known:
            hint = nearest(variable, known) or ": unset it"
            raise ConfigurationError(f"no option belongs to the environment variable {variable}{hint}")


def _entries(file: str, asked_by: str) -> dict[str, object]:
    try:
        return tomllib.loads(read_text(Path(file)))
    except OSError as error:
        raise ConfigurationError(f"{asked_by} {file} cannot be read: {error.strerror}") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{asked_by} {file} is no TOML file: {error}") from None
    except ValueError as error:
        raise ConfigurationError(f"{asked_by} {file} {error}") from None
