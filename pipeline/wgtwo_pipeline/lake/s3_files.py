"""S3 objects as files: ranged reads for pyarrow, all of one generation of an object."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from wgtwo_pipeline.errors import ChangedError, NotFoundError
from wgtwo_pipeline.lake.store import ObjectInfo, Tag

BLOCK_BYTES = 64 << 10


class Objects(Protocol):
    """What a store offers those who read its objects in ranges."""

    def stat(self, key: str) -> ObjectInfo:
        """Look at one object, or raise NotFoundError."""

    def read_range(self, key: str, start: int, end: int, unchanged: Tag | None) -> "Range":
        """Return the bytes from `start` up to `end`; raise ChangedError, or NotFoundError, if it can't be them."""

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`."""

    def uri(self, key: str) -> str:
        """See `Store.uri`."""


@dataclass(frozen=True, slots=True)
class Range:
    """A part of an object, and what the whole of it was at that moment."""

    data: memoryview
    size: int
    tag: Tag


class Pins:
    """What each object was when it was first read: whoever shares this reads nothing of a later one.

    Thread-safe. Once an object has turned out to be another it is `broken`, for good: the scan has to start again,
    with new ones.
    """

    def __init__(self) -> None:
        self._tags: dict[str, Tag] = {}
        self.broken = False

    def read(self, store: Objects, info: ObjectInfo, start: int, end: int) -> memoryview:
        """Return the bytes from `start` up to `end` of the object as it was first read; or raise ChangedError."""
        try:
            found = store.read_range(info.key, start, end, self._tags.get(info.key))
            # Also of two first reads at once only one counts, and a server may ignore the condition.
            if self._tags.setdefault(info.key, found.tag) != found.tag or found.size != info.size:
                raise ChangedError(info.key)
        except (ChangedError, NotFoundError):
            self.broken = True
            raise
        return found.data


class ObjectFile(io.RawIOBase):
    """One object as a seekable file. Each read is one ranged request, of at least 64 KiB.

    The last 64 KiB come whole, so that the length and the footer of a Parquet file are one request. All reads are
    of one object: see `Pins`.
    """

    def __init__(self, store: Objects, info: ObjectInfo, pins: Pins | None = None) -> None:
        self._store = store
        self._pins = pins or Pins()
        self._info = info
        self._position = 0
        self._block_start = 0
        self._block = memoryview(b"")

    @property
    def size(self) -> int:
        """The object's size in bytes."""
        return self._info.size

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position in bytes."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Set the position; costs nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def read(self, size: int | None = -1, /) -> bytes:
        """Read up to `size` bytes, fewer only at the end."""
        start = self._position
        end = self.size if size is None or size < 0 else min(start + size, self.size)
        if start >= end:
            return b""
        if start < self._block_start or end > self._block_start + len(self._block):
            first = min(start, max(0, self.size - BLOCK_BYTES))
            last = min(max(end, start + BLOCK_BYTES), self.size)
            # A large read is not kept: its bytes are not asked for again.
            block = self._pins.read(self._store, self._info, first, last)
            if len(block) > 2 * BLOCK_BYTES:
                self._position = end
                return bytes(block[start - first : end - first])
            self._block_start, self._block = first, block
        self._position = end
        return bytes(self._block[start - self._block_start : end - self._block_start])

    def readall(self) -> bytes:
        """Read all that is left."""
        return self.read(-1)

    def readinto(self, buffer: Any, /) -> int:
        """Read into a buffer."""
        data = self.read(len(memoryview(buffer).cast("B")))
        memoryview(buffer).cast("B")[: len(data)] = data
        return len(data)
