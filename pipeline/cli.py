"""The command line: reads it, shows help, starts the command and turns how it ends into an exit code.

Exit codes: 0 done, 1 the work failed or audit found a difference, 2 the command line or configuration is wrong,
130 interrupted, 141 nobody reads standard output any more.
"""

import importlib
import importlib.metadata
import logging
import os
import select
import shutil
import sys
import textwrap
import traceback
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from pipeline import beam_options, configure, logs
from pipeline.errors import ConfigurationError, PipelineError
from pipeline.options import COMMANDS, FLOWS, SECTIONS, Option, all_options, options_of
from pipeline.settings import Settings, gather, nearest

PROGRAM: Final = "wgtwo-pipeline"
INTERRUPTED, BROKEN_PIPE = 130, 141
_MODULES: Final = {"sandbox": "pipeline.sandbox.command", "ingest": "pipeline.run", "publish": "pipeline.run"}
"""Where a command is, if not in the module of its name; imported only when it is asked for."""
_FUNCTIONS: Final = {"sandbox": "run"}


@dataclass(frozen=True)
class CommandLine:
    """What was typed: the command, its options as texts, what else stands there, and what is Beam's."""

    command: str
    flags: dict[str, str]
    words: tuple[str, ...]
    beam_args: tuple[str, ...]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command to its end and returns the exit code; never raises what it can say in one line."""
    try:
        code = _main(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except PipelineError as error:
        return _fail(error, str(error), error.exit_code)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return BROKEN_PIPE
        return _fail(error, f"unexpected {type(error).__name__}: {error} (--log-level debug shows where)", 1)
    return code


def _main(arguments: list[str]) -> int:
    if not arguments:
        sys.stderr.write(overview() + "\n")
        return 2
    if arguments[0] in ("-h", "--help"):
        _print(overview())
        return 0
    if arguments[0] in ("-V", "--version"):
        _print(f"{PROGRAM} {importlib.metadata.version(PROGRAM)}")
        return 0
    logs.setup_logging()
    line = parse(arguments)
    if line is None:
        _print(help_text(arguments[0]))
        return 0
    settings = gather(line.command, line.flags, os.environ)
    logs.setup_logging(settings["log-format"], settings["log-level"])
    request = _request(line, settings)
    module = importlib.import_module(_MODULES.get(line.command, f"pipeline.{line.command}"))
    return int(getattr(module, _FUNCTIONS.get(line.command, line.command))(request))


def _request(line: CommandLine, settings: Settings) -> Any:
    if line.command == "sandbox":
        return configure.build_sandbox(settings)
    beam_args: tuple[str, ...] = ()
    if line.command in FLOWS:
        runner = beam_options.runner_name(settings["runner"], settings.origin("runner"))
        beam_args = (f"--runner={runner}", *line.beam_args)
    return configure.build(settings, line.words[0] if line.words else None, beam_args)


def parse(arguments: Sequence[str]) -> CommandLine | None:
    """Takes a command line apart; None asks for the command's help, ConfigurationError names what is unknown."""
    command, *rest = arguments
    if command not in COMMANDS:
        hint = nearest(command, COMMANDS) or f": choose one of {', '.join(COMMANDS)}"
        raise ConfigurationError(f"{command!r} is no command{hint}")
    options = options_of(command)
    flags: dict[str, str] = {}
    words: list[str] = []
    beam_args: list[str] = []
    tokens = deque(rest)
    while tokens:
        word = tokens.popleft()
        flag, equals, value = word.partition("=")
        option = options.get(flag[2:]) if flag.startswith("--") else None
        if word in ("-h", "--help"):
            return None
        if word == "--":
            (beam_args if command in FLOWS else words).extend(tokens)
            break
        if not word.startswith("-"):
            words.append(word)
        elif option is not None:
            if not equals:
                value = "true" if option.kind == "flag" else _value(flag, option.usage, tokens)
            flags[option.name] = value
        elif command in FLOWS and flag in beam_options.known():
            beam_args.append(word)
            if not equals and beam_options.takes_value(flag):
                equals, value = " ", _value(flag, f"{flag} VALUE", tokens)
                beam_args.append(value)
            beam_options.check(flag, value if equals else None)
        else:
            raise ConfigurationError(_unknown(command, flag))
    if len(words) > (command == "query"):
        _refuse_words(command, words)
    return CommandLine(command, flags, tuple(words), tuple(beam_args))


def _value(flag: str, usage: str, tokens: deque[str]) -> str:
    # A value may begin with one dash: `--start -30m`.
    if not tokens or tokens[0].startswith("--"):
        raise ConfigurationError(f"{flag} needs a value: {usage}")
    return tokens.popleft()


def _unknown(command: str, flag: str) -> str:
    name = flag.lstrip("-")
    others = [other for other in COMMANDS if name in options_of(other)]
    if others:
        return f"{flag} is an option of {', '.join(others)}, not of {command}"
    hint = nearest(name.replace("_", "-"), options_of(command), prefix="--")
    if not hint and command in FLOWS:
        hint = nearest(flag, beam_options.known())
    return f"{flag} is no option of {command}{hint or f': see {PROGRAM} {command} --help'}"


def _refuse_words(command: str, words: Sequence[str]) -> None:
    if command == "query":
        raise ConfigurationError(f"query takes one SQL text, not {len(words)}: put it in quotation marks")
    names = {option.name for option in all_options()}
    hint = f": did you mean --{words[0]}?" if words[0] in names else f": see {PROGRAM} {command} --help"
    raise ConfigurationError(f"{command} does not know what to do with {words[0]!r}{hint}")


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
    indent, width = 28, min(shutil.get_terminal_size().columns, 110)
    shown = option.default is not None and option.kind not in ("flag", "secret")
    text = option.help + (f" (default {option.default})" if shown else "")
    lines = textwrap.wrap(text, max(width - indent, 30), break_on_hyphens=False, break_long_words=False)
    usage = f"  {option.usage}"
    if len(usage) + 2 > indent:
        return [usage, *(" " * indent + line for line in lines)]
    return [usage.ljust(indent) + lines[0], *(" " * indent + line for line in lines[1:])]


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


def _fail(error: Exception, message: str, code: int) -> int:
    if logging.getLogger().isEnabledFor(logging.DEBUG):
        sys.stderr.write(logs.redact("".join(traceback.format_exception(error))))
    sys.stderr.write(f"{PROGRAM}: error: {' '.join(logs.redact(message).split())}\n")
    return code


def _nobody_reads() -> bool:
    """Whether it is standard output whose reader went away; if so, what is left for it is dropped."""
    try:
        output = sys.stdout.fileno()
    except OSError:
        return False
    poller = select.poll()
    poller.register(output, 0)  # POLLERR is always reported.
    if not any(event & select.POLLERR for _, event in poller.poll(0)):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), output)
    return True
