"""Where the lake's own Iceberg catalog is, and how far its tables are; JSON alone, so that nobody needs a library.

iceberg/<table>/metadata/v<N>.metadata.json    created once: this is the commit; the greatest N counts
iceberg/<table>/metadata/version-hint.text     an N that is or was the greatest; for readers, never for us
iceberg/<table>/metadata/*.avro                what the metadata refers to, under unique names
iceberg/<table>/data/day=YYYY-MM-DD/           closed days in few files (`register --compact`)
"""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wgtwo_pipeline.errors import AlreadyExistsError, ChangedError, CorruptError, NotFoundError
from wgtwo_pipeline.lake.store import ObjectInfo, Store

ROOT = "iceberg/"
REGISTERED_THROUGH, ERASED_THROUGH = "wgtwo.registered-through", "wgtwo.erased-through"
"""The table properties that say how far a table is: the last epoch and the last erasure that it shows."""

_LOOKS_AT_ONCE = 16


@dataclass(frozen=True)
class Version:
    """One version of a table: its number and when it was committed."""

    number: int
    created_at: datetime


@dataclass(frozen=True)
class Standing:
    """How far a table is. `metadata` is the whole of its newest version, as Iceberg's format 2 defines it."""

    table: str
    version: int
    metadata: dict[str, Any]

    @property
    def registered_through(self) -> int:
        """The last epoch whose files it shows."""
        return through(self.metadata.get("properties", {}))[0]

    @property
    def erased_through(self) -> int:
        """The last erasure that it has followed."""
        return through(self.metadata.get("properties", {}))[1]


def through(properties: dict[str, str]) -> tuple[int, int]:
    """The last epoch and the last erasure that a table with these properties shows; 0 before the first."""
    return int(properties.get(REGISTERED_THROUGH, 0)), int(properties.get(ERASED_THROUGH, 0))


def table_key(table: str) -> str:
    """The folder of a table."""
    return f"{ROOT}{table}"


def version_key(table: str, number: int) -> str:
    """Where a version of a table is."""
    return f"{ROOT}{table}/metadata/v{number}.metadata.json"


def hint_key(table: str) -> str:
    """Where readers look which version is the newest."""
    return f"{ROOT}{table}/metadata/version-hint.text"


def versions(store: Store, table: str) -> Iterator[Version]:
    """The versions that are there, in no order. Old ones are deleted after a day, the newest never."""
    folder = f"{ROOT}{table}/metadata/"
    for info in store.list(folder, after=f"{folder}v"):
        number = re.fullmatch(r"v(\d+)\.metadata\.json", info.key[len(folder) :])
        if number:
            yield Version(int(number[1]), info.modified)


def standing(store: Store, table: str) -> Standing | None:
    """The newest version of a table; None where it is not registered. Raises CorruptError."""
    newest = max((version.number for version in versions(store, table)), default=0)
    if not newest:
        return None
    key = version_key(table, newest)
    try:
        return Standing(table, newest, json.loads(bytes(store.read(key))))
    except ValueError as error:
        raise CorruptError(f"{key} is no Iceberg metadata: delete {ROOT} and register again") from error


def standings(store: Store, tables: Iterable[str]) -> dict[str, Standing] | None:
    """Those of these tables that are registered; None where the lake has no catalog of its own."""
    if next(iter(store.list(ROOT)), None) is None:
        return None
    with ThreadPoolExecutor(_LOOKS_AT_ONCE) as threads:
        found = threads.map(lambda table: standing(store, table), sorted(tables))
        return {each.table: each for each in found if each}


def point(store: Store, table: str, number: int) -> None:
    """Points readers to a version, unless they are pointed to a newer one. Never needed by us."""
    key, data = hint_key(table), str(number).encode()
    while True:
        try:
            there, tag = store.read_tagged(key)
            if there.tobytes().isdigit() and int(there.tobytes()) >= number:
                return
            store.replace(key, data, tag)
        except NotFoundError:
            with contextlib.suppress(AlreadyExistsError):
                store.create(key, data)
                return
        except ChangedError:
            continue
        else:
            return


def location(store: Store, key: str) -> str:
    """How the metadata names an object of the lake: a URL that every engine takes."""
    uri = store.uri(key)
    return uri if "://" in uri else f"file://{uri}"


def objects(store: Store, table: str, kind: str) -> Iterator[ObjectInfo]:
    """The objects of a table's `metadata` or `data`."""
    return store.list(f"{ROOT}{table}/{kind}/")
