"""The help: of the program and of each command, from the table of options."""

import shutil
import textwrap
from typing import Final

from wgtwo_pipeline.cli.options import COMMANDS, FLOWS, NOTES, SECTIONS, Option

PROGRAM: Final = "wgtwo-pipeline"
_INDENT: Final = 28


def overview() -> str:
    """The help of the program: what its commands do."""
    width = max(map(len, COMMANDS))
    lines = [
        f"usage: {PROGRAM} COMMAND [OPTION]…",
        "",
        "Stores wgtwo's events as partitioned Parquet, exactly once.",
        "",
    ]
    for command, does in COMMANDS.items():
        lines += _beside(f"  {command:<{width}}  ", does)
    end = f"{PROGRAM} COMMAND --help explains the options of a command; --version shows the version."
    lines += ["", *_wrapped(end)]
    return "\n".join(lines)


def help_text(command: str) -> str:
    """The help of one command: its options by section, each with its default."""
    words = ' ["SQL"]' if command == "query" else ""
    beam = " [BEAM OPTION]… [-- BEAM OPTION…]" if command in FLOWS else ""
    does = COMMANDS[command]
    lines = [
        f"usage: {PROGRAM} {command}{words} [OPTION]…{beam}",
        "",
        *_wrapped(f"{does[:1].upper()}{does[1:]}."),
    ]
    if command in NOTES:
        lines += ["", *_wrapped(NOTES[command])]
    title = None
    for section in SECTIONS:
        if command not in section.commands:
            continue
        if section.title != title:
            title = section.title
            lines += ["", f"{title}:"]
        for option in section.options:
            lines += _option_lines(option)
    end = (
        "Each option can also be given as a variable (--log-level as WGTWO_LOG_LEVEL) or as a key of a TOML file "
        "(--config); a flag beats a variable beats the file. Durations are written 250ms, 30s, 5m, 2h."
    )
    lines += ["", *_wrapped(end)]
    return "\n".join(lines)


def _option_lines(option: Option) -> list[str]:
    shown = option.default is not None and option.kind not in ("flag", "secret")
    text = option.help + (f" (default {option.default})" if shown else "")
    usage = f"  {option.usage}"
    if len(usage) + 2 > _INDENT:
        return [usage, *_beside(" " * _INDENT, text)]
    return _beside(usage.ljust(_INDENT), text)


def _beside(head: str, text: str) -> list[str]:
    """The text with the head before its first line and room of the head's width before the others."""
    first, *others = _wrapped(text, len(head))
    return [head + first, *(" " * len(head) + line for line in others)]


def _wrapped(text: str, indent: int = 0) -> list[str]:
    width = min(shutil.get_terminal_size().columns, 110) - indent
    return textwrap.wrap(text, max(width, 30), break_on_hyphens=False, break_long_words=False)
