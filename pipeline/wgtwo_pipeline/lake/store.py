"""The lake's objects: created once, read, listed, deleted. The only file others need to know of storage.

A local folder and an S3 prefix stand behind one protocol; `open.py` gives the one that a location names. An object is
immutable: it is created whole under a key that had none, never changed, at most deleted.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from typing_extensions import Buffer


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
    """One listed object: its key, its size in bytes and when it was created (UTC)."""

    key: str
    size: int
    modified: datetime


class Store(Protocol):
    """The objects of one lake. Thread-safe; blocking; not to be used across a fork.

    Keys are relative paths such as `tables/sms/date=2026-11-23/0000000012-000.parquet`, of printable ASCII.
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

    def open(self, key: str) -> Any:
        """Open an object for ranged reads, as a file for pyarrow.parquet; or raise NotFoundError."""

    def check(self, writes: bool = True) -> None:
        """Before work: find out within seconds whether the lake can be used, or raise LakeError.

        For one that `writes` it creates a local lake's folder (nothing else does, so that an unmounted disk
        is noticed), proves that a second create under one key is refused, and removes what interrupted
        creates have left. Otherwise it only looks, and a folder that does not exist is an error.
        """

    def filesystem(self) -> Any:
        """Return an fsspec file system that reads what `uri` names, e.g. for DuckDB."""

    def uri(self, key: str) -> str:
        """Return how a reader addresses an object (or a prefix, or a glob): a path or `s3://bucket/…`."""


Opener = Callable[[LakeLocation], Store]
"""What a pickled store is opened by in another process: `open_store`, which keeps one for each process."""
