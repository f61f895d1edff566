"""The folders of a local lake: made when a key needs them, durable up to the lake's root, gone when empty."""

# Plain strings and os calls: pathlib costs as much as the system calls here.
# ruff: noqa: PTH102, PTH106, PTH112, PTH120

import contextlib
import errno
import os
import threading


class Folders:
    """The folders under one root. All raise OSError; several threads and processes may use them at once."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._lock = threading.Lock()
        # Folders known to be durable up to the root, by path, with the identity they had: one that was
        # removed and made again is another.
        self._durable: dict[str, tuple[int, int]] = {}

    def make(self, folder: str) -> None:
        """Make a folder and those above it. Never the root: it may be a disk that is not mounted now."""
        missing = []
        while folder != self._root:
            missing.append(folder)
            folder = folder.rpartition("/")[0]
        if not os.path.isdir(self._root):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self._root)
        for each in reversed(missing):
            with contextlib.suppress(FileExistsError, FileNotFoundError):
                os.mkdir(each)

    def sync(self, folder: str) -> None:
        """Make the entries of a folder durable, and the folder itself up to the root."""
        identity = _sync(folder)
        with self._lock:
            known = self._durable.get(folder) == identity
        if not known:
            parent = folder
            while parent != self._root:
                parent = parent.rpartition("/")[0]
                _sync(parent)
            with self._lock:
                if len(self._durable) >= 10_000:
                    self._durable.clear()
                self._durable[folder] = identity

    def prune(self, folder: str) -> str:
        """Remove the folder and those above it while they are empty; return the lowest that is left."""
        while folder != self._root:
            try:
                os.rmdir(folder)
            except FileNotFoundError:
                pass
            except OSError:
                break
            folder = folder.rpartition("/")[0]
        return folder


def make_durable(path: str) -> None:
    """Make a folder and those above it, each durable in its parent; raises FileExistsError for what is no folder."""
    if not os.path.isdir(path):
        parent = os.path.dirname(path)
        make_durable(parent)
        try:
            os.mkdir(path)
        except FileExistsError:
            if not os.path.isdir(path):
                raise
        _sync(parent)


def _sync(folder: str) -> tuple[int, int]:
    """Make a folder's entries durable; return its identity."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
        status = os.fstat(descriptor)
    finally:
        os.close(descriptor)
    return status.st_dev, status.st_ino
