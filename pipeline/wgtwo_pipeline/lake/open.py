"""Opens a lake: to work on it, or only to look at it."""

import functools
import os
import re
from dataclasses import replace
from pathlib import Path
from urllib.parse import unquote, urlsplit

from wgtwo_pipeline.errors import ConfigurationError, LakeError
from wgtwo_pipeline.lake import lake_format
from wgtwo_pipeline.lake.store import LakeLocation, Store


def open_store(location: LakeLocation) -> Store:
    """Return the store of this lake, one per process; touches neither disk nor network.

    A relative folder is resolved now: the store, and a copy of it in another process, stays where it is when the
    working folder changes.
    """
    return _open(_absolute(location), os.getpid())


def open_to_write(location: LakeLocation) -> Store:
    """Return the store of a lake that can be written, new or of our format. Raises LakeError naming the fix."""
    store = open_store(location)
    store.check()
    lake_format.check(store)
    return store


def open_to_read(location: LakeLocation) -> Store:
    """Return the store of a lake that is there, of our format: nothing is created. Raises LakeError."""
    store = open_store(location)
    try:
        store.check(writes=False)
        lake_format.check(store)
    except LakeError as error:
        raise LakeError(f"{error}; --lake names another") from error
    return store


def _absolute(location: LakeLocation) -> LakeLocation:
    scheme = re.match(r"([A-Za-z][A-Za-z0-9+.-]+)://", location.url)
    match scheme and scheme[1].lower():
        case "s3":
            return location
        case None | "file":
            path = unquote(urlsplit(location.url).path) if scheme else location.url
            if not path:
                raise ConfigurationError("--lake is empty: name a folder or s3://bucket/prefix")
            return replace(location, url=str(Path(path).expanduser().absolute()))
        case _:
            raise ConfigurationError(f"--lake {location.url}: name a folder or s3://bucket/prefix")


@functools.cache
def _open(location: LakeLocation, _process_id: int) -> Store:
    if location.url.lower().startswith("s3://"):
        # boto3 and obstore take long to import: a local lake does without.
        from wgtwo_pipeline.lake.s3 import S3LakeStore

        return S3LakeStore(location, opened_by=open_store)
    from wgtwo_pipeline.lake.local import LocalLakeStore

    return LocalLakeStore(location, opened_by=open_store)
