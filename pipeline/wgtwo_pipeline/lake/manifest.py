"""What an epoch's two objects say: the seal lists its segments, the manifest what it published.

Both are JSON, created with put-if-absent and never changed. The shapes here are part of the lake's format; a field
added later must have a default, so that older lakes stay readable.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Literal, Self

from wgtwo_pipeline.errors import CorruptError
from wgtwo_pipeline.lake.lake_format import FORMAT

EPOCHS = "epochs/"


def sealed_key(epoch: int) -> str:
    """Where the seal of this epoch is."""
    return f"{EPOCHS}{epoch:010d}/sealed.json"


def manifest_key(epoch: int) -> str:
    """Where the manifest of this epoch is; it exists once the epoch is committed."""
    return f"{EPOCHS}{epoch:010d}/manifest.json"


def iso(time: datetime) -> str:
    """UTC with microseconds, such as `2026-11-23T09:30:00.000001Z`; text that sorts as time does."""
    return time.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds") + "Z"


@dataclass(frozen=True)
class Parameters:
    """What shapes an epoch's output besides its members; sealed with it, so that a redo is the same."""

    descriptors: str
    """SHA-256 of the FileDescriptorSet that its deliveries are decoded with, kept under `descriptors/`."""
    rows_per_group: int = 50_000
    bytes_per_group: int = 16 * 1024 * 1024
    """How many deliveries are read and decoded together, and retained in one object."""
    rows_per_file: int = 2_000_000
    row_group_rows: int = 128 * 1024
    partition_by: Literal["date", "hour"] = "date"
    erasures: tuple[int, ...] = ()
    """The erasures in force: what they name is not published."""
    newest_erasure: int = 0
    """The newest erasure that this seal or one before it lists; one that is not listed any more never comes back."""


@dataclass(frozen=True)
class SegmentRef:
    """A segment that an epoch holds, or a retained copy of several."""

    key: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Unreadable:
    """A segment of an epoch whose deliveries could not be read: they are in no table. `rows`: by its name."""

    key: str
    rows: int
    reason: str


@dataclass(frozen=True)
class Sealed:
    """The seal of an epoch: its members, in the order in which they are published."""

    epoch: int
    sealed_at: datetime
    sealed_by: str
    parameters: Parameters
    segments: tuple[SegmentRef, ...]

    def to_bytes(self) -> bytes:
        """As stored."""
        return _dump({**asdict(self), "sealed_at": iso(self.sealed_at)})

    @classmethod
    def from_bytes(cls, key: str, data: bytes | memoryview) -> Self:
        """Reads a seal; raises CorruptError naming `key`."""
        with _Parsing(key, data) as raw:
            return cls(
                epoch=raw["epoch"],
                sealed_at=datetime.fromisoformat(raw["sealed_at"]),
                sealed_by=raw["sealed_by"],
                parameters=Parameters(**_with_tuples(raw["parameters"])),
                segments=tuple(SegmentRef(**segment) for segment in raw["segments"]),
            )


@dataclass(frozen=True)
class TableFile:
    """One Parquet object of a table (or of the quarantine), described well enough to be audited.

    `min_timestamp` and `max_timestamp` bound the rows' `timestamp` (in the quarantine: `received_at`).
    """

    key: str
    table: str
    date: date
    rows: int
    bytes: int
    sha256: str
    min_timestamp: datetime
    max_timestamp: datetime

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {
            **asdict(self),
            "date": self.date.isoformat(),
            "min_timestamp": iso(self.min_timestamp),
            "max_timestamp": iso(self.max_timestamp),
        }

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(
            **{
                **raw,
                "date": date.fromisoformat(raw["date"]),
                "min_timestamp": datetime.fromisoformat(raw["min_timestamp"]),
                "max_timestamp": datetime.fromisoformat(raw["max_timestamp"]),
            }
        )


@dataclass(frozen=True)
class Received:
    """What one subscription delivered, and up to when the lake holds all that the server sent it."""

    received: int
    covered_until: datetime

    def plus(self, more: "Received") -> "Received":
        """Both together."""
        return Received(self.received + more.received, max(self.covered_until, more.covered_until))

    def to_json(self) -> dict[str, Any]:
        """As it stands in a manifest."""
        return {"received": self.received, "covered_until": iso(self.covered_until)}

    @classmethod
    def from_json(cls, raw: dict[str, Any]) -> Self:
        """Reads what `to_json` wrote."""
        return cls(raw["received"], datetime.fromisoformat(raw["covered_until"]))


