"""Deletes many files of a local lake: their names under the lock, what they hold outside of it and several at once.

ext4 waits a millisecond for whoever frees a file, and nobody can replace a file meanwhile: a publisher took half as
long to delete its segments as for all else. Removing a name takes a hundredth of that, and whoever keeps the file
open until then decides when, and in which thread, it is freed.
"""

# Plain strings and os calls, as in `local.py`.
# ruff: noqa: PTH108

import contextlib
import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from itertools import islice
from typing import Final

_AT_ONCE: Final = 32
"""So many files are open, and so many names go under one lock: a process may open 256 on some machines, and others
wait for the lock."""
_THREADS: Final = 8
_HOLD: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_CLOEXEC
"""Also what may not be read may be deleted."""


def unlink(paths: Iterable[str], locked: Callable[[], AbstractContextManager[None]]) -> set[str]:
    """Remove files, each while `locked` is held; return the folders of those that were there.

    They are gone when this returns, though not durably so. Raises OSError; some of the files are gone then, too.
    """
    folders = set()
    waiting = iter(paths)
    with ThreadPoolExecutor(_THREADS) as threads:
        while some := list(islice(waiting, _AT_ONCE)):
            held: list[int] = []
            try:
                with locked():
                    for path in some:
                        with contextlib.suppress(FileNotFoundError):
                            held.append(os.open(path, _HOLD))
                            os.unlink(path)
                            folders.add(path.rpartition("/")[0])
            finally:
                list(threads.map(os.close, held))
    return folders
