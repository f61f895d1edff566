"""Opens a lake: to work on it, or only to look at it."""

import functools
import os
import re
from dataclasses import replace
from urllib.parse import unquote

from wgtwo_pipeline.errors import ConfigurationError, LakeError
from wgtwo_pipeline.lake import lake_format
from wgtwo_pipeline.lake.store import LakeLocation, Store
from wgtwo_pipeline.machine import at_home

_SCHEMES = ("s3", "file")
"""What no folder is called: `s3:/bucket` is a slip of the pen."""


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
    url = location.url
    scheme, colon, rest = url.partition(":")
    match scheme.lower() if colon and (rest.startswith("//") or scheme.lower() in _SCHEMES) else None:
        case "s3" if rest.startswith("//"):
            return location
        case "file":
            path = _path_of_file_url(url, rest)
        case None:
            path = url
        case _:
            raise ConfigurationError(f"--lake {url}: name a folder such as ./lake, or s3://bucket/prefix")
    if not path:
        raise ConfigurationError("--lake is empty: name a folder or s3://bucket/prefix")
    return replace(location, url=str(at_home(path).absolute()))


def _path_of_file_url(url: str, rest: str) -> str:
    """The path in `file:///path` or `file:/path`, with all that follows: folders may have `#` and `?` in their names.

    Dropping a host silently would make another folder of what was meant as a relative one.
    """
    found = re.fullmatch(r"(?://(?:localhost)?(?=/)|(?!//))(/.*)", rest, re.DOTALL)
    if found is None:
        named = rest.removeprefix("//")
        right = named if named.startswith((".", "~")) else f"file:///{named}, or ./{named}"
        raise ConfigurationError(f"--lake {url} names a host, not a folder: write {right}")
    return unquote(found[1])


@functools.cache
def _open(location: LakeLocation, _process_id: int) -> Store:
    if location.url.lower().startswith("s3://"):
        # boto3 and obstore take long to import: a local lake does without.
        from wgtwo_pipeline.lake.s3 import S3LakeStore

        return S3LakeStore(location, opened_by=open_store)
    from wgtwo_pipeline.lake.local import LocalLakeStore

    return LocalLakeStore(location, opened_by=open_store)
