"""What an S3 server must be able to do, tried out before anything rests on it. Each raises LakeError with the fix."""

import contextlib
import secrets
from collections.abc import Callable
from typing import Protocol, TypeVar

from wgtwo_pipeline.errors import AlreadyExistsError, ChangedError, LakeError
from wgtwo_pipeline.lake.s3_access import S3Access
from wgtwo_pipeline.lake.s3_puts import Put, Puts
from wgtwo_pipeline.lake.store import Store, Tag

T = TypeVar("T")


class Tried(Store, Protocol):
    """What is tried out: a store, and the two ways in which it puts."""

    @property
    def access(self) -> S3Access:
        """Its way to the bucket."""

    @property
    def puts(self) -> Puts:
        """How it puts an object."""

    def persist(self, action: Callable[[], T]) -> T:
        """Does it; raises a fault as LakeError."""

    def create_by(self, put: Put, key: str, view: memoryview) -> None:
        """`create` in one of the two ways."""

    def replace_by(self, put: Put, key: str, view: memoryview, unchanged: Tag) -> Tag:
        """`replace` in one of the two ways."""


def bucket(store: Tried) -> None:
    """That it is there, may be listed, and is in the region that was named."""
    access = store.access
    access.await_credentials()
    client = store.persist(lambda: access.client(timeout_seconds=5, attempts=1))
    answer = store.persist(
        lambda: client.list_objects_v2(Bucket=access.bucket, Prefix=access.full(".probe/"), MaxKeys=1)
    )
    # boto3 follows to the bucket's region, obstore does not.
    region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", access.region)
    if region != access.region:
        raise LakeError(
            f"lake {access.name}: the bucket is in region {region}, not {access.region}: name it with"
            f" --s3-region {region}"
        )


def conditional_put(store: Tried) -> None:
    """That a second create is refused, in both ways to put: else nothing is exactly once. Leaves nothing behind."""
    probe = f".probe/{secrets.token_hex(8)}"
    try:
        store.create_by(store.puts.whole, probe, memoryview(b"first"))
        for put, what in ((store.puts.whole, "puts"), (store.puts.parts, "completed multipart uploads")):
            try:
                store.create_by(put, probe, memoryview(b"second"))
            except AlreadyExistsError:
                continue
            except LakeError as error:
                raise LakeError(f"{error}; it was tried with conditional {what}") from None
            raise LakeError(
                f"lake {store.access.name}: the server at {store.access.endpoint} ignores If-None-Match"
                f" on {what}: the second overwrote the first, so nothing would be exactly once: use another"
            )
    finally:
        # Best effort: who may not delete leaves it to the bucket's lifecycle rule.
        with contextlib.suppress(LakeError):
            store.delete([probe])


def conditional_replace(store: Tried) -> None:
    """That a replacement of what has been replaced is refused, in both ways to put. Leaves nothing behind."""
    probe = f".probe/{secrets.token_hex(8)}"
    try:
        store.create(probe, b"first")
        _, first = store.read_tagged(probe)
        store.replace(probe, b"second", first)
        for put in (store.puts.whole, store.puts.parts):
            with contextlib.suppress(ChangedError):
                store.replace_by(put, probe, memoryview(b"third"), first)
                raise LakeError(
                    f"lake {store.access.name}: the server at {store.access.endpoint} ignores If-Match: a put on"
                    " an outdated ETag replaced the object, so others' work would be lost: erase needs another"
                )
    finally:
        # Best effort: who may not delete leaves it to the bucket's lifecycle rule.
        with contextlib.suppress(LakeError):
            store.delete([probe])
