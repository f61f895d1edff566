"""What a user typed, without starting the command: its settings, with an environment that holds nothing else."""

import os
from collections.abc import Mapping
from unittest import mock

from wgtwo_pipeline.cli.command import Settings
from wgtwo_pipeline.cli.main import program


def settings(command: str, *arguments: str, environment: Mapping[str, str] | None = None) -> Settings:
    """The settings of a command line as it was typed."""
    with mock.patch.dict(os.environ, environment or {}, clear=True):
        return Settings(program.commands[command].make_context(command, list(arguments)))


def gather(command: str, flags: Mapping[str, str], environment: Mapping[str, str]) -> Settings:
    """The settings of a command with these flags by name."""
    return settings(command, *(f"--{name}={text}" for name, text in flags.items()), environment=environment)
