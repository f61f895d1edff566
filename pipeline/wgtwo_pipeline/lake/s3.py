"""A lake in an S3 bucket: conditional puts, settled by looking when their outcome is unknown."""

import contextlib
import functools
import itertools
import logging
import random
import secrets
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import obstore
from botocore.exceptions import BotoCoreError, ClientError
from obstore.exceptions import AlreadyExistsError as ExistsError
from obstore.exceptions import BaseError, PreconditionError

from wgtwo_pipeline.errors import AlreadyExistsError, ChangedError, LakeError, NotFoundError
from wgtwo_pipeline.lake import s3_versions
from wgtwo_pipeline.lake.s3_access import S3Access
from wgtwo_pipeline.lake.s3_files import ObjectFile
from wgtwo_pipeline.lake.store import LakeLocation, ObjectInfo, Opener, Protections, Tag

if TYPE_CHECKING:
    from obstore.store import S3Store
    from typing_extensions import Buffer

    from wgtwo_pipeline.lake.s3_filesystem import StoreFileSystem

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
SMALL_BYTES = 1 << 20
# Above this an object is put in parts: a fault costs one part, and each request's time is bounded.
MULTIPART_BYTES = 32 << 20
PART_BYTES = 8 << 20
PART_CONCURRENCY = 4
READ_CONCURRENCY = 64
READ_AHEAD_BYTES = 64 << 20
DELETE_BATCH = 1000
CREDENTIALS_SECONDS = 10.0
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0

_OF_A_PART = ("ETag", "ChecksumSHA256")
_EXISTS_CODES = {"PreconditionFailed", "ConditionalRequestConflict"}
_CHANGED_CODES = {"PreconditionFailed", "NoSuchKey"}

Put = Callable[[str, memoryview, Tag | None], Tag]
"""Puts an object under a key that had none, or in the place of the one with this tag; returns its tag."""


