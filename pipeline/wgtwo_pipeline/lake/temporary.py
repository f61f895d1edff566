"""What a local lake has not placed yet: files written whole under `.tmp/`, and the lock of those who replace."""

# Plain strings and os calls: pathlib costs as much as the system calls here.
# ruff: noqa: PTH102, PTH108, PTH123

import contextlib
import os
import secrets
import time

from wgtwo_pipeline.lake import locks

TEMPORARY = ".tmp"
LOCK = f"{TEMPORARY}/replace.lock"
LEFTOVER_SECONDS = 24 * 3600
_COMPARE_BYTES = 1 << 20


class Temporary:
    """The folder for temporary files under one root. All raise OSError, FileNotFoundError without a root."""

    def __init__(self, root: str) -> None:
        self._root = root

    def write(self, view: memoryview) -> str:
        """Write a file of this content, durably; return its path. Whoever calls places or unlinks it."""
        path = f"{self._root}/{TEMPORARY}/{os.getpid()}-{secrets.token_hex(8)}"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            descriptor = os.open(path, flags, 0o644)
        except FileNotFoundError:
            self._make()
            descriptor = os.open(path, flags, 0o644)
        try:
            while view:
                view = view[os.write(descriptor, view) :]
            os.fsync(descriptor)
        except BaseException:
            os.unlink(path)
            raise
        finally:
            os.close(descriptor)
        return path

    def locked(self) -> contextlib.AbstractContextManager[None]:
        """Hold off all others who replace or delete. Raises FileNotFoundError without a root."""
        self._make()
        return locks.locked(f"{self._root}/{LOCK}")

    def locks_are_exclusive(self) -> bool:
        """Whether the file system lets one at a time hold the lock."""
        self._make()
        return locks.is_exclusive(f"{self._root}/{LOCK}")

    def sweep(self) -> None:
        """Remove what processes that were killed have left, a day later."""
        oldest = time.time() - LEFTOVER_SECONDS
        with contextlib.suppress(FileNotFoundError), os.scandir(f"{self._root}/{TEMPORARY}") as scan:
            for entry in scan:
                with contextlib.suppress(FileNotFoundError):
                    if entry.stat().st_mtime < oldest and not LOCK.endswith(entry.name):
                        os.unlink(entry.path)

    def forget(self, replaced: os.stat_result) -> None:
        """Remove the names that a file, now replaced under its key, has here: its creator was killed before that."""
        if replaced.st_nlink > 1:
            with os.scandir(f"{self._root}/{TEMPORARY}") as scan:
                for entry in scan:
                    with contextlib.suppress(FileNotFoundError):
                        if os.path.samestat(entry.stat(), replaced):
                            os.unlink(entry.path)

    def _make(self) -> None:
        # Never the root itself: it may be a disk that is not mounted now.
        with contextlib.suppress(FileExistsError):
            os.mkdir(f"{self._root}/{TEMPORARY}")


def same_content(path: str, view: memoryview) -> bool:
    """Whether a file has this content; read piece by piece."""
    with open(path, "rb", buffering=0) as file:
        if os.fstat(file.fileno()).st_size != len(view):
            return False
        while chunk := file.read(_COMPARE_BYTES):
            if chunk != bytes(view[: len(chunk)]):
                return False
            view = view[len(chunk) :]
        return not view
