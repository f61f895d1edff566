"""Runs a command and turns how it ends into an exit code.

Exit codes: 0 done, 1 the work failed or audit found a difference, 2 the command line or configuration is wrong,
130 interrupted, 141 nobody reads standard output any more.
"""

import errno
import io
import logging
import os
import re
import select
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import replace
from types import FrameType
from typing import Final

import click
from click.exceptions import Exit
from click.shell_completion import shell_complete

from wgtwo_pipeline import extras, logs
from wgtwo_pipeline.cli.build import build, build_sandbox
from wgtwo_pipeline.cli.build_check import build_checking
from wgtwo_pipeline.cli.build_erase import build_erasing
from wgtwo_pipeline.cli.build_looking import (
    build_auditing,
    build_describing,
    build_reading,
    build_reporting,
    build_serving,
)
from wgtwo_pipeline.cli.build_register import build_registering
from wgtwo_pipeline.cli.command import HELP_SETTINGS, PROGRAM, Command, Context, show_help
from wgtwo_pipeline.cli.types import KINDS, nearest
from wgtwo_pipeline.errors import ConfigurationError, PipelineError

_LOG = logging.getLogger(__name__)

INTERRUPTED, BROKEN_PIPE = 130, 141
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
COMPLETE: Final = "_WGTWO_PIPELINE_COMPLETE"
"""The variable by which a shell asks for completions."""

SHELLS: Final = ("bash", "zsh", "fish")

# A table is read by its rows.
# fmt: off
COMMANDS: Final = (
    Command("sandbox", "serve the event APIs with made-up events", build_sandbox,
            "wgtwo_pipeline.sandbox.command:run"),
    Command("run", "ingest and publish together until stopped; without --endpoint with a sandbox inside", build,
            "wgtwo_pipeline.run.supervisor:run"),
    Command("ingest", "only subscribe, journal and ack", build, "wgtwo_pipeline.run.supervisor:ingest"),
    Command("publish", "publish what the journal holds now, then exit", build,
            "wgtwo_pipeline.run.publishing:publish"),
    Command("check", "try everything that a run needs, a line each with the fix", build_checking,
            "wgtwo_pipeline.check.check:check",
            note="Takes the options of run. No event is taken from anybody, nothing is acked, the lake is left as it "
            "was. Exit code 1 where a line has ✗."),
    Command("query", "answer SQL over the lake; without SQL give an overview", build_reading,
            "wgtwo_pipeline.ask.query:query", word=click.Argument(["sql"], required=False, metavar='["SQL"]'),
            note="Views: each table (sms, voice, …), events (what all tables share), quarantine and journal. "
            'Try "SELECT type, count(*) FROM events GROUP BY type", or "DESCRIBE sms" for its columns.'),
    Command("status", "show what the lake holds: tables, lag, journal backlog, gaps", build_reading,
            "wgtwo_pipeline.ask.status:status"),
    Command("schema", "show the tables' columns, or print DDL by which another engine finds them", build_describing,
            "wgtwo_pipeline.ask.schema:schema", word=click.Argument(["table"], required=False, metavar="[TABLE]"),
            note="Without a table, all of them and the quarantine."),
    Command("audit", "prove that every journaled event is published, duplicate, quarantined or erased, once",
            build_auditing, "wgtwo_pipeline.audit.audit:audit"),
    Command("erase", "obey consent revocations, and erase by hand; print the receipts", build_erasing,
            "wgtwo_pipeline.run.erasing:erase",
            note="Revocations that were published are always obeyed first. A phone number is never given as an "
            "argument: others could see it."),
    Command("register", "bring the Iceberg tables up to what is published", build_registering,
            "wgtwo_pipeline.register.register:register",
            note="Run it again whenever you like; `run --catalog lake` does so by itself. How to open the tables: "
            "docs/iceberg.md."),
    Command("report", "write one page with plots of what came: it stands alone, and can be printed", build_reporting,
            "wgtwo_pipeline.report.report:report",
            note="Nothing on it is personal, nothing in it runs. Exit code 0 whatever the audit says that is on it."),
    Command("serve", "serve the lake's figures, probes and page, for clusters, until stopped", build_serving,
            "wgtwo_pipeline.watch.serve:serve",
            note="Changes nothing. With --metrics-address `run` and `ingest` serve their own figures, too."),
    Command("completion", "print what makes a shell complete commands, options and their values",
            lambda settings: settings["shell"], "wgtwo_pipeline.cli.completion:completion",
            word=click.Argument(["shell"], type=replace(KINDS["choice"], choices=SHELLS), metavar="|".join(SHELLS)),
            note='Write it where the shell reads it at its start, such as eval "$(wgtwo-pipeline completion bash)" '
            "in ~/.bashrc or ~/.zshrc, or to ~/.config/fish/completions/wgtwo-pipeline.fish."),
)
# fmt: on


