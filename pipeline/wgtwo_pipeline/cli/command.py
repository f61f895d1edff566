"""A command of the program: what was typed, what is Beam's of it, what it means, and the help.

click parses, looks into the environment, the file and the defaults, and converts. Here stands what it does not know:
Beam's own options pass as they are, and each refusal is one sentence that names the fix.
"""

import contextlib
import importlib
import os
import sys
import textwrap
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from types import MappingProxyType
from typing import Any, Final, NoReturn

import click
from click.core import ParameterSource

from wgtwo_pipeline import logs
from wgtwo_pipeline.cli import beam_options, stderr
from wgtwo_pipeline.cli.config_file import refuse_unknown_variables
from wgtwo_pipeline.cli.options import SECTIONS, Option, all_options, options_of
from wgtwo_pipeline.cli.types import nearest
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.events import numbers

PROGRAM: Final = "wgtwo-pipeline"
_BEAM_ARGUMENTS: Final = __name__ + ".beam_arguments"
_END: Final = (
    "Each option can also be given as a variable (--log-level as WGTWO_LOG_LEVEL) or as a key of a TOML file "
    "(--config); a flag beats a variable beats the file. What is on there is switched off by --no-…, such as "
    "--no-plaintext. Durations are written 250ms, 30s, 5m, 2h, 7d."
)
HELP_SETTINGS: Final = MappingProxyType({"help_option_names": ["-h", "--help"], "max_content_width": 110})


class Settings:
    """The values of a command's options, each with where it came from; other commands' options at their default."""

    def __init__(self, context: click.Context) -> None:
        self._context = context
        self.command = str(context.command.name)
        self._origins = {name: option.origin(context) for name, option in options_of(self.command).items()}
        self.beam_args: tuple[str, ...] = context.meta.get(_BEAM_ARGUMENTS, ())
        """What is Beam's of the command line, as it was typed."""

    def __getitem__(self, name: str) -> Any:
        parameter = name.replace("-", "_")
        if parameter in self._context.params:
            return self._context.params[parameter]
        option = next(option for option in all_options() if option.key == name)
        return option.kind(option.default)

    def source(self, name: str) -> ParameterSource | None:
        """Who gave the option, if it is one of this command."""
        return self._context.get_parameter_source(name.replace("-", "_"))

    def origin(self, name: str) -> str:
        """How a message names the option: by where its value came from."""
        return self._origins.get(name, f"--{name}")

    def is_default(self, name: str) -> bool:
        """Whether nobody gave this option."""
        return self.source(name) in (None, ParameterSource.DEFAULT)

    def is_flag(self, name: str) -> bool:
        """Whether the option was given on this very command line, so that it must be meant for this command."""
        return self.source(name) is ParameterSource.COMMANDLINE


class _Formatter(click.HelpFormatter):
    """One width for the terms of all sections; no line ends within the name of an option."""

    def write_dl(self, rows: Iterable[tuple[str, str]], col_max: int = 26, col_spacing: int = 2) -> None:
        """Terms, and beside each what it means."""
        column = self.current_indent + col_max + col_spacing
        for term, text in rows:
            head = " " * self.current_indent + term
            if len(term) > col_max:
                self.write(head + "\n")
                head = ""
            self.write(head.ljust(column) + self._wrapped(text, column).lstrip() + "\n")

    def write_text(self, text: str) -> None:
        """Paragraphs."""
        paragraphs = (self._wrapped(paragraph, self.current_indent) for paragraph in text.split("\n\n"))
        self.write("\n\n".join(paragraphs) + "\n")

    def _wrapped(self, text: str, indent: int) -> str:
        wrapped = textwrap.wrap(
            text, max(self.width - indent, 30), break_on_hyphens=False, break_long_words=False
        )
        return textwrap.indent("\n".join(wrapped), " " * indent)


class Context(click.Context):
    """click's, with the help as we write it."""

    formatter_class = _Formatter


def show_help(ctx: click.Context) -> NoReturn:
    """Ends with the help as the result: on standard output, in its encoding."""
    sys.stdout.write(ctx.get_help() + "\n")
    ctx.exit()


