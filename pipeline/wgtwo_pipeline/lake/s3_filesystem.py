"""A lake in S3 as a read-only fsspec file system, for DuckDB and other readers. Needs the extra `query`."""

import contextlib
import threading
from datetime import timedelta
from typing import Any

from fsspec import AbstractFileSystem

from wgtwo_pipeline.errors import NotFoundError
from wgtwo_pipeline.lake.s3_files import ObjectFile, Objects, Pins
from wgtwo_pipeline.lake.store import ObjectInfo

_KNOWN_OBJECTS = 500_000


class StoreFileSystem(AbstractFileSystem):
    """The lake as a read-only fsspec file system under the protocol `s3`.

    A glob or a walk is one flat listing, however many folders it spans. What was listed or read is remembered and
    pinned, so that a query over many files, opened again and again, reads one generation of each. When one turns
    out to have been replaced the reading fails with ChangedError, and the next one sees everything anew.
    """

    protocol = "s3"
    cachable = False

    def __init__(self, store: Objects) -> None:
        super().__init__()
        self._store = store
        self._root = store.uri("").removeprefix("s3://")
        self._known: dict[str, ObjectInfo] = {}
        self._pins = Pins()
        self._restarts = 0
        self._lock = threading.Lock()

    @property
    def changes(self) -> int:
        """How often something that had been read turned out to be replaced; only grows."""
        return self._restarts + self._pins.broken

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Describe an object or a folder; FileNotFoundError if it is neither."""
        key = self._key(path)
        known = None
        if key:
            with contextlib.suppress(NotFoundError):
                known = self._look(key)
        if known is not None:
            return self._describe(known)
        prefix = f"{key}/" if key else ""
        if not key or next(iter(self._store.list(prefix)), None) is not None:
            return self._folder(key)
        raise FileNotFoundError(path)

    def find(
        self, path: str, maxdepth: int | None = None, withdirs: bool = False, detail: bool = False, **_: Any
    ) -> Any:
        """List all below a path; a flat listing of its objects."""
        self._restart_if_changed()
        top = self._key(path)
        prefix = f"{top}/" if top else ""
        found: dict[str, dict[str, Any]] = {}
        for info in self._store.list(prefix):
            info = self._remember(info)
            parts = info.key[len(prefix) :].split("/")
            if maxdepth is None or len(parts) <= maxdepth:
                described = self._describe(info)
                found[described["name"]] = described
            if withdirs:
                for depth in range(1, min(len(parts) - 1, maxdepth or len(parts)) + 1):
                    folder = self._folder(prefix + "/".join(parts[:depth]))
                    found.setdefault(folder["name"], folder)
        if not found and top and self.isfile(path):
            described = self.info(path)
            found[described["name"]] = described
        return dict(sorted(found.items())) if detail else sorted(found)

    def ls(self, path: str, detail: bool = True, **_: Any) -> Any:
        """List what is directly below a path."""
        found = self.find(path, maxdepth=1, withdirs=True, detail=True)
        return list(found.values()) if detail else list(found)

    def modified(self, path: str) -> Any:
        """Return when the object was created or replaced, by seconds.

        A restart makes it later: DuckDB keeps blocks of a file for as long as this is the same, and S3 does not tell
        two replacements within a second apart.
        """
        return self.info(path)["modified"] + timedelta(seconds=self._restarts)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> ObjectFile:
        if mode != "rb":
            raise PermissionError("the lake is read-only here")
        try:
            known = self._look(self._key(path))
        except NotFoundError:
            raise FileNotFoundError(path) from None
        return ObjectFile(self._store, known, self._pins)

    def _key(self, path: str) -> str:
        stripped = f"{self._strip_protocol(path)}/"
        if not stripped.startswith(self._root):
            raise FileNotFoundError(f"{path} is outside of {self._store.uri('')}")
        return stripped[len(self._root) :].strip("/")

    def _look(self, key: str) -> ObjectInfo:
        self._restart_if_changed()
        return self._known.get(key) or self._remember(self._store.stat(key))

    def _restart_if_changed(self) -> None:
        """Forget what was listed and read; files that are open now go on failing."""
        with self._lock:
            if self._pins.broken:
                self._restarts += 1
                self._known, self._pins = {}, Pins()

    def _remember(self, info: ObjectInfo) -> ObjectInfo:
        """What was known first stays: somebody may have read of it."""
        if len(self._known) >= _KNOWN_OBJECTS:
            self._known.clear()
        return self._known.setdefault(info.key, info)

    def _describe(self, info: ObjectInfo) -> dict[str, Any]:
        name = self._root + info.key
        return {"name": name, "size": info.size, "type": "file", "modified": info.modified}

    def _folder(self, key: str) -> dict[str, Any]:
        return {"name": (self._root + key).rstrip("/"), "size": 0, "type": "directory"}
