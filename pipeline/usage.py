"""The help: of the program and of each command, from the table of options."""

import shutil
import textwrap
from typing import Final

from pipeline.options import COMMANDS, FLOWS, NOTES, SECTIONS, Option

PROGRAM: Final = "wgtwo-pipeline"


def overview() -> str:
    """The help of the program: what its commands do."""
    width = max(map(len, COMMANDS))
    lines = [
        f"usage: {PROGRAM} COMMAND [OPTION]…",
        "",
        "Stores wgtwo's events as partitioned Parquet, exactly once.",
        "",
    ]
    lines += [f"  {command:<{width}}  {does}" for command, does in COMMANDS.items()]
    lines += ["", f"{PROGRAM} COMMAND --help explains the options of a command; --version shows the version."]
    return "\n".join(lines)


def help_text(command: str) -> str:
    """The help of one command: its options by section, each with its default."""
    words = ' ["SQL"]' if command == "query" else ""
    beam = " [BEAM OPTION]… [-- BEAM OPTION…]" if command in FLOWS else ""
    does = COMMANDS[command]
    lines = [f"usage: {PROGRAM} {command}{words} [OPTION]…{beam}", "", f"{does[:1].upper()}{does[1:]}."]
    if command in NOTES:
        lines += ["", *_wrapped(NOTES[command], _width())]
    title = None
    for section in SECTIONS:
        if command not in section.commands:
            continue
        if section.title != title:
            title = section.title
            lines += ["", f"{title}:"]
        for option in section.options:
            lines += _option_lines(option)
    lines += [
        "",
        "Each option can also be given as a variable (--log-level as WGTWO_LOG_LEVEL) or as a key of a TOML file",
        "(--config); a flag beats a variable beats the file. Durations are written 250ms, 30s, 5m, 2h.",
    ]
    return "\n".join(lines)


def _option_lines(option: Option) -> list[str]:
    indent = 28
    shown = option.default is not None and option.kind not in ("flag", "secret")
    text = option.help + (f" (default {option.default})" if shown else "")
    lines = _wrapped(text, _width() - indent)
    usage = f"  {option.usage}"
    if len(usage) + 2 > indent:
        return [usage, *(" " * indent + line for line in lines)]
    return [usage.ljust(indent) + lines[0], *(" " * indent + line for line in lines[1:])]


def _width() -> int:
    return min(shutil.get_terminal_size().columns, 110)


def _wrapped(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 30), break_on_hyphens=False, break_long_words=False)
