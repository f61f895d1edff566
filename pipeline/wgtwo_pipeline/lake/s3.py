"""A lake in an S3 bucket: conditional puts, settled by looking when their outcome is unknown."""

import functools
import itertools
import random
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
from wgtwo_pipeline.lake import s3_checks, s3_versions
from wgtwo_pipeline.lake.s3_access import S3Access
from wgtwo_pipeline.lake.s3_files import ObjectFile, Range
from wgtwo_pipeline.lake.s3_puts import Put, Puts, says_changed, says_exists
from wgtwo_pipeline.lake.store import LakeLocation, ObjectInfo, Opener, Protections, Tag

if TYPE_CHECKING:
    from obstore.store import S3Store
    from typing_extensions import Buffer

    from wgtwo_pipeline.lake.s3_filesystem import StoreFileSystem

T = TypeVar("T")

PATIENCE_SECONDS = 60.0
READ_CONCURRENCY = 64
READ_AHEAD_BYTES = 64 << 20
DELETE_BATCH = 1000
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 5.0


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

    def __repr__(self) -> str:
        return f"S3LakeStore({self.location.url!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return self._opened_by or S3LakeStore, (self.location,)

    @functools.cached_property
    def access(self) -> S3Access:
        """This process's way to the bucket."""
        return S3Access(self.location)

    @functools.cached_property
    def _reads(self) -> "S3Store":
        # A large object may take its time while bytes flow.
        return self.access.objects(
            read_timeout=timedelta(seconds=self._timeout), timeout=timedelta(seconds=60 * self._timeout)
        )

    @functools.cached_property
    def _boto(self) -> Any:
        return self.access.client(timeout_seconds=2 * self._timeout)

    @functools.cached_property
    def puts(self) -> Puts:
        """How an object is put, once."""
        return Puts(self.access, self._timeout)

    def create(self, key: str, data: "Buffer") -> None:
        """See `Store.create`."""
        view = memoryview(data).cast("B")
        self.create_by(self.puts.way_for(view), key, view)

    def create_by(self, put: Put, key: str, view: memoryview) -> None:
        """The same in one of the two ways of `Puts`."""

        def put_and_settle() -> None:
            try:
                self.puts.put(put, key, view, None)
            except (ExistsError, ClientError) as error:
                if not says_exists(error):
                    raise
                # If it is gone by now, the error leads to another put.
                if self._same(key, view) is None:
                    raise AlreadyExistsError(key) from None

        self.persist(put_and_settle)

    def replace(self, key: str, data: "Buffer", unchanged: Tag) -> Tag:
        """See `Store.replace`."""
        view = memoryview(data).cast("B")
        return self.replace_by(self.puts.way_for(view), key, view, unchanged)

    def replace_by(self, put: Put, key: str, view: memoryview, unchanged: Tag) -> Tag:
        """The same in one of the two ways of `Puts`."""

        def put_and_settle() -> Tag:
            try:
                return self.puts.put(put, key, view, unchanged)
            except (PreconditionError, ClientError) as error:
                if not says_changed(error):
                    raise
            tag = self._same(key, view)
            if tag is None:
                raise ChangedError(key)
            return tag

        try:
            return self.persist(put_and_settle, key)
        except NotFoundError:
            raise ChangedError(key) from None

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
        return self.access.tag(result.meta["e_tag"])

    def read(self, key: str) -> memoryview:
        """See `Store.read`."""
        return self.persist(lambda: memoryview(obstore.get(self._reads, key).bytes()), key)

    def read_tagged(self, key: str) -> tuple[memoryview, Tag]:
        """See `Store.read_tagged`."""

        def get() -> tuple[memoryview, Tag]:
            result = obstore.get(self._reads, key)
            return memoryview(result.bytes()), self.access.tag(result.meta["e_tag"])

        return self.persist(get, key)

    def read_range(self, key: str, start: int, end: int, unchanged: Tag | None = None) -> Range:
        """Return the bytes from `start` up to `end` if the object still has this tag; it must have that many.

        Raises ChangedError if it has another, or is shorter, and NotFoundError.
        """
        options: Any = {"range": (start, end)}
        if unchanged and not unchanged.startswith("W/"):  # which no condition matches
            options["if_match"] = unchanged

        def get() -> Range:
            try:
                result = obstore.get(self._reads, key, options=options)
                data = memoryview(result.bytes())
            except (BaseError, OSError) as error:
                if isinstance(error, PreconditionError) or self.access.fault(error).code == "InvalidRange":
                    raise ChangedError(key) from None
                raise
            return Range(data, result.meta["size"], Tag(result.meta["e_tag"] or ""))

        return self.persist(get, key)

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
            start = {"StartAfter": self.access.full(after)} if after else {}
            answer = self._boto.list_objects_v2(
                Bucket=self.access.bucket, Prefix=self.access.full(prefix), **start
            )
            root = len(self.access.full(""))
            return [
                ObjectInfo(found["Key"][root:], found["Size"], found["LastModified"])
                for found in answer.get("Contents", [])
            ]

        while page := self.persist(next_page) or self.persist(look_behind):
            # A key that ends with "/" is a folder somebody's console made, not ours.
            yield from (info for info in page if not info.key.endswith("/"))
            after = page[-1].key

    def stat(self, key: str) -> ObjectInfo:
        """Return an object's size and time, or raise NotFoundError."""
        meta = self.persist(lambda: obstore.head(self._reads, key), key)
        return ObjectInfo(key, meta["size"], meta["last_modified"])

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store.delete`."""
        remaining = iter(keys)
        while batch := list(itertools.islice(remaining, DELETE_BATCH)):
            self.persist(functools.partial(obstore.delete, self._reads, batch))

    def delete_versions(self, keys: Iterable[str]) -> str:
        """See `Store.delete_versions`."""
        keys = list(keys)
        return self.persist(
            lambda: s3_versions.delete(self._boto, self.access.bucket, map(self.access.full, keys))
        )

    def protections(self) -> Protections:
        """See `Store.protections`."""
        return self.persist(lambda: s3_versions.protections(self._boto, self.access))

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
        return f"s3://{self.access.bucket}/{self.access.full(key)}"

    def check(self, writes: bool = True) -> None:
        """See `Store.check`; at most about 20 seconds, when nothing answers."""
        hasty = S3LakeStore(self.location, patience_seconds=0, timeout_seconds=5)
        s3_checks.bucket(hasty)
        if writes:
            s3_checks.conditional_put(hasty)

    def check_replace(self) -> None:
        """See `Store.check_replace`; at most about 20 seconds, when nothing answers."""
        s3_checks.conditional_replace(S3LakeStore(self.location, patience_seconds=0, timeout_seconds=5))

    def persist(self, action: Callable[[], T], key: str = "") -> T:
        """Do it, again and again while the fault is transient; give up after `patience_seconds`."""
        deadline = time.monotonic() + self._patience
        for attempt in itertools.count():
            try:
                return action()
            except (BaseError, BotoCoreError, ClientError, FileNotFoundError) as error:
                fault = self.access.fault(error)
                if key and isinstance(error, FileNotFoundError) and fault.code != "NoSuchBucket":
                    raise NotFoundError(key) from None
            if not fault.transient or time.monotonic() >= deadline:
                # Not chained: the library's text can hold signed headers.
                raise LakeError(f"lake {self.access.name}: {fault}") from None
            pause = min(FIRST_PAUSE_SECONDS * 2**attempt, LONGEST_PAUSE_SECONDS)
            time.sleep(pause * random.uniform(0.5, 1))
        raise AssertionError("unreachable")
