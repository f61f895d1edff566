"""Conditional puts to S3, in one request or in parts. Each is tried once: who calls tries again, and settles."""

import contextlib
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import obstore
from botocore.exceptions import ClientError
from obstore.exceptions import AlreadyExistsError as ExistsError
from obstore.exceptions import BaseError

from wgtwo_pipeline.lake.s3_access import S3Access
from wgtwo_pipeline.lake.store import Tag

if TYPE_CHECKING:
    from obstore.store import S3Store

SMALL_BYTES = 1 << 20
# Above this an object is put in parts: a fault costs one part, and each request's time is bounded.
MULTIPART_BYTES = 32 << 20
PART_BYTES = 8 << 20
PART_CONCURRENCY = 4

_OF_A_PART = ("ETag", "ChecksumSHA256")
_EXISTS_CODES = {"PreconditionFailed", "ConditionalRequestConflict"}
_CHANGED_CODES = {"PreconditionFailed", "NoSuchKey"}

Put = Callable[[str, memoryview, Tag | None], Tag]
"""Puts an object under a key that had none, or in the place of the one with this tag; returns its tag."""


class Puts:
    """The two ways to put an object, for `put`. Raises what obstore and boto3 raise; `says_…` tells what it means."""

    def __init__(self, access: S3Access, timeout_seconds: float) -> None:
        self._access = access
        self._timeout = timeout_seconds
        self._checksums = False

    @functools.cached_property
    def _small(self) -> "S3Store":
        return self._access.objects(checksums=self._checksums, timeout=timedelta(seconds=self._timeout))

    @functools.cached_property
    def _large(self) -> "S3Store":
        return self._access.objects(checksums=self._checksums, timeout=timedelta(seconds=6 * self._timeout))

    @functools.cached_property
    def _boto(self) -> Any:
        return self._access.client(timeout_seconds=2 * self._timeout)

    def way_for(self, view: memoryview) -> Put:
        """Small objects go whole, large ones in parts."""
        return self.parts if len(view) > MULTIPART_BYTES else self.whole

    def put(self, put: Put, key: str, view: memoryview, unchanged: Tag | None) -> Tag:
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

    def whole(self, key: str, view: memoryview, unchanged: Tag | None) -> Tag:
        """Put an object in one request."""
        store = self._small if len(view) <= SMALL_BYTES else self._large
        mode: Any = {"e_tag": unchanged} if unchanged else "create"
        return self._access.tag(
            obstore.put(store, key, obstore.Bytes(view), mode=mode, use_multipart=False)["e_tag"]
        )

    def parts(self, key: str, view: memoryview, unchanged: Tag | None) -> Tag:
        """Put an object in parts, the last step conditional; what is not completed is aborted."""
        target = {"Bucket": self._access.bucket, "Key": self._access.full(key)}
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
        return self._access.tag(answer.get("ETag"))


def says_changed(error: Exception) -> bool:
    """Whether a replacement was refused because what is there is another object, or none."""
    return not isinstance(error, ClientError) or error.response["Error"]["Code"] in _CHANGED_CODES


def says_exists(error: Exception) -> bool:
    """Whether a creation was refused because there is an object."""
    if isinstance(error, ClientError):
        return error.response["Error"]["Code"] in _EXISTS_CODES
    return isinstance(error, ExistsError)
