"""A lake in a bucket of an S3 server of the tests."""

import secrets

from servers import Credentials, s3_client
from wgtwo_pipeline.lake.open import open_to_write
from wgtwo_pipeline.lake.store import LakeLocation

CREDENTIALS = Credentials("testaccess", "testsecretkey")


def s3_lake(endpoint):
    """A new, empty lake."""
    bucket = f"tables-{secrets.token_hex(4)}"
    s3_client(endpoint, CREDENTIALS).create_bucket(Bucket=bucket)
    location = LakeLocation(f"s3://{bucket}/lakes/one", endpoint)
    open_to_write(location)
    return location