class _Program(click.Group):
    """All commands, in the order of the table."""

    context_class = Context

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Only what stands before the command: help or version."""
        if args and args[0] in ctx.help_option_names and not ctx.resilient_parsing:
            show_help(ctx)
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; ConfigurationError suggests one."""
        if args[0] not in self.commands and not ctx.resilient_parsing:
            hint = nearest(args[0], self.commands) or f": choose one of {', '.join(self.commands)}"
            raise ConfigurationError(f"{args[0]!r} is no command{hint}")
        return super().resolve_command(ctx, args)


program: Final = click.version_option(
    None, "-V", "--version", package_name=PROGRAM, message="%(prog)s %(version)s"
)(
    _Program(
        PROGRAM,
        commands={str(command.name): command for command in COMMANDS},
        help="Stores wgtwo's events as partitioned Parquet, exactly once.",
        subcommand_metavar="COMMAND [OPTION]…",
        options_metavar="",
        epilog=f"{PROGRAM} COMMAND --help explains the options of a command; --version shows the version.",
        no_args_is_help=False,
        context_settings={**HELP_SETTINGS, "ignore_unknown_options": True},
    )
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command to its end and returns the exit code; never raises what it can say in one line.

    For the main thread: SIGINT and SIGTERM let a command clean up; those that have more to do take them over.
    """
    interrupted = threading.Event()

    def stop(_: int, __: FrameType | None) -> None:
        for number in handlers:
            signal.signal(number, signal.SIG_DFL)  # the second one ends the process at once
        interrupted.set()
        raise KeyboardInterrupt

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        _open_what_is_closed()
        code = _main(list(sys.argv[1:] if arguments is None else arguments))
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if interrupted.is_set():  # libraries make errors of their own of an interruption
            return INTERRUPTED
        error = extras.explained(error)
        if isinstance(error, PipelineError):
            return _fail(error, str(error), error.exit_code)
        if isinstance(error, BrokenPipeError) and _nobody_reads():
            return BROKEN_PIPE
        if isinstance(error, OSError) and error.errno in _NO_ROOM and error.filename is None:
            told = f"what was to be printed cannot be written: {error.strerror}: make room where it goes"
            return _fail(error, told, 1)
        return _fail(error, f"unexpected {type(error).__name__}: {error} (--log-level debug shows where)", 1)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    return code


def _open_what_is_closed() -> None:
    """What is written to a descriptor closed by `>&-` goes nowhere: not into the file that is opened next."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
            os.set_inheritable(number, True)
    sys.stdin = sys.stdin or os.fdopen(0, encoding="utf-8")
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8")


def _main(arguments: list[str]) -> int:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # whatever its encoding, no character stops a result
    # So that what is wrong with the configuration is already said in the form that was asked for.
    typed = re.search(r"--log-format[= ](\w+)", " ".join(arguments))
    logs.setup_logging(typed[1] if typed else os.environ.get("WGTWO_LOG_FORMAT", "text"))
    if instruction := os.environ.get(COMPLETE):
        return shell_complete(program, {}, PROGRAM, COMPLETE, instruction)
    try:
        with program.make_context(PROGRAM, list(arguments)) as ctx:  # click takes the list apart
            if not arguments:
                sys.stderr.write(ctx.get_help() + "\n")
                return 2
            return int(program.invoke(ctx))
    except Exit as end:
        return end.exit_code
    except click.ClickException as error:
        raise ConfigurationError(error.format_message()) from None


def _fail(error: Exception, message: str, code: int) -> int:
    debug = logging.getLogger().isEnabledFor(logging.DEBUG)
    text = " ".join(message.split())
    if logs.is_json():
        _LOG.error("%s", text, exc_info=error if debug else None)
        return code
    if debug:
        sys.stderr.write(logs.redact("".join(traceback.format_exception(error))))
    lead = logs.ERASE_LINE if sys.stderr.isatty() else ""
    sys.stderr.write(f"{lead}{PROGRAM}: error: {logs.redact(text)}\n")
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
