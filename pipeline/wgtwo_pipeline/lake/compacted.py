"""Closed days in few files, for readers of the catalog: which plain files each of them stands for, and its name.

`iceberg/<table>/data/day=YYYY-MM-DD/<erasure>-<digest>.parquet` holds the rows of some plain files of that day.
Which ones is a function of the day's files by their manifests, and the digest is of their keys: whoever compacts
the same files puts them under the same name, and whoever has the manifests can tell what a name stands for.
`<erasure>` is the last one whose work the rows show.
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Self

from wgtwo_pipeline.lake import iceberg

BYTES_PER_PART = 256 * 1024 * 1024
"""Of the plain files, by their manifests. Part of the format: with another value the names of parts would change."""

_KEY = re.compile(
    rf"{iceberg.ROOT}(?P<table>\w+)/data/day=(?P<day>\d{{4}}-\d\d-\d\d)/(?P<erasure>\d{{10}})-(?P<digest>[0-9a-f]{{32}})\.parquet"
)


@dataclass(frozen=True)
class Part:
    """Plain files of one day whose rows stand together."""

    keys: tuple[str, ...]

    @property
    def digest(self) -> str:
        """What names it."""
        return hashlib.blake2b("\n".join(self.keys).encode(), digest_size=16).hexdigest()


def parts(files: Iterable[tuple[str, int]]) -> Iterator[Part]:
    """Divides a day's files (key and bytes, in the log's order). The same files are always divided alike."""
    keys: list[str] = []
    together = 0
    for key, size in files:
        if keys and together + size > BYTES_PER_PART:
            yield Part(tuple(keys))
            keys, together = [], 0
        keys.append(key)
        together += size
    if keys:
        yield Part(tuple(keys))


@dataclass(frozen=True)
class PartPath:
    """What the key of a part says."""

    table: str
    day: date
    erasure: int
    digest: str

    @property
    def key(self) -> str:
        """The key that `parse` reads."""
        return f"{iceberg.ROOT}{self.table}/data/day={self.day}/{self.erasure:010d}-{self.digest}.parquet"

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Reads a key; None for an object that is no part."""
        found = _KEY.fullmatch(key)
        if not found:
            return None
        return cls(found["table"], date.fromisoformat(found["day"]), int(found["erasure"]), found["digest"])


def stand_for(shown: Sequence[str], files: Sequence[tuple[str, int]]) -> dict[str, Part] | None:
    """What each part among a day's `shown` keys stands for: together, the day's `files` that are not shown plain.

    None where they do not: a part is of other files, or one is missing.
    """
    plain = {key for key in shown if PartPath.parse(key) is None}
    divided = {part.digest: part for part in parts(file for file in files if file[0] not in plain)}
    found = {key: divided.pop(path.digest, None) for key in shown if (path := PartPath.parse(key))}
    if divided or None in found.values():
        return None
    return {key: part for key, part in found.items() if part}