@dataclass(frozen=True)
class TableCount:
    """What became of the rows of one table within an epoch."""

    published: int = 0
    duplicates: int = 0
    erased: int = 0

    def plus(self, more: "TableCount") -> "TableCount":
        """Both together."""
        return TableCount(
            self.published + more.published, self.duplicates + more.duplicates, self.erased + more.erased
        )


@dataclass(frozen=True)
class Manifest:
    """What an epoch published. received = published + duplicates + quarantined + erased + unreadable."""

    epoch: int
    committed_at: datetime
    received: int
    published: int
    duplicates: int
    quarantined: int
    erased: int
    subscriptions: dict[str, Received]
    tables: dict[str, TableCount]
    """By table; the quarantine counts as the table `quarantine`, its `published` rows being the quarantined."""
    files: tuple[TableFile, ...]
    reasons: dict[str, int] = field(default_factory=dict)
    """Why deliveries were quarantined."""
    retained: tuple[SegmentRef, ...] = ()
    """Copies of its deliveries, many segments to an object; kept for the journal's retention."""
    retired_through: int = 0
    """Every segment of the epochs up to this one had been deleted from the journal when this one was committed."""
    unreadable: int = 0
    """Deliveries that are lost unless their segments are restored."""
    unreadable_segments: tuple[Unreadable, ...] = ()
    blanked: int = 0
    """Published rows in which the number of somebody who is erased everywhere was blanked."""
    restored: tuple[str, ...] = ()
    """Segments of this epoch that an earlier one could not read: what counts of them is what this one says."""

    def balanced(self) -> bool:
        """Whether every received delivery is accounted for, once."""
        accounted = self.published + self.duplicates + self.quarantined + self.erased + self.unreadable
        return self.received == accounted

    def to_bytes(self) -> bytes:
        """As stored."""
        return _dump(
            {
                **asdict(self),
                "committed_at": iso(self.committed_at),
                "subscriptions": {name: each.to_json() for name, each in sorted(self.subscriptions.items())},
                "files": [file.to_json() for file in self.files],
            }
        )

    @classmethod
    def from_bytes(cls, key: str, data: bytes | memoryview) -> Self:
        """Reads a manifest; raises CorruptError naming `key`."""
        with _Parsing(key, data) as raw:
            raw.pop("format")
            return cls(
                **{
                    **raw,
                    "committed_at": datetime.fromisoformat(raw["committed_at"]),
                    "subscriptions": {
                        name: Received.from_json(each) for name, each in raw["subscriptions"].items()
                    },
                    "tables": {name: TableCount(**each) for name, each in raw["tables"].items()},
                    "files": tuple(TableFile.from_json(file) for file in raw["files"]),
                    "retained": tuple(SegmentRef(**each) for each in raw["retained"]),
                    "unreadable_segments": tuple(Unreadable(**each) for each in raw["unreadable_segments"]),
                    "restored": tuple(raw["restored"]),
                }
            )


def still_unreadable(before: Iterable[Unreadable], manifests: Iterable[Manifest]) -> tuple[Unreadable, ...]:
    """Of the segments that could not be read, those that have not been since, after more epochs."""
    found = {segment.key: segment for segment in before}
    for manifest in manifests:
        for key in manifest.restored:
            found.pop(key, None)
        found |= {segment.key: segment for segment in manifest.unreadable_segments}
    return tuple(found.values())


def merge(into: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Adds up values by name; a value has `plus`."""
    for name, value in more.items():
        into[name] = into[name].plus(value) if name in into else value


def _with_tuples(raw: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(value) if isinstance(value, list) else value for name, value in raw.items()}


def _dump(raw: dict[str, Any]) -> bytes:
    return (json.dumps({"format": FORMAT, **raw}, indent=1) + "\n").encode()


class _Parsing:
    """Turns every way in which stored JSON can be wrong into one CorruptError."""

    def __init__(self, key: str, data: bytes | memoryview) -> None:
        self.key, self.data = key, data

    def __enter__(self) -> dict[str, Any]:
        try:
            raw: dict[str, Any] = json.loads(bytes(self.data))
            version = raw["format"]
        except (ValueError, KeyError, TypeError) as error:
            raise CorruptError(f"{self.key} is not the JSON of a seal or manifest: {error}") from None
        if version != FORMAT:
            raise CorruptError(
                f"{self.key} is of lake format {version}, this version reads {FORMAT}; use a newer version"
            )
        return raw

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, ValueError | KeyError | TypeError | AttributeError):
            raise CorruptError(f"{self.key} lacks or misstates a field: {error!r}") from None
