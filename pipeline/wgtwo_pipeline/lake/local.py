"""A lake in a local folder: atomic and durable, by temporary file, fsync and hard link, or a rename to replace.

It is over 300 lines because each promise of the seam is a method of one class.
"""

# Plain strings and os calls: pathlib costs as much as the system calls here.
# ruff: noqa: PTH104, PTH108, PTH116, PTH123

import contextlib
import errno
import os
import secrets
import time
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from wgtwo_pipeline.errors import AlreadyExistsError, ChangedError, LakeError, NotFoundError
from wgtwo_pipeline.lake import locks
from wgtwo_pipeline.lake.folders import Folders, make_durable
from wgtwo_pipeline.lake.local_faults import GOOD_PLACES, lake_error
from wgtwo_pipeline.lake.store import LakeLocation, ObjectInfo, Opener, Protections, Tag
from wgtwo_pipeline.lake.temporary import TEMPORARY, Temporary, same_content
from wgtwo_pipeline.lake.unlink import unlink

if TYPE_CHECKING:
    from fsspec.implementations.local import LocalFileSystem
    from typing_extensions import Buffer

# What FUSE, SMB and shared folders of virtual machines say; the content itself was written just before.
_NO_HARD_LINKS = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
    errno.ENOSYS,
    errno.EINVAL,
    errno.EIO,
    errno.EMLINK,
}


