"""Replacing files of a local lake: the lock under which it is done, and what tells a file from its successor."""

# Plain strings and os calls, as in `local.py`.
# ruff: noqa: PTH116

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator

from wgtwo_pipeline.lake.store import Tag

_LATER_NANOSECONDS = 1_000


def tag(status: os.stat_result) -> Tag:
    """Tell a file from the one that has its place later."""
    return Tag(f"{status.st_ino}-{status.st_mtime_ns}-{status.st_size}")


def date_after(path: str, earlier: os.stat_result) -> None:
    """Give a file a time of modification that no file which had its place before has had.

    The kernel's own clock for it ticks every few milliseconds, and the number of a deleted inode is soon used
    again: without this, the file after next could have the tag of the one that was read.
    """
    later = max(time.time_ns(), earlier.st_mtime_ns + _LATER_NANOSECONDS)
    os.utime(path, ns=(later, later))


@contextlib.contextmanager
def locked(path: str) -> Iterator[None]:
    """Hold the lock that is this file; waits for it. Whoever dies with it lets it go."""
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_at(path, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def is_exclusive(path: str) -> bool:
    """Return whether this file system lets only one hold a lock."""
    with locked(path):
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
    return False


def _is_at(path: str, descriptor: int) -> bool:
    """A lock on a file that somebody has removed meanwhile holds nobody off."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False
