"""The lake: rights, conditional create, conditional replace, and how far this machine's clock is from the lake's."""

import contextlib
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from wgtwo_pipeline.check.findings import Finding, not_tried, tried
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake.open import open_store, open_to_write
from wgtwo_pipeline.lake.store import LakeLocation, Store

CLOCKS_APART: Final = timedelta(seconds=60)
"""More than this is refused: what is covered, retained and due is told by the clock of whoever writes it."""
_LISTED: Final = ("journal/", "epochs/")
"""What every command that writes has to list."""


def examine(location: LakeLocation, *, erases: bool) -> Iterator[Finding]:
    """Four lines; the last three are not tried on a lake that cannot be opened. Leaves nothing behind.

    The lake's clock is asked by the time it gives to an object, which S3 states in whole seconds.
    """
    store = open_store(location)
    opened = tried("lake", lambda: _open(location))
    yield opened
    names = ("rights", "If-Match", "clock")
    if not opened.passed:
        yield from (not_tried(name, "the lake cannot be used") for name in names)
        return
    yield tried("rights", lambda: _rights(store))
    if erases:
        yield tried("If-Match", lambda: _replace(store))
    else:
        yield not_tried("If-Match", "only erase needs it, which --erase-every never leaves out")
    yield tried("clock", lambda: _clock(store))


def _open(location: LakeLocation) -> str:
    store = open_to_write(location)
    return f"{store.uri('').rstrip('/')} creates each object once"


def _rights(store: Store) -> str:
    for prefix in _LISTED:
        next(iter(store.list(prefix)), None)
    probe = f".probe/{secrets.token_hex(8)}"
    store.create(probe, b"probe")
    try:
        store.read(probe)
    finally:
        refused = _deleted(store, probe)
    if refused:
        return f"list, create, read; not delete, which publish and erase need and ingest does not ({refused})"
    return "list, create, read, delete"


def _deleted(store: Store, probe: str) -> str:
    """Why it could not be deleted; a bucket's lifecycle rule then expires it."""
    try:
        store.delete([probe])
    except LakeError as error:
        return str(error)
    return ""


def _replace(store: Store) -> str:
    try:
        store.check_replace()
    except LakeError as error:
        raise LakeError(f"{error}; only erase needs it: --erase-every never does without") from None
    return "an outdated replacement is refused"


def _clock(store: Store) -> str:
    probe = f".probe/{secrets.token_hex(8)}"
    before = datetime.now(UTC)
    store.create(probe, b"probe")
    after = datetime.now(UTC)
    try:
        dated = next((info.modified for info in store.list(".probe/") if info.key == probe), None)
    finally:
        with contextlib.suppress(LakeError):
            store.delete([probe])
    if dated is None:
        raise LakeError(
            "the lake does not list what was just created: use a storage that lists what it holds"
        )
    ahead = max(before - dated - timedelta(seconds=1), dated - after, timedelta())
    if ahead > CLOCKS_APART:
        direction = "ahead of" if dated < before else "behind"
        raise LakeError(
            f"this machine's clock is {ahead.total_seconds():.0f} s {direction} the lake's: set it (NTP, chrony)"
        )
    return (
        "at most a second from the lake's" if not ahead else f"{ahead.total_seconds():.0f} s from the lake's"
    )
