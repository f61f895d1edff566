"""The lake's objects in memory, and one process's store of them whose every operation is a step of the world."""

import hashlib
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa
from wgtwo_pipeline.errors import AlreadyExistsError, ChangedError, LakeError, NotFoundError
from wgtwo_pipeline.lake.store import LakeLocation, ObjectInfo, Protections

PAGE = 3
"""Objects a page of a listing; between two pages others may do something."""


@dataclass(frozen=True)
class Object:
    data: bytes
    modified: datetime


def tag(item):
    return f"{item.modified} {hashlib.sha256(item.data).hexdigest()}"


class Bucket:
    """All objects; tells the checker of whatever happens to them."""

    def __init__(self, clock, checker):
        self.objects: dict[str, Object] = {}
        self.deleted: dict[str, bytes] = {}
        self._clock, self._checker = clock, checker

    def create(self, key, data):
        """Put-if-absent; raises AlreadyExistsError for other content."""
        if key in self.objects:
            if self.objects[key].data != data:
                self._checker.refused(key)
                raise AlreadyExistsError(key)
            return
        self.overwrite(key, data)

    def overwrite(self, key, data):
        """What no store may do; for planted bugs."""
        self.objects[key] = Object(data, self._clock.now())
        self._checker.put(key, data, self._clock.now())

    def replace(self, key, data, unchanged):
        """Replaces the object that had this tag; raises ChangedError for any other."""
        there = self.objects.get(key)
        if there is None or (there.data != data and tag(there) != unchanged):
            raise ChangedError(key)
        if there.data != data:
            self.put_over(key, data)

    def put_over(self, key, data):
        """In place of whatever is there."""
        self.objects[key] = Object(data, self._clock.now())
        self._checker.replaced(key, data, self._clock.now())

    def delete(self, key):
        gone = self.objects.pop(key, None)
        if gone is not None:
            self.deleted[key] = gone.data
            self._checker.delete(key, self._clock.now())

    def restore(self, prefix):
        """Puts the first object that was deleted under a prefix back as it was, as from a version or a copy."""
        gone = [key for key in sorted(self.deleted) if key.startswith(prefix) and key not in self.objects]
        if gone:
            self.overwrite(gone[0], self.deleted[gone[0]])


class ScriptedStore:
    """A `Store`. The plan may kill the process at a step, freeze it, or lose an answer."""

    def __init__(self, world, process, bucket):
        self.location = LakeLocation(f"scripted://{process.name}")
        self._world, self._process, self._bucket = world, process, bucket

    def create(self, key, data):
        data = bytes(memoryview(data).cast("B"))
        fault = self._step("put", key)
        self._refuse_in_outage(key)
        if fault == "lose before":
            raise LakeError(f"scripted: {key} was not put")
        if fault == "late":
            self._world.later(lambda: self._bucket.create(key, data))
            raise LakeError(f"scripted: {key} will be put later")
        if fault == "lose after":
            # Put, and not even looking tells.
            self._bucket.create(key, data)
            raise LakeError(f"scripted: {key} was put, the answer is lost")
        if fault == "again":
            # Put, the answer lost; a store settles that by putting once more, whenever it comes to it.
            self._bucket.create(key, data)
            self._process.park()
        self._bucket.create(key, data)
        if fault == "kill after":
            self._world.kill(self._process)

    def read(self, key):
        self._step("read", key)
        return self._read(key)

    def read_tagged(self, key):
        self._step("read", key)
        return self._read(key), tag(self._bucket.objects[key])

    def replace(self, key, data, unchanged):
        data = bytes(memoryview(data).cast("B"))
        fault = self._step("replace", key)
        self._refuse_in_outage(key)
        if fault == "lose before":
            raise LakeError(f"scripted: {key} was not replaced")
        if fault == "late":
            self._world.later(lambda: self._bucket.replace(key, data, unchanged))
            raise LakeError(f"scripted: {key} will be replaced later")
        self._bucket.replace(key, data, unchanged)
        if fault == "lose after":
            raise LakeError(f"scripted: {key} was replaced, the answer is lost")
        if fault == "again":
            self._process.park()
            self._bucket.replace(key, data, unchanged)
        if fault == "kill after":
            self._world.kill(self._process)
        return tag(self._bucket.objects[key])

    def delete_versions(self, keys):
        return ""

    def protections(self):
        return Protections()

    def check_replace(self):
        pass

    def read_many(self, keys, sizes=None):
        for key in keys:
            yield self.read(key)

    def list(self, prefix, after=""):
        while True:
            self._step("list", f"{prefix} after {after}")
            found = sorted(key for key in self._bucket.objects if key.startswith(prefix) and key > after)
            page = [(key, self._bucket.objects[key]) for key in found[:PAGE]]
            for key, item in page:
                yield ObjectInfo(key, len(item.data), item.modified)
            if len(found) <= PAGE:
                return
            after = page[-1][0]

    def delete(self, keys):
        for key in list(keys):
            fault = self._step("delete", key)
            if fault == "lose before":
                raise LakeError(f"scripted: {key} was not deleted")
            if fault == "late":
                self._world.later(lambda key=key: self._bucket.delete(key))
                raise LakeError(f"scripted: {key} will be deleted later")
            self._bucket.delete(key)
            if fault == "kill after":
                self._world.kill(self._process)
            if fault == "lose after":
                raise LakeError(f"scripted: {key} was deleted, the answer is lost")

    def open(self, key):
        self._step("read", key)
        return pa.BufferReader(pa.py_buffer(self._read(key)))

    def check(self, writes=True):
        pass

    def filesystem(self):
        raise NotImplementedError

    def uri(self, key):
        return f"scripted://{key}"

    def _read(self, key):
        if key not in self._bucket.objects:
            raise NotFoundError(key)
        return memoryview(self._bucket.objects[key].data)

    def _step(self, kind, key):
        return self._world.step(self._process, kind, key)

    def _refuse_in_outage(self, key):
        if self._world.clock.us < self._world.lake_down_until_us:
            raise LakeError(f"scripted: the lake is down, {key} was not put")
