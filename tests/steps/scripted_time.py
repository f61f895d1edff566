"""Time, chance and threads as a script wants them: nothing moves unless the world says so."""

import threading
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Clock:
    """Microseconds UTC; stands in for the module `time`."""

    def __init__(self, start):
        self.us = int((start - EPOCH).total_seconds() * 1_000_000)

    def advance(self, seconds):
        self.us += int(seconds * 1_000_000)

    def now(self):
        return EPOCH + timedelta(microseconds=self.us)

    def monotonic(self):
        return self.us / 1_000_000

    time = monotonic


def datetime_of(clock):
    """A `datetime` whose `now` is the clock's."""

    class Scripted(datetime):
        @classmethod
        def now(cls, tz=None):
            return clock.now().astimezone(tz)

        def __reduce_ex__(self, _protocol):
            return datetime.fromisoformat, (self.isoformat(),)

    return Scripted


class Idler:
    """A thread that never gets its turn: the watcher of sessions that nobody asks."""

    def __init__(self, target, name="", daemon=False):
        pass

    def start(self):
        pass


class Immediate:
    """An executor without threads."""

    def __init__(self, _workers):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def map(self, function, items):
        return map(function, items)

    def submit(self, function, *arguments):
        future = Future()
        try:
            future.set_result(function(*arguments))
        except Exception as error:
            future.set_exception(error)
        return future


class Coroutine:
    """A function in a thread of its own of which at most one at a time runs: the one that was told to `go_on`.

    `go_on` blocks whoever calls it until the function parks itself or ends.
    """

    def __init__(self, function):
        self._function = function
        self._may_run, self._has_stopped = threading.Semaphore(0), threading.Semaphore(0)
        self.done, self.result, self.error = False, None, None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def go_on(self):
        self._may_run.release()
        self._has_stopped.acquire()
        if self.done:
            self._thread.join()

    def park(self):
        """Called by the function itself; returns when it may go on."""
        self._has_stopped.release()
        self._may_run.acquire()

    def _run(self):
        self._may_run.acquire()
        try:
            self.result = self._function()
        except BaseException as error:
            self.error = error
        self.done = True
        self._has_stopped.release()
