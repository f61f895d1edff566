"""Prints the script that lets a shell ask the program what may come next."""

import sys

from click.shell_completion import ShellComplete, get_completion_class

from wgtwo_pipeline.cli.command import PROGRAM
from wgtwo_pipeline.cli.main import COMPLETE, program


def completion(shell: str) -> int:
    """Prints the script for bash, zsh or fish, whichever shell this is; 0."""
    script = get_completion_class(shell)
    assert script is not None
    sys.stdout.write(ShellComplete.source(script(program, {}, PROGRAM, COMPLETE)))
    return 0
