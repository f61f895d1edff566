"""Child processes that outlive no parent: each has a pipe, over which it reports and is asked to stop.

The closing of the pipe is the request to stop, so that a parent that was killed stops its children, too.
"""

import contextlib
import logging
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection
from typing import Any, Protocol

from wgtwo_pipeline import logs
from wgtwo_pipeline.errors import PipelineError
from wgtwo_pipeline.run.config import Config

_LOG = logging.getLogger(__name__)

_REPORT_SECONDS = 0.25
_MESSAGE_CHARACTERS = 500


class Work(Protocol):
    """What a child does: a function that a new process can import by its name."""

    def __call__(self, config: Config, lifeline: "Lifeline", *arguments: Any) -> None:
        """Returns when the work is done; raises PipelineError where it failed."""


class Lifeline:
    """The child's end: tells when to stop, and takes reports."""

    def __init__(self, pipe: Connection) -> None:
        self.stopping = threading.Event()
        self._pipe, self._lock = pipe, threading.Lock()
        self._callbacks: list[Callable[[], None]] = []
        self._expendable = False
        threading.Thread(target=self._listen, name="lifeline", daemon=True).start()

    def report(self, **facts: Any) -> None:
        """Tells the parent; a parent that is gone is no error."""
        with self._lock, contextlib.suppress(OSError, ValueError):
            self._pipe.send(facts)

    def report_regularly(self, facts: Callable[[], Mapping[str, Any]]) -> None:
        """Reports in the background until asked to stop, and as long as the process goes on after that."""

        def loop() -> None:
            while True:
                self.report(**facts())
                threading.Event().wait(_REPORT_SECONDS)

        threading.Thread(target=loop, name="reports", daemon=True).start()

    def on_stop(self, call: Callable[[], None]) -> None:
        """Calls this, in another thread, when asked to stop; at once if that was before. It may be called twice."""
        self._callbacks.append(call)
        if self.stopping.is_set():
            call()

    @contextlib.contextmanager
    def expendable(self) -> Iterator[None]:
        """While nothing would be lost with the process, as during long imports: asked to stop, it ends at once."""
        self._expendable = True
        if self.stopping.is_set():
            os._exit(0)
        yield
        self._expendable = False

    def _listen(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._pipe.recv()  # nothing is ever sent: this waits for the end
        self.stopping.set()
        if self._expendable:
            os._exit(0)
        for call in self._callbacks:
            call()


class Child:
    """The parent's end of one child process, started at once."""

    def __init__(self, name: str, work: Work, config: Config, *arguments: Any) -> None:
        self.name, self.facts = name, dict[str, Any]()
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_main, name=name, args=(work, config, theirs, arguments), daemon=False
        )
        os.environ.update(config.child_environment())
        self._process.start()
        self._started_at = time.monotonic()
        theirs.close()

    @property
    def running(self) -> bool:
        """Whether the process is there."""
        return self._process.is_alive()

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._process.pid

    @property
    def age_seconds(self) -> float:
        """How long ago it was started."""
        return time.monotonic() - self._started_at

    @property
    def exit_code(self) -> int | None:
        """How it ended: negative for a signal, None if it has not."""
        return self._process.exitcode

    def poll(self) -> Mapping[str, Any]:
        """The newest report, merged over those before it; never blocks."""
        with contextlib.suppress(OSError, EOFError):
            while self._pipe.poll():
                self.facts.update(self._pipe.recv())
        return self.facts

    def stop(self) -> None:
        """Asks it to finish gracefully; returns at once. Idempotent."""
        with contextlib.suppress(OSError):
            self._pipe.send(None)

    def join(self, timeout_seconds: float | None = None) -> None:
        """Waits for the end, taking reports meanwhile (a full pipe would block the child)."""
        remaining = timeout_seconds
        while self.running and (remaining is None or remaining > 0):
            self.poll()
            self._process.join(0.05)
            if remaining is not None:
                remaining -= 0.05
        self.poll()

    def kill(self) -> None:
        """Ends it at once."""
        self._process.kill()
        self._process.join()
        self.sweep()

    def close(self) -> None:
        """Lets go of what belongs to a process that has ended; only its `facts` remain."""
        self._pipe.close()
        self._process.close()

    def sweep(self) -> None:
        """Ends what a child that was killed had started itself, such as a runner's server."""
        if self._process.pid is not None and (self.exit_code or 0) < 0:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)


def _main(work: Work, config: Config, pipe: Connection, arguments: Any) -> None:
    # Terminals and service managers signal all processes at once: only the parent decides who stops when. In a
    # group of its own, because what libraries start (Prism) would stop at a terminal's signal.
    os.setpgid(0, 0)
    for number in (signal.SIGINT, signal.SIGTERM):
        # Not SIG_IGN, which what is started from here would inherit: a Java server could not be ended.
        signal.signal(number, lambda *_: None)
    logs.setup_logging(config.log_format, config.log_level)
    lifeline = Lifeline(pipe)
    code = 0
    try:
        work(config, lifeline, *arguments)
        lifeline.report(done=True)
    except PipelineError as error:
        code = error.exit_code
        lifeline.report(error=logs.redact(str(error)), exit_code=code)
    except BaseException as error:
        code = 1
        _LOG.debug("%s", error, exc_info=True)
        said = " ".join(str(error).split())[:_MESSAGE_CHARACTERS]
        message = f"unexpected {type(error).__name__}: {said} (--log-level debug shows where)"
        lifeline.report(error=logs.redact(message), exit_code=code)
    os.killpg(0, signal.SIGTERM)  # not this process, which takes no notice: what libraries have started
    os._exit(code)  # threads of libraries must not hold up the end
