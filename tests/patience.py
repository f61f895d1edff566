"""How long tests wait for what they expect.

A quick test runs beside anything, on any machine: no clock decides it. It waits until it has seen what it expects,
and only what never comes fails it. A heavy test has the machine to itself (`.ci/run`): there the seconds that a
promise names are measured.
"""

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

PATIENCE_SECONDS = 240.0
"""What has not happened by then never does: a bound for what hangs, far above what a busy machine needs."""

T = TypeVar("T")

_measured = False


def measure(promises_are_measured: bool) -> None:
    """Called before each test: for a heavy one with True, so that it has no more time than it asks for."""
    global _measured
    _measured = promises_are_measured


def at_most(seconds: float) -> float:
    """So many seconds where they are measured, else PATIENCE_SECONDS; for what is waited for."""
    return seconds if _measured else max(seconds, PATIENCE_SECONDS)


def wait_until(
    condition: Callable[[], T],
    seconds: float = PATIENCE_SECONDS,
    what: str = "what was waited for",
    describe: Callable[[], object] = str,
    pause_seconds: float = 0.01,
) -> T:
    """Polls until `condition` gives something true, and returns that; fails the test when it doesn't in time."""
    seconds = at_most(seconds)
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:.0f} s: {what}\n{describe()}")
        time.sleep(pause_seconds)
    return found