class S3LakeStore:
    """A lake under `s3://bucket/prefix`. See `Store` for the promises.

    The retries are ours alone: obstore's would turn a put that was answered by a lost connection into
    "already exists". Any failed put is put again, and only "exists" ends in a look: an object with our
    content is our success, whoever put it. Faults are retried for `patience_seconds`, with jittered backoff.
    """

    def __init__(
        self,
        location: LakeLocation,
        patience_seconds: float = PATIENCE_SECONDS,
        timeout_seconds: float = 10,
        opened_by: Opener | None = None,
    ) -> None:
        self.location = location
        self._opened_by = opened_by
        self._patience = patience_seconds
        self._timeout = timeout_seconds
        self._checksums = False

    def __repr__(self) -> str:
        return f"S3LakeStore({self.location.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return self._opened_by or S3LakeStore, (self.location,)

    @functools.cached_property
    def _access(self) -> S3Access:
        return S3Access(self.location)

    @functools.cached_property
    def _small(self) -> "S3Store":
        return self._access.objects(checksums=self._checksums, timeout=timedelta(seconds=self._timeout))

    @functools.cached_property
    def _large(self) -> "S3Store":
        return self._access.objects(checksums=self._checksums, timeout=timedelta(seconds=6 * self._timeout))

    @functools.cached_property
    def _reads(self) -> "S3Store":
        # A large object may take its time while bytes flow.
        return self._access.objects(
            read_timeout=timedelta(seconds=self._timeout), timeout=timedelta(seconds=60 * self._timeout)
        )

    @functools.cached_property
    def _boto(self) -> Any:
        return self._access.client(timeout_seconds=2 * self._timeout)

    def create(self, key: str, data: "Buffer") -> None:
        """See `Store.create`."""
        view = memoryview(data).cast("B")
        self._create(key, view, self._put_parts if len(view) > MULTIPART_BYTES else self._put_whole)

    def _create(self, key: str, view: memoryview, put: Put) -> None:
        def put_and_settle() -> None:
            try:
                self._put(put, key, view, None)
            except (ExistsError, ClientError) as error:
                if not _says_exists(error):
                    raise
                # If it is gone by now, the error leads to another put.
                if self._same(key, view) is None:
                    raise AlreadyExistsError(key) from None

        self._persist(put_and_settle)

    def replace(self, key: str, data: "Buffer", unchanged: Tag) -> Tag:
        """See `Store.replace`."""
        view = memoryview(data).cast("B")
        put = self._put_parts if len(view) > MULTIPART_BYTES else self._put_whole
        return self._replace(key, view, unchanged, put)

    def _replace(self, key: str, view: memoryview, unchanged: Tag, put: Put) -> Tag:
        def put_and_settle() -> Tag:
            try:
                return self._put(put, key, view, unchanged)
            except (PreconditionError, ClientError) as error:
                if not _says_changed(error):
                    raise
            tag = self._same(key, view)
            if tag is None:
                raise ChangedError(key)
            return tag

        try:
            return self._persist(put_and_settle, key)
        except NotFoundError:
            raise ChangedError(key) from None

    def _put(self, put: Put, key: str, view: memoryview, unchanged: Tag | None) -> Tag:
        """Put, from now on with checksums if it is refused for having none: a bucket with Object Lock wants them."""
        try:
            return put(key, view, unchanged)
        except (BaseError, ClientError) as error:
            if self._checksums or self._access.fault(error).code != "InvalidRequest":
                raise
        self._checksums = True
        for made_without in ("_small", "_large"):
            vars(self).pop(made_without, None)
        return put(key, view, unchanged)

    def _put_whole(self, key: str, view: memoryview, unchanged: Tag | None) -> Tag:
        store = self._small if len(view) <= SMALL_BYTES else self._large
        mode: Any = {"e_tag": unchanged} if unchanged else "create"
        return self._tag(
            obstore.put(store, key, obstore.Bytes(view), mode=mode, use_multipart=False)["e_tag"]
        )

    def _put_parts(self, key: str, view: memoryview, unchanged: Tag | None) -> Tag:
        """Put an object in parts, the last step conditional; what is not completed is aborted."""
        target = {"Bucket": self._access.bucket, "Key": self._full(key)}
        checksum = {"ChecksumAlgorithm": "SHA256"} if self._checksums else {}
        upload = {**target, "UploadId": self._boto.create_multipart_upload(**target, **checksum)["UploadId"]}
        condition = {"IfMatch": unchanged} if unchanged else {"IfNoneMatch": "*"}

        def put_part(at: int) -> dict[str, Any]:
            number = at // PART_BYTES + 1
            body = bytes(view[at : at + PART_BYTES])
            answer = self._boto.upload_part(**upload, **checksum, PartNumber=number, Body=body)
            return {"PartNumber": number, **{name: answer[name] for name in _OF_A_PART if name in answer}}

        try:
            with ThreadPoolExecutor(PART_CONCURRENCY) as pool:
                parts = list(pool.map(put_part, range(0, len(view), PART_BYTES)))
            answer = self._boto.complete_multipart_upload(
                **upload, MultipartUpload={"Parts": parts}, **condition
            )
        except BaseException:
            # Best effort: the bucket's lifecycle rule removes what stays.
            with contextlib.suppress(Exception):
                self._boto.abort_multipart_upload(**upload)
            raise
        return self._tag(answer.get("ETag"))

    def _same(self, key: str, view: memoryview) -> Tag | None:
        """Return the object's tag if it has this content."""
        result = obstore.get(self._reads, key)
        at = 0
        if result.meta["size"] == len(view):
            for chunk in result.stream():
                if bytes(chunk) != bytes(view[at : at + len(chunk)]):
                    return None
                at += len(chunk)
        if not at == len(view) == result.meta["size"]:
            return None
        return self._tag(result.meta["e_tag"])

    def read(self, key: str) -> memoryview:
        """See `Store.read`."""
        return self._persist(lambda: memoryview(obstore.get(self._reads, key).bytes()), key)

    def read_tagged(self, key: str) -> tuple[memoryview, Tag]:
        """See `Store.read_tagged`."""

        def get() -> tuple[memoryview, Tag]:
            result = obstore.get(self._reads, key)
            return memoryview(result.bytes()), self._tag(result.meta["e_tag"])

        return self._persist(get, key)

    def read_range(self, key: str, start: int, end: int) -> memoryview:
        """Return the bytes from `start` up to `end`, or raise NotFoundError."""
        return self._persist(
            lambda: memoryview(obstore.get_range(self._reads, key, start=start, end=end)), key
        )

    def read_many(self, keys: Sequence[str], sizes: Sequence[int] | None = None) -> Iterator[memoryview]:
        """See `Store.read_many`."""
        ahead: deque[tuple[Future[memoryview], int]] = deque()
        ahead_bytes = 0
        pool = ThreadPoolExecutor(min(READ_CONCURRENCY, max(1, len(keys))))
        try:
            for key, size in zip(keys, sizes or itertools.repeat(0, len(keys)), strict=True):
                while ahead and (len(ahead) >= READ_CONCURRENCY or ahead_bytes + size > READ_AHEAD_BYTES):
                    first, first_size = ahead.popleft()
                    ahead_bytes -= first_size
                    yield first.result()
                ahead.append((pool.submit(self.read, key), size))
                ahead_bytes += size
            while ahead:
                yield ahead.popleft()[0].result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)

    def list(self, prefix: str, after: str = "") -> Iterator[ObjectInfo]:
        """See `Store.list`.

        obstore takes an error within an answer of 200 for an empty page, that is for the end; so the end is
        believed only when boto3, which does see such an error, finds nothing behind it either.
        """
        pages: Iterator[Any] | None = None

        def next_page() -> Sequence[ObjectInfo]:
            nonlocal pages
            try:
                if pages is None:
                    pages = iter(obstore.list(self._reads, prefix or None, offset=after or None))
                page: Sequence[Any] = next(pages, [])
            except Exception:
                pages = None
                raise
            return [ObjectInfo(meta["path"], meta["size"], meta["last_modified"]) for meta in page]

        def look_behind() -> Sequence[ObjectInfo]:
            nonlocal pages
            pages = None
            start = {"StartAfter": self._full(after)} if after else {}
            answer = self._boto.list_objects_v2(
                Bucket=self._access.bucket, Prefix=self._full(prefix), **start
            )
            root = len(self._full(""))
            return [
                ObjectInfo(found["Key"][root:], found["Size"], found["LastModified"])
                for found in answer.get("Contents", [])
            ]

        while page := self._persist(next_page) or self._persist(look_behind):
            # A key that ends with "/" is a folder somebody's console made, not ours.
            yield from (info for info in page if not info.key.endswith("/"))
            after = page[-1].key

    def stat(self, key: str) -> ObjectInfo:
        """Return an object's size and time, or raise NotFoundError."""
        meta = self._persist(lambda: obstore.head(self._reads, key), key)
        return ObjectInfo(key, meta["size"], meta["last_modified"])

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store.delete`."""
        remaining = iter(keys)
        while batch := list(itertools.islice(remaining, DELETE_BATCH)):
            self._persist(functools.partial(obstore.delete, self._reads, batch))

    def delete_versions(self, keys: Iterable[str]) -> str:
        """See `Store.delete_versions`."""
        keys = list(keys)
        return self._persist(
            lambda: s3_versions.delete(self._boto, self._access.bucket, map(self._full, keys))
        )

    def protections(self) -> Protections:
        """See `Store.protections`."""
        return self._persist(lambda: s3_versions.protections(self._boto, self._access.bucket))

    def open(self, key: str) -> ObjectFile:
        """See `Store.open`."""
        return ObjectFile(self, self.stat(key))

    def filesystem(self) -> "StoreFileSystem":
        """See `Store.filesystem`; read-only."""
        # fsspec comes with the extra `query`: a worker does without.
        from wgtwo_pipeline.lake.s3_filesystem import StoreFileSystem

        return StoreFileSystem(self)

    def uri(self, key: str) -> str:
        """See `Store.uri`."""
        return f"s3://{self._access.bucket}/{self._full(key)}"

    def check(self, writes: bool = True) -> None:
        """See `Store.check`; at most about 20 seconds, when nothing answers."""
        hasty = S3LakeStore(self.location, patience_seconds=0, timeout_seconds=5)
        hasty._check_bucket()
        if writes:
            hasty._check_conditional_put()

    def check_replace(self) -> None:
        """See `Store.check_replace`; at most about 20 seconds, when nothing answers."""
        S3LakeStore(self.location, patience_seconds=0, timeout_seconds=5)._check_conditional_replace()

    def _check_bucket(self) -> None:
        access = self._access
        self._await_credentials()
        client = self._persist(lambda: access.client(timeout_seconds=5, attempts=1))
        answer = self._persist(
            lambda: client.list_objects_v2(Bucket=access.bucket, Prefix=self._full(".probe/"), MaxKeys=1)
        )
        # boto3 follows to the bucket's region, obstore does not.
        region = answer["ResponseMetadata"]["HTTPHeaders"].get("x-amz-bucket-region", access.region)
        if region != access.region:
            raise LakeError(
                f"lake {access.name}: the bucket is in region {region}, not {access.region}: name it with"
                f" --s3-region {region}"
            )

    def _await_credentials(self) -> None:
        """A role's credentials may come some seconds after the process has started: they are waited for so long."""
        deadline = time.monotonic() + CREDENTIALS_SECONDS
        told = False
        while not self._access.has_credentials() and time.monotonic() < deadline:
            if not told:
                _LOG.warning(
                    "lake %s: no credentials yet; asking again for %.0f s",
                    self._access.name,
                    CREDENTIALS_SECONDS,
                )
                told = True
            time.sleep(0.5)

    def _check_conditional_put(self) -> None:
        probe = f".probe/{secrets.token_hex(8)}"
        try:
            self._create(probe, memoryview(b"first"), self._put_whole)
            for put, what in ((self._put_whole, "puts"), (self._put_parts, "completed multipart uploads")):
                try:
                    self._create(probe, memoryview(b"second"), put)
                except AlreadyExistsError:
                    continue
                except LakeError as error:
                    raise LakeError(f"{error}; it was tried with conditional {what}") from None
                raise LakeError(
                    f"lake {self._access.name}: the server at {self._access.endpoint} ignores If-None-Match"
                    f" on {what}: the second overwrote the first, so nothing would be exactly once: use another"
                )
        finally:
            # Best effort: who may not delete leaves it to the bucket's lifecycle rule.
            with contextlib.suppress(LakeError):
                self.delete([probe])

    def _check_conditional_replace(self) -> None:
        probe = f".probe/{secrets.token_hex(8)}"
        try:
            self.create(probe, b"first")
            _, first = self.read_tagged(probe)
            self.replace(probe, b"second", first)
            for put in (self._put_whole, self._put_parts):
                with contextlib.suppress(ChangedError):
                    self._replace(probe, memoryview(b"third"), first, put)
                    raise LakeError(
                        f"lake {self._access.name}: the server at {self._access.endpoint} ignores If-Match: a put on"
                        " an outdated ETag replaced the object, so others' work would be lost: erase needs another"
                    )
        finally:
            # Best effort: who may not delete leaves it to the bucket's lifecycle rule.
            with contextlib.suppress(LakeError):
                self.delete([probe])

    def _tag(self, e_tag: str | None) -> Tag:
        if not e_tag:
            raise LakeError(
                f"lake {self._access.name}: the server at {self._access.endpoint} names no ETag, without which"
                " nothing can be replaced safely: use another"
            )
        return Tag(e_tag)

    def _full(self, key: str) -> str:
        return f"{self._access.prefix}/{key}".removeprefix("/")

    def _persist(self, action: Callable[[], T], key: str = "") -> T:
        """Do it, again and again while the fault is transient; give up after `patience_seconds`."""
        deadline = time.monotonic() + self._patience
        for attempt in itertools.count():
            try:
                return action()
            except (BaseError, BotoCoreError, ClientError, FileNotFoundError) as error:
                fault = self._access.fault(error)
                if key and isinstance(error, FileNotFoundError) and fault.code != "NoSuchBucket":
                    raise NotFoundError(key) from None
            if not fault.transient or time.monotonic() >= deadline:
                # Not chained: the library's text can hold signed headers.
                raise LakeError(f"lake {self._access.name}: {fault}") from None
            pause = min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS)
            time.sleep(pause * random.uniform(0.5, 1))
        raise AssertionError("unreachable")


def _says_changed(error: Exception) -> bool:
    return not isinstance(error, ClientError) or error.response["Error"]["Code"] in _CHANGED_CODES


def _says_exists(error: Exception) -> bool:
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"] in _EXISTS_CODES
    return isinstance(error, ExistsError)