class LocalLakeStore:
    """A lake under the absolute folder that is its location's `url`. See `Store` for the promises.

    Content is written and fsynced under `.tmp/`, then linked to its key: the link is the put-if-absent, and
    a reader of `tables/` never sees anything unfinished. Then the folder is fsynced, and those above it when
    they are new to this process. A replacement is renamed over its key under a lock that all who replace or
    delete take: between the look at what is there and the rename nobody else changes it.
    """

    def __init__(self, location: LakeLocation, opened_by: Opener | None = None) -> None:
        self.location = location
        self._opened_by = opened_by
        self._root = location.url
        self._folders = Folders(location.url)
        self._temporary = Temporary(location.url)

    def __repr__(self) -> str:
        return f"LocalLakeStore({self._root!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return self._opened_by or LocalLakeStore, (self.location,)

    def create(self, key: str, data: "Buffer") -> None:
        """See `Store.create`."""
        view = memoryview(data).cast("B")
        self._path(key)
        try:
            temporary = self._temporary.write(view)
            try:
                self._place(temporary, key, view)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
        except OSError as error:
            raise lake_error(self._root, error) from error

    def read(self, key: str) -> memoryview:
        """See `Store.read`."""
        try:
            with open(self._path(key), "rb", buffering=0) as file:
                return memoryview(file.readall())
        except (FileNotFoundError, IsADirectoryError):
            raise NotFoundError(key) from None
        except OSError as error:
            raise lake_error(self._root, error) from error

    def read_tagged(self, key: str) -> tuple[memoryview, Tag]:
        """See `Store.read_tagged`."""
        try:
            with open(self._path(key), "rb", buffering=0) as file:
                return memoryview(file.readall()), locks.tag(os.fstat(file.fileno()))
        except (FileNotFoundError, IsADirectoryError):
            raise NotFoundError(key) from None
        except OSError as error:
            raise lake_error(self._root, error) from error

    def replace(self, key: str, data: "Buffer", unchanged: Tag) -> Tag:
        """See `Store.replace`."""
        view = memoryview(data).cast("B")
        self._path(key)
        try:
            temporary = self._temporary.write(view)
            try:
                with self._temporary.locked():
                    return self._rename(temporary, key, view, unchanged)
            finally:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(temporary)
        except OSError as error:
            raise lake_error(self._root, error) from error

    def read_many(self, keys: Sequence[str], sizes: Sequence[int] | None = None) -> Iterator[memoryview]:
        """See `Store.read_many`; one after the other, which the page cache makes faster than threads."""
        return map(self.read, keys)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`."""
        try:
            yield from self._walk(prefix, after)
        except OSError as error:
            raise lake_error(self._root, error) from error

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store.delete`; folders that become empty go too."""
        try:
            folders = unlink(map(self._path, keys), self._temporary.locked)
            for folder in sorted(folders, reverse=True):
                with contextlib.suppress(FileNotFoundError):  # another deleter prunes too
                    self._folders.sync(self._folders.prune(folder))
        except OSError as error:
            raise lake_error(self._root, error) from error

    def delete_versions(self, keys: Iterable[str]) -> str:
        """See `Store.delete_versions`: nothing to do."""
        return ""

    def protections(self) -> Protections:
        """See `Store.protections`: none. Snapshots and backups are the operator's."""
        return Protections()

    def open(self, key: str) -> pa.NativeFile:
        """See `Store.open`."""
        try:
            return pa.OSFile(self._path(key), "rb")
        except FileNotFoundError:
            raise NotFoundError(key) from None
        except OSError as error:
            raise lake_error(self._root, error) from error

    def check(self, writes: bool = True) -> None:
        """See `Store.check`."""
        try:
            if not writes:
                os.scandir(self._root).close()
                return
            make_durable(self._root)
            self._temporary.sweep()
        except FileExistsError as error:
            raise LakeError(f"lake {self._root} is not a folder: name another with --lake") from error
        except OSError as error:
            raise lake_error(self._root, error) from error
        probe = f".probe/{secrets.token_hex(8)}"
        try:
            self.create(probe, b"first")
            self.create(probe, b"second")
        except AlreadyExistsError:
            return
        finally:
            # Not `delete`: nobody replaces a probe, and without its lock a look leaves nothing behind.
            with contextlib.suppress(FileNotFoundError):
                os.unlink(self._path(probe))
            self._folders.prune(f"{self._root}/.probe")
        raise LakeError(
            f"lake {self._root}: its file system lets a second create overwrite the first: "
            "put the lake on another file system"
        )

    def check_replace(self) -> None:
        """See `Store.check_replace`: what it needs here is that locks work."""
        try:
            exclusive = self._temporary.locks_are_exclusive()
        except OSError as error:
            raise lake_error(self._root, error) from error
        if not exclusive:
            raise LakeError(
                f"lake {self._root}: its file system lets two hold one lock, so of two replacements of a file one"
                " would be lost: put the lake on another file system"
            )

    def filesystem(self) -> "LocalFileSystem":
        """See `Store.filesystem`."""
        # fsspec comes with the extra `query`: a worker does without.
        from fsspec.implementations.local import LocalFileSystem

        return LocalFileSystem()

    def uri(self, key: str) -> str:
        """See `Store.uri`: the absolute path."""
        return f"{self._root}/{key}"

    def _path(self, key: str) -> str:
        # Keys also come out of manifests: none may lead out of the lake.
        if not key or key.startswith("/") or ".." in key.split("/"):
            raise ValueError(f"not a key: {key!r}")
        return f"{self._root}/{key}"

    def _rename(self, temporary: str, key: str, view: memoryview, unchanged: Tag) -> Tag:
        """Give the finished file the place of the one that was read; under the lock."""
        path = self._path(key)
        try:
            there = os.stat(path)
        except FileNotFoundError:
            raise ChangedError(key) from None
        if locks.tag(there) == unchanged:
            locks.date_after(temporary, there)
            os.rename(temporary, path)
            self._temporary.forget(there)
        elif not same_content(path, view):
            raise ChangedError(key)
        # Also when it was there: whoever replaced it may not have come to this line yet.
        self._folders.sync(path.rpartition("/")[0])
        return locks.tag(os.stat(path))

    def _place(self, temporary: str, key: str, view: memoryview) -> None:
        """Give the finished file its key, durably, unless there is one with the same content."""
        path = self._path(key)
        folder = path.rpartition("/")[0]
        for attempt in range(50):
            try:
                if not self._link(temporary, path) and not same_content(path, view):
                    raise AlreadyExistsError(key)
                break
            except FileNotFoundError:
                # The folder is new, or a delete at this moment has emptied and removed it.
                time.sleep(attempt * 0.001)
                self._folders.make(folder)
        else:
            raise LakeError(f"lake {self._root}: {folder} vanishes again and again: stop what deletes it")
        try:
            # Also when it existed: whoever was first may not have come to this line yet.
            self._folders.sync(folder)
        except FileNotFoundError:
            # Deleted since, with its folder. Without a root, it may be the disk that has gone.
            os.stat(self._root)

    def _link(self, temporary: str, path: str) -> bool:
        """Put-if-absent: return False if the key is taken."""
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno in _NO_HARD_LINKS:
                raise LakeError(
                    f"lake {self._root}: its file system cannot make hard links ({error.strerror}), which"
                    f" atomic creation needs: {GOOD_PLACES}"
                ) from error
            raise
        return True

    def _walk(self, prefix: str, after: str) -> Iterator[ObjectInfo]:
        try:
            with os.scandir(f"{self._root}/{prefix}") as scan:
                # As S3 sorts, by the bytes of whole keys: a folder counts with the "/" that follows its name.
                entries = sorted(
                    ((entry.name + "/" if entry.is_dir() else entry.name, entry) for entry in scan),
                    key=lambda named: named[0],
                )
        except (FileNotFoundError, NotADirectoryError):
            return
        for name, entry in entries:
            key = prefix + name
            if name.endswith("/"):
                passed = key <= after and not after.startswith(key)
                if not passed and key != f"{TEMPORARY}/":
                    yield from self._walk(key, after)
            elif key > after:
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat()
                    modified = datetime.fromtimestamp(status.st_mtime, UTC)
                    yield ObjectInfo(key, status.st_size, modified)