class Command(click.Command):
    """A command: what it does, what it makes of the settings, and the function that then does the work.

    `work` is `module:function`; the module is imported only when the command is asked for. `word` is what may stand
    on the command line besides options, `note` what the help says besides. What has `--runner` takes Beam's options.
    """

    context_class = Context

    def __init__(
        self,
        name: str,
        does: str,
        request: Callable[[Settings], Any],
        work: str,
        word: click.Argument | None = None,
        note: str = "",
    ) -> None:
        self.options = options_of(name)
        self.request, self.work, self.word = request, work, word
        beam = " [BEAM OPTION]… [-- BEAM OPTION…]" if "runner" in self.options else ""
        super().__init__(
            name,
            params=[*self.options.values(), *([word] if word else [])],
            help=f"{does[:1].upper()}{does[1:]}." + (f"\n\n{note}" if note else ""),
            short_help=does,
            epilog=_END,
            options_metavar=f"[OPTION]…{beam}",
            context_settings=dict(HELP_SETTINGS),
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Refuses what nobody knows, puts aside what is Beam's, and leaves the rest to click."""
        if ctx.resilient_parsing:  # a shell completes: nothing is wrong yet
            return super().parse_args(ctx, args)
        super().parse_args(ctx, self._ours(ctx, args))
        known = {variable for option in all_options() for variable in option.variables}
        refuse_unknown_variables(os.environ, known)
        return ctx.args

    def invoke(self, ctx: click.Context) -> int:
        """Does the work; the exit code."""
        settings = Settings(ctx)
        logs.setup_logging(settings["log-format"], settings["log-level"])
        request = self.request(settings)
        module, _, function = self.work.partition(":")
        with stderr.only_objects() if logs.is_json() else contextlib.nullcontext():
            return int(getattr(importlib.import_module(module), function)(request))

    def _ours(self, ctx: click.Context, typed: Sequence[str]) -> list[str]:
        spellings = {
            name: option for option in self.get_params(ctx) for name in (*option.opts, *option.secondary_opts)
        }
        beams = "runner" in self.options
        ours: list[str] = []
        words: list[str] = []
        beam_args: list[str] = []
        tokens = deque(typed)
        while tokens:
            word = tokens.popleft()
            flag, equals, value = word.partition("=")
            option = spellings.get(flag) if flag.startswith("-") else None
            if word in ctx.help_option_names:
                show_help(ctx)
            if word == "--":
                (beam_args if beams else words).extend(tokens)
                break
            if not word.startswith("-") or (self._takes_sql and any(map(str.isspace, flag))):
                words.append(word)  # SQL may begin with a comment
            elif isinstance(option, Option) and option.is_flag and equals:
                on = option.read(value, flag) == (flag in option.opts)
                ours.append((option.opts if on else option.secondary_opts)[0])
            elif isinstance(option, Option):
                ours.append(word)
                if not equals and not option.is_flag:
                    ours.append(_value(flag, option.usage, tokens))
            elif beams and flag in beam_options.known():
                beam_args.append(word)
                if not equals and beam_options.takes_value(flag):
                    beam_args.append(_value(flag, f"{flag} VALUE", tokens))
            else:
                raise ConfigurationError(self._unknown(flag, beams))
        if len(words) > (self.word is not None):
            raise ConfigurationError(self._too_many(words))
        if beam_args:
            beam_options.check(beam_args)
        ctx.meta[_BEAM_ARGUMENTS] = tuple(beam_args)
        return [*ours, "--", *words]

    @property
    def _takes_sql(self) -> bool:
        return self.word is not None and self.word.name == "sql"

    def _unknown(self, flag: str, beams: bool) -> str:
        name = flag.lstrip("-")
        others = [command for option in all_options() if option.key == name for command in option.of]
        if others:
            return f"{flag} is an option of {', '.join(others)}, not of {self.name}"
        hint = nearest(name.replace("_", "-"), self.options, prefix="--")
        if not hint and beams:
            hint = nearest(flag, beam_options.known())
        return f"{flag} is no option of {self.name}{hint or f': see {PROGRAM} {self.name} --help'}"

    def _too_many(self, words: Sequence[str]) -> str:
        if self._takes_sql:
            return f"{self.name} takes one SQL text, not {len(words)}: put it in quotation marks"
        word = words[self.word is not None]
        names = {option.key for option in all_options()}
        hint = f": did you mean --{word}?" if word in names else f": see {PROGRAM} {self.name} --help"
        shown = "a number" if numbers.canonical(word, "text") else repr(word)  # it may be somebody's
        return f"{self.name} does not know what to do with {shown}{hint}"

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The options by section, each with its default."""
        for section in SECTIONS:
            rows = [option.get_help_record(ctx) for option in section.options if option in self.params]
            if rows:
                with formatter.section(section.title):
                    formatter.write_dl(rows)


def _value(flag: str, usage: str, tokens: deque[str]) -> str:
    # A value may begin with one dash: `--start -30m`.
    if not tokens or tokens[0].startswith("--"):
        raise ConfigurationError(f"{flag} needs a value: {usage}")
    return tokens.popleft()
