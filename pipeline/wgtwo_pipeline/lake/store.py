"""The lake's objects: created once, read, listed, deleted. The only file others need to know of storage.

A local folder and an S3 prefix stand behind one protocol; `open.py` gives the one that a location names. An object is
created whole under a key that had none and never written into; at most it is deleted, or, where an erasure takes
something out of it, replaced as a whole by an object that is there at once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, NewType, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer


Tag = NewType("Tag", str)
"""What an object was when it was read: opaque; another one once the object has been replaced."""


@dataclass(frozen=True)
class LakeLocation:
    """Where a lake is: a folder (a path or `file://…`) or `s3://bucket/prefix`. Picklable, holds no secret.

    `s3_endpoint` is for S3-compatible servers (addressed path-style), `s3_region` overrides boto3's choice;
    credentials are found by each process through boto3's usual chain.
    """

    url: str
    s3_endpoint: str | None = None
    s3_region: str | None = None


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as it was listed: its key, its size in bytes and when it was created or replaced (UTC)."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Protections:
    """What of a storage keeps bytes that were replaced or deleted; nothing in a local folder."""

    versioned: bool = False
    """The bucket keeps old versions of objects, or did so once."""
    object_lock: bool = False
    """Versions can be locked against deletion."""
    replicated: bool = False
    """Objects are copied to another bucket, which does not follow when versions are deleted."""
    deleted_segments: bool = False
    """There are old versions of segments that were published and deleted."""
    unseen: tuple[str, ...] = ()
    """The names of those above that this identity may not look at: they are not known to be False."""


class Store(Protocol):
    """The objects of one lake. Thread-safe; blocking; not to be used across a fork.

    Keys are relative paths such as `tables/sms/day=2026-11-23/0000000012-000.parquet`, of printable ASCII.
    Each method raises LakeError, with a sentence that names the lake and the fix, for what it cannot do now;
    the same object goes on working once the fault is gone.
    """

    location: LakeLocation

    def __hash__(self) -> int: ...

    def create(self, key: str, data: "Buffer") -> None:
        """Create an object that did not exist; durable and visible, whole, when this returns.

        Also returns when the object already exists with exactly this content, so a repeated call, or one
        after an unknown outcome, is safe. Raises AlreadyExistsError when it exists with other content, and
        LakeError when the lake cannot be written or the outcome stays unknown: the object may exist then,
        whole, or appear a little later.
        """

    def read(self, key: str) -> memoryview:
        """Return an object's bytes, or raise NotFoundError."""

    def read_tagged(self, key: str) -> tuple[memoryview, Tag]:
        """Return an object's bytes and the tag that `replace` takes, or raise NotFoundError."""

    def replace(self, key: str, data: "Buffer", unchanged: Tag) -> Tag:
        """Replace the object that was read with this tag; whole and durable when this returns its new tag.

        One step for every reader: each sees the old object or the new one, never none, and never a part. Of
        concurrent replacers of one object one succeeds. Also returns when the object has exactly this content
        already, so a repeated call, or one after an unknown outcome, is safe. Raises ChangedError when it is
        neither, or gone; and LakeError when the lake cannot be written or the outcome stays unknown: the
        object may be replaced then, whole, or a little later.
        """

    def read_many(self, keys: Sequence[str], sizes: Sequence[int] | None = None) -> Iterator[memoryview]:
        """Yield the objects' bytes in the order of `keys`; NotFoundError at the first that is missing.

        Reads ahead with bounded concurrency; given `sizes` (bytes, one per key) it also holds no more than
        64 MiB, or one object, ahead of the consumer.
        """

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """Yield the objects under `prefix` with keys greater than `after`, ascending by the keys' bytes.

        `prefix` is empty or ends with "/". Every object that was created before the call and not deleted is
        listed; one that comes or goes meanwhile may be. Nothing when there is no such prefix.
        """

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects; a missing one is no error. Gone for good when this returns."""

    def delete_versions(self, keys: Iterable[str]) -> str:
        """Delete what a versioned bucket still keeps of these objects, except what they are now.

        A key that ends with "/" stands for all objects whose keys begin so.
        Returns what has to be said of those that stay, as a sentence without personal data; empty when none
        does. Idempotent. A local folder keeps none.
        """

    def protections(self) -> Protections:
        """Look at what keeps bytes beyond their replacement or deletion."""

    def open(self, key: str) -> Any:
        """Open an object for ranged reads, as a file for pyarrow.parquet; or raise NotFoundError.

        All reads are of the object that was opened: once it has been replaced they go on reading the old one, in a
        local folder, or raise ChangedError; then open it again (`reading.while_unchanged`).
        """

    def check(self, writes: bool = True) -> None:
        """Before work: find out within seconds whether the lake can be used, or raise LakeError.

        For one that `writes` it creates a local lake's folder (nothing else does, so that an unmounted disk
        is noticed), proves that a second create under one key is refused, and removes what interrupted
        creates have left. Otherwise it only looks, and a folder that does not exist is an error.
        """

    def check_replace(self) -> None:
        """Before the first `replace`: prove that one on an outdated tag is refused here, or raise LakeError.

        `check(writes=True)` comes first. Only those who replace need it: other writers don't.
        """

    def filesystem(self) -> Any:
        """Return an fsspec file system that reads what `uri` names, e.g. for DuckDB.

        Of an S3 lake it is pinned: whatever reads through it sees each object as it was when it was first read,
        or gets ChangedError; from then on it sees the lake anew.
        """

    def uri(self, key: str) -> str:
        """Return how a reader addresses an object (or a prefix, or a glob): a path or `s3://bucket/…`."""


Opener = Callable[[LakeLocation], Store]
"""What a pickled store is opened by in another process: `open_store`, which keeps one for each process."""
