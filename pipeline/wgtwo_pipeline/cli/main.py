"""Runs a command and turns how it ends into an exit code.

Exit codes: 0 done, 1 the work failed or audit found a difference, 2 the command line or configuration is wrong,
130 interrupted, 141 nobody reads standard output any more.
"""

import importlib
import importlib.metadata
import logging
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from types import FrameType
from typing import Any, Final

from wgtwo_pipeline import extras, logs
from wgtwo_pipeline.cli import beam_options
from wgtwo_pipeline.cli.arguments import CommandLine, parse
from wgtwo_pipeline.cli.build import build, build_auditing, build_reading, build_sandbox
from wgtwo_pipeline.cli.config_file import Settings, gather
from wgtwo_pipeline.cli.options import FLOWS
from wgtwo_pipeline.cli.usage import PROGRAM, help_text, overview
from wgtwo_pipeline.errors import PipelineError

_LOG = logging.getLogger(__name__)

INTERRUPTED, BROKEN_PIPE = 130, 141
COMMANDS: Final = {
    "run": ("wgtwo_pipeline.run.supervisor", "run"),
    "ingest": ("wgtwo_pipeline.run.supervisor", "ingest"),
    "publish": ("wgtwo_pipeline.run.supervisor", "publish"),
    "query": ("wgtwo_pipeline.ask.query", "query"),
    "status": ("wgtwo_pipeline.ask.status", "status"),
    "audit": ("wgtwo_pipeline.audit.audit", "audit"),
    "sandbox": ("wgtwo_pipeline.sandbox.command", "run"),
}
"""Where each command's function is; its module is imported only when it is asked for."""


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
        return _fail(error, f"unexpected {type(error).__name__}: {error} (--log-level debug shows where)", 1)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
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
    # So that what is wrong with the configuration is already said in the form that was asked for.
    logs.setup_logging(line.flags.get("log-format") or os.environ.get("WGTWO_LOG_FORMAT", "text"))
    settings = gather(line.command, line.flags, os.environ)
    logs.setup_logging(settings["log-format"], settings["log-level"])
    request = _request(line, settings)
    module, function = COMMANDS[line.command]
    return int(getattr(importlib.import_module(module), function)(request))


def _request(line: CommandLine, settings: Settings) -> Any:
    if line.command == "sandbox":
        return build_sandbox(settings)
    if line.command == "audit":
        return build_auditing(settings)
    if line.command not in FLOWS:
        return build_reading(settings, line.words[0] if line.words else None)
    runner = beam_options.runner_name(settings["runner"], settings.origin("runner"))
    return build(settings, (f"--runner={runner}", *line.beam_args))


def _print(text: str) -> None:
    sys.stdout.write(text + "\n")


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
