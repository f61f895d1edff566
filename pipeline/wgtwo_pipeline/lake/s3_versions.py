"""What a bucket keeps beyond replacement and deletion: old versions, locks, copies elsewhere."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from wgtwo_pipeline.lake import journal
from wgtwo_pipeline.lake.s3_access import S3Access
from wgtwo_pipeline.lake.store import Protections

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

AT_ONCE = 16
"""Keys whose versions are listed and deleted at the same time."""

_DENIED = {"AccessDenied", "AllAccessDisabled", "UnauthorizedAccess"}
_NONE = {"ObjectLockConfigurationNotFoundError", "ReplicationConfigurationNotFoundError"}
_NOT_OFFERED = {"NotImplemented", "MethodNotAllowed", "NotSupported"}


def protections(client: "S3Client", access: S3Access) -> Protections:
    """Look at the bucket's settings, and at what it keeps of segments. Raises ClientError for what is no answer."""
    bucket = access.bucket
    looks: Mapping[str, Callable[[], bool]] = {
        "versioned": lambda: "Status" in client.get_bucket_versioning(Bucket=bucket),
        "object_lock": lambda: (
            client.get_object_lock_configuration(Bucket=bucket)
            .get("ObjectLockConfiguration", {})
            .get("ObjectLockEnabled")
            == "Enabled"
        ),
        "replicated": lambda: any(
            rule["Status"] == "Enabled"
            for rule in client.get_bucket_replication(Bucket=bucket)["ReplicationConfiguration"]["Rules"]
        ),
        "deleted_segments": lambda: (
            found.get("versioned", False) and any(_noncurrent(client, bucket, access.full(journal.ROOT)))
        ),
    }
    found: dict[str, bool] = {}
    unseen = []
    for name, look in looks.items():
        try:
            found[name] = look()
        except ClientError as error:
            code = error.response["Error"]["Code"]
            if code in _DENIED:
                unseen.append(name)
            elif code not in _NONE | _NOT_OFFERED:
                raise
    return Protections(**found, unseen=tuple(unseen))


def delete(client: "S3Client", bucket: str, keys: Iterable[str]) -> str:
    """Delete all versions of these keys but the latest; return what is to be said of those that stay.

    One that ends with "/" stands for all keys that begin so.
    """
    try:
        if "Status" not in client.get_bucket_versioning(Bucket=bucket):
            return ""
    except ClientError as error:
        # Who may not look may be able to list and delete all the same.
        if error.response["Error"]["Code"] not in _DENIED | _NOT_OFFERED:
            raise
    with ThreadPoolExecutor(AT_ONCE) as pool:
        refusals = [
            refused for refused in pool.map(lambda key: _delete(client, bucket, key), keys) if refused
        ]
    if not refusals:
        return ""
    return (
        f"old versions of {len(refusals):,} objects could not be deleted ({', '.join(sorted(set(refusals)))}):"
        " they are left to the bucket's lifecycle rule, or to a role with infra/iam-erase.json"
    )


def _delete(client: "S3Client", bucket: str, key: str) -> str:
    """Return why some version stays, as S3's code for it; empty when none does."""
    refused = ""
    try:
        for versions in _noncurrent(client, bucket, key):
            answer = client.delete_objects(Bucket=bucket, Delete={"Objects": versions, "Quiet": True})
            for error in answer.get("Errors", ()):
                refused = error.get("Code", "refused")
        if refused and not any(_noncurrent(client, bucket, key)):
            refused = ""  # another eraser deleted it first, which some servers refuse to do twice
    except ClientError as error:
        code = error.response["Error"]["Code"]
        if code not in _DENIED | _NOT_OFFERED:
            raise
        refused = "" if code in _NOT_OFFERED else code
    return refused


def _noncurrent(client: "S3Client", bucket: str, key: str) -> Iterator[Any]:
    """A page at a time, as `delete_objects` takes them; of a deleted object, whatever it was."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=key):
        versions = [
            {"Key": each["Key"], "VersionId": each["VersionId"]}
            for each in [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            if not each["IsLatest"] and (each["Key"] == key or key.endswith("/"))
        ]
        if versions:
            yield versions
        if not key.endswith("/") and any(each["Key"] > key for each in page.get("Versions", ())):
            return
