"""Set up a bucket for a lake; run again, it changes nothing that is right already.

    python infra/create_bucket.py s3://bucket/prefix [--s3-region R] [--s3-endpoint URL]
        [--kms-key ID] [--expire-journal-days N]

Creates the bucket, blocks public access, encrypts by default, and sets lifecycle rules for the lake's prefix:
unfinished multipart uploads are aborted after 7 days, probes of the start check expire after 1, noncurrent
versions (if the bucket is versioned) after 1, so that what a consent revocation erases is gone.
Rules of others, and of other lakes in the bucket, stay. Credentials by boto3's usual chain.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

SHORTEST_JOURNAL_DAYS = 30
_UNSUPPORTED = {"NotImplemented", "MethodNotAllowed", "XNotImplemented", "501", "405"}


def main(arguments: list[str] | None = None) -> int:
    """Return 0 when the bucket is set up, 1 when it could not be, with a sentence on standard error."""
    options = _parse(arguments)
    parts = urlsplit(options.lake)
    if parts.scheme != "s3" or not parts.netloc:
        sys.stderr.write(f"{options.lake}: write s3://bucket/prefix\n")
        return 2
    if options.expire_journal_days is not None and options.expire_journal_days < SHORTEST_JOURNAL_DAYS:
        sys.stderr.write(
            f"--expire-journal-days {options.expire_journal_days}: S3 would delete journaled events whether they"
            f" are published or not; give at least {SHORTEST_JOURNAL_DAYS}, longer than any outage of publish\n"
        )
        return 2
    try:
        client = boto3.client(
            "s3",
            region_name=options.s3_region,
            endpoint_url=options.s3_endpoint,
            config=Config(s3={"addressing_style": "path" if options.s3_endpoint else "auto"}),
        )
        _set_up(client, parts.netloc, parts.path.strip("/"), options)
    except (BotoCoreError, ClientError) as error:
        sys.stderr.write(f"{options.lake}: {error}\n")
        return 1
    sys.stdout.write(f"{options.lake} is ready\n")
    return 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Set up a bucket for a lake.", allow_abbrev=False)
    parser.add_argument("lake", metavar="s3://BUCKET/PREFIX")
    parser.add_argument("--s3-region", metavar="R")
    parser.add_argument("--s3-endpoint", metavar="URL", help="an S3-compatible server")
    parser.add_argument("--kms-key", metavar="ID", help="encrypt with this KMS key instead of S3's own")
    parser.add_argument(
        "--expire-journal-days",
        metavar="N",
        type=int,
        help="a backstop for --journal-retention: DELETES journaled events after N days, published or not",
    )
    return parser.parse_args(arguments)


def _set_up(client: Any, bucket: str, prefix: str, options: argparse.Namespace) -> None:
    _create(client, bucket)
    steps: dict[str, Callable[[], Any]] = {
        "public access block": lambda: client.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "IgnorePublicAcls": True,
                "BlockPublicPolicy": True,
                "RestrictPublicBuckets": True,
            },
        ),
        "default encryption": lambda: client.put_bucket_encryption(
            Bucket=bucket, ServerSideEncryptionConfiguration={"Rules": [_encryption(options.kms_key)]}
        ),
        "lifecycle rules": lambda: _put_lifecycle(client, bucket, prefix, options.expire_journal_days),
    }
    for name, step in steps.items():
        try:
            step()
        except ClientError as error:
            # A compatible server may lack some; AWS has all, so there every failure is one.
            if options.s3_endpoint is None or error.response["Error"]["Code"] not in _UNSUPPORTED:
                raise
            sys.stdout.write(f"{name}: not supported by this server, left out\n")


def _create(client: Any, bucket: str) -> None:
    try:
        client.head_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] not in ("404", "NoSuchBucket"):
            raise
        region = client.meta.region_name
        elsewhere = {} if region in (None, "us-east-1", "aws-global") else {"LocationConstraint": region}
        client.create_bucket(Bucket=bucket, **({"CreateBucketConfiguration": elsewhere} if elsewhere else {}))


def _encryption(kms_key: str | None) -> dict[str, Any]:
    if kms_key is None:
        return {"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    by_key = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": kms_key}
    return {"ApplyServerSideEncryptionByDefault": by_key, "BucketKeyEnabled": True}


def _put_lifecycle(client: Any, bucket: str, prefix: str, journal_days: int | None) -> None:
    mine = lifecycle_rules(prefix, journal_days)
    family = _family(prefix)
    try:
        present = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchLifecycleConfiguration":
            raise
        present = []
    # S3 replaces all rules at once.
    others = [rule for rule in present if not rule.get("ID", "").startswith(family)]
    client.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": others + mine})


def lifecycle_rules(prefix: str, journal_days: int | None) -> list[dict[str, Any]]:
    """Return the rules of the lake under this prefix."""
    root = f"{prefix}/" if prefix else ""
    contents: dict[str, tuple[str, dict[str, Any]]] = {
        "uploads": (root, {"AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7}}),
        "versions": (root, {"NoncurrentVersionExpiration": {"NoncurrentDays": 1}}),
        "probes": (f"{root}.probe/", {"Expiration": {"Days": 1}}),
    }
    if journal_days is not None:
        contents["journal"] = (f"{root}journal/", {"Expiration": {"Days": journal_days}})
    return [
        {"ID": f"{_family(prefix)}{name}", "Status": "Enabled", "Filter": {"Prefix": path}, **action}
        for name, (path, action) in contents.items()
    ]


def _family(prefix: str) -> str:
    return f"wgtwo-pipeline {prefix}: "


if __name__ == "__main__":
    sys.exit(main())
