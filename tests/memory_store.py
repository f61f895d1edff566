"""A lake in memory, for tests of what uses a store: quick, and failing on demand."""

import hashlib
import threading
from datetime import UTC, datetime

import pyarrow as pa
from wgtwo_pipeline.errors import AlreadyExistsError, ChangedError, LakeError, NotFoundError
from wgtwo_pipeline.lake.store import LakeLocation, ObjectInfo, Protections, Tag


class MemoryStore:
    """A `Store`. While `broken` is set each use raises LakeError; `before_create`, `before_replace` get the key."""

    def __init__(self):
        self.location = LakeLocation("memory")
        self.objects: dict[str, tuple[bytes, datetime]] = {}
        self.broken = False
        self.before_create = lambda key: None
        self.before_replace = lambda key: None
        self.lock = threading.Lock()

    def create(self, key, data):
        self._look()
        self.before_create(key)
        data = bytes(memoryview(data).cast("B"))
        with self.lock:
            if self.objects.setdefault(key, (data, datetime.now(UTC)))[0] != data:
                raise AlreadyExistsError(key)

    def overwrite(self, key, data, modified=None):
        """What no store offers, and damage does."""
        self.objects[key] = (data, modified or datetime.now(UTC))

    def read(self, key):
        self._look()
        try:
            return memoryview(self.objects[key][0])
        except KeyError:
            raise NotFoundError(key) from None

    def read_tagged(self, key):
        data = self.read(key)
        return data, _tag(data)

    def replace(self, key, data, unchanged):
        self._look()
        self.before_replace(key)
        data = bytes(memoryview(data).cast("B"))
        with self.lock:
            there = self.objects.get(key, (None, None))[0]
            if there != data and (there is None or _tag(there) != unchanged):
                raise ChangedError(key)
            self.objects[key] = (data, datetime.now(UTC))
        return _tag(data)

    def read_many(self, keys, sizes=None):
        for key in keys:
            yield self.read(key)

    def list(self, prefix, after=""):
        self._look()
        for key in sorted(self.objects):
            if key.startswith(prefix) and key > after and key in self.objects:
                data, modified = self.objects[key]
                yield ObjectInfo(key, len(data), modified)

    def delete(self, keys):
        self._look()
        for key in list(keys):
            self.objects.pop(key, None)

    def delete_versions(self, keys):
        self._look()
        return ""

    def protections(self):
        return Protections()

    def open(self, key):
        return pa.BufferReader(pa.py_buffer(self.read(key)))

    def check(self, writes=True):
        self._look()

    def check_replace(self):
        self._look()

    def filesystem(self):
        raise NotImplementedError

    def uri(self, key):
        return f"memory:{key}"

    def keys(self, prefix=""):
        return [info.key for info in self.list(prefix)]

    def _look(self):
        if self.broken:
            raise LakeError("the lake is broken: mend it")


def _tag(data):
    return Tag(hashlib.sha256(data).hexdigest())
