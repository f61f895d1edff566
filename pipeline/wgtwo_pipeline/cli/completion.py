"""Prints the script that lets a shell ask the program what may come next."""

import sys

from click.shell_completion import ShellComplete, get_completion_class

from wgtwo_pipeline.cli.command import PROGRAM
from wgtwo_pipeline.cli.main import COMPLETE, program


def completion(shell: str) -> int:
    """Prints the script for bash, zsh or fish, whichever shell this is; 0."""
    known = get_completion_class(shell)
    assert known is not None
    script = ShellComplete.source(known(program, {}, PROGRAM, COMPLETE))
    # click's fish would cut what is completed at its first comma, and lists of names have some.
    sys.stdout.write(script.replace('string split ","', 'string split --max 1 ","').rstrip("\n") + "\n")
    return 0
