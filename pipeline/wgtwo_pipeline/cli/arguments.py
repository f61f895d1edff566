"""Takes a command line apart: the command, its options, the SQL, and what is Beam's. Refuses what nobody knows."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from wgtwo_pipeline.cli import beam_options
from wgtwo_pipeline.cli.config_file import nearest
from wgtwo_pipeline.cli.options import COMMANDS, FLOWS, all_options, options_of
from wgtwo_pipeline.cli.usage import PROGRAM
from wgtwo_pipeline.errors import ConfigurationError


@dataclass(frozen=True)
class CommandLine:
    """What was typed: the command, its options as texts, what else stands there, and what is Beam's."""

    command: str
    flags: dict[str, str]
    words: tuple[str, ...]
    beam_args: tuple[str, ...]


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
        if not word.startswith("-") or (command == "query" and any(map(str.isspace, flag))):
            words.append(word)  # SQL may begin with a comment
        elif option is not None:
            if not equals:
                value = "true" if option.kind == "flag" else _value(flag, option.usage, tokens)
            flags[option.name] = value
        elif command in FLOWS and flag in beam_options.known():
            beam_args.append(word)
            if not equals and beam_options.takes_value(flag):
                beam_args.append(_value(flag, f"{flag} VALUE", tokens))
        else:
            raise ConfigurationError(_unknown(command, flag))
    if len(words) > (command == "query"):
        _refuse_words(command, words)
    if beam_args:
        beam_options.check(beam_args)
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
