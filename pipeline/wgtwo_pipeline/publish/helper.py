"""A second process that works beside this one: Python's lock lets a process that decodes use one core only.

It keeps nothing: whatever it was at when it ends, however it ends, is done here.
"""

import contextlib
import logging
import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Generic, Self, TypeVar

from wgtwo_pipeline import logs
from wgtwo_pipeline.errors import PipelineError
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation, Store

_LOG = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True)
class Task(Generic[R]):
    """A call of something idempotent that any process can import, with a store and arguments that can be pickled."""

    function: Callable[..., R]
    arguments: tuple[Any, ...]

    def do(self, store: Store) -> R:
        """What it returns."""
        return self.function(store, *self.arguments)


class GoneError(PipelineError):
    """The process has ended, and with it what it was at."""


class Helper:
    """A process, started at once, that ends with its context, with this process, or by a signal.

    Except by a terminal's Ctrl-C, which all processes get: that is this one's to answer.
    """

    def __init__(self, prepare: Callable[[], object], log_format: str, log_level: str) -> None:
        """`prepare` is called there first: the moment to import what takes long."""
        context = multiprocessing.get_context("spawn")  # a fork would inherit the locks of libraries' threads
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, prepare, log_format, log_level), name="helper", daemon=True
        )
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})  # what is started here inherits it
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        theirs.close()

    @property
    def pid(self) -> int | None:
        """Its process."""
        return self._process.pid

    def share(self, tasks: Iterable[Task[R]], store: Store) -> Iterator[R]:
        """What comes of all tasks, in no order: this process and the helper both take from them until none is left.

        What the helper did not finish because it has ended is done here. Raises what a task raises, in either of
        them, once both have stopped.
        """
        waiting, done = deque(tasks), deque[R]()

        def help_out() -> None:
            for task in _taken(waiting):
                try:
                    done.append(self._call(task, store.location))
                except GoneError:
                    waiting.append(task)
                    _LOG.warning("a helping process has ended: publishing goes on without it")
                    return
                except BaseException:
                    waiting.clear()
                    raise

        with ThreadPoolExecutor(1) as threads:
            helping = threads.submit(help_out)
            try:
                while waiting or done or not helping.done():
                    for task in _taken(waiting):
                        yield task.do(store)
                        yield from _taken(done)
                    helping.result()
                    yield from _taken(done)
            finally:
                waiting.clear()

    def _call(self, task: Task[R], lake: LakeLocation) -> R:
        try:
            self._pipe.send((task, lake))
            result, error = self._pipe.recv()
        except (OSError, EOFError):
            raise GoneError("a helping process has ended") from None
        if error is not None:
            raise error
        returned: R = result
        return returned

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()  # it has nothing to lose
        self._process.join()
        self._pipe.close()


def _taken(pile: deque[T]) -> Iterator[T]:
    """One after the other, as long as there are any; others may take from it and add to it meanwhile."""
    with contextlib.suppress(IndexError):
        while True:
            yield pile.popleft()


def _serve(pipe: Connection, prepare: Callable[[], object], log_format: str, log_level: str) -> None:
    logs.setup_logging(log_format, log_level)
    prepare()
    with contextlib.suppress(OSError, EOFError):  # nobody is left to work for
        while True:
            task, lake = pipe.recv()
            try:
                result, failure = task.do(open_store(lake)), None
            except BaseException as error:
                result, failure = None, _portable(error)
            pipe.send((result, failure))


def _portable(error: BaseException) -> BaseException:
    """An error that can go through a pipe, with what its traceback said here."""
    sent = error
    if not isinstance(error, PipelineError):
        sent = PipelineError(f"unexpected {type(error).__name__}: {error} (--log-level debug shows where)")
    sent.add_note("".join(traceback.format_exception(error)))
    return sent
