"""What the transforms were asked for, checked once, before a graph is made of it. Frozen, picklable, no secret."""

import contextlib
import difflib
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal, overload

from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.events.tables import Table, catalog, current_descriptors
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

LakeStart = Literal["oldest", "new"] | datetime | int
"""Where a reader of tables begins if the runner holds no position for it."""
JournalStart = Literal["oldest", "new"] | datetime
"""Where a reader of the journal begins if the runner holds no position for it."""

ALLOWED_LAG_SECONDS: Final = 60.0
"""Twice the ack timeout that the service recommends: so long an event may be under way to another member."""


@dataclass(frozen=True)
class LakeSource:
    """A table to read, from where on and how."""

    lake: LakeLocation
    table: str
    columns: tuple[str, ...]
    """As they are asked for, in this order."""
    start: LakeStart
    stop_epoch: int | None
    """The last epoch to read; None for no end."""
    poll_seconds: float
    allowed_lag_seconds: float

    @property
    def since(self) -> datetime | None:
        """Rows of events before this are left out."""
        return self.start if isinstance(self.start, datetime) else None


@dataclass(frozen=True)
class JournalSource:
    """A journal to read, from where on and how."""

    lake: LakeLocation
    start: JournalStart
    poll_seconds: float
    allowed_lag_seconds: float
    subscriptions: tuple[str, ...] = ()
    """Whose deliveries; everybody's if empty."""
    creates: bool = False
    """Whether the lake may be new: what fills it is in the same graph."""

    def wants(self, subscription: str) -> bool:
        """Whether it reads what this subscription received."""
        return not self.subscriptions or subscription in self.subscriptions

    @property
    def since(self) -> datetime | None:
        """Deliveries that were received before this are left out."""
        return self.start if isinstance(self.start, datetime) else None


def lake(url: str | os.PathLike[str], endpoint: str | None, region: str | None) -> LakeLocation:
    """Where the lake is, a folder by its absolute path: a worker's working folder is another one."""
    if not isinstance(url, str | os.PathLike):
        raise ConfigurationError(f"lake is {url!r}: name a folder or s3://bucket/prefix")
    text = os.fspath(url)
    if (endpoint or region) and not text.lower().startswith("s3://"):
        raise ConfigurationError("s3_endpoint and s3_region work only with lake='s3://bucket/prefix'")
    try:
        return open_store(LakeLocation(text, endpoint, region)).location
    except ConfigurationError as error:
        raise ConfigurationError(as_arguments(str(error))) from None


def as_arguments(text: str) -> str:
    """A sentence about options of the command line, about the arguments of the same names."""
    words = (
        word.removeprefix("--").replace("-", "_") if word.startswith("--") else word
        for word in text.split(" ")
    )
    return " ".join(words)


def table(name: str) -> Table:
    """The table of this name."""
    known = catalog(current_descriptors())
    if name in known:
        return known[name]
    raise ConfigurationError(
        f"table {name!r} is none of the lake's{_meant(name, known)} (tables: {', '.join(known)})"
    )


def _meant(name: object, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(str(name), known, 1)
    return f": did you mean {near[0]!r}?" if near else ""


def columns(of: Table, names: Sequence[str] | None) -> tuple[str, ...]:
    """The columns that were asked for; all of them if None."""
    if names is None:
        return tuple(of.schema.names)
    if isinstance(names, str):
        raise ConfigurationError(f"columns is the text {names!r}: give a list, such as [{names!r}]")
    if not names:
        raise ConfigurationError("columns is empty: name some, or leave it out for all")
    unknown = next((name for name in names if name not in of.schema.names), None)
    if unknown is not None:
        raise ConfigurationError(
            f"columns {unknown!r} is no column of {of.name}{_meant(unknown, of.schema.names)} "
            f"(columns: {', '.join(of.schema.names)})"
        )
    return tuple(dict.fromkeys(names))


@overload
def start(value: object, *, epochs: Literal[True]) -> LakeStart: ...


@overload
def start(value: object, *, epochs: Literal[False], name: str = "start") -> JournalStart: ...


def start(value: object, *, epochs: bool, name: str = "start") -> LakeStart:
    """Where to begin; a time may be a text (`2026-11-23T09:30:00Z`), as a file has it.

    `epochs` says whether the number of one is a place. Raises ConfigurationError for what is none.
    """
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            value = datetime.fromisoformat(value)
    forms = "'oldest', 'new', a datetime" + (" or the number of an epoch" if epochs else "")
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise ConfigurationError(f"{name} {value} has no time zone: write datetime(…, tzinfo=UTC)")
    elif isinstance(value, int) and not isinstance(value, bool) and epochs:
        if value < 1:
            raise ConfigurationError(f"{name} {value} is no epoch: the first is 1")
    elif value not in ("oldest", "new"):
        raise ConfigurationError(f"{name} {value!r} is no place to begin: give {forms}")
    return value


def stop_epoch(value: int | None, begins: object) -> None:
    """Refuses an end that is no epoch, or before the start."""
    if value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"stop_epoch {value!r} is no epoch: the first is 1")
    if isinstance(begins, int) and begins > value:
        raise ConfigurationError(
            f"stop_epoch {value} is before start {begins}: it is the last epoch that is read"
        )


def seconds(name: str, value: float, *, positive: bool) -> float:
    """The value of an argument in seconds."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    if not is_number or value < 0 or (positive and value == 0):
        raise ConfigurationError(
            f"{name} {value!r} is no time in seconds: give {'more than 0' if positive else '0 or more'}"
        )
    return float(value)
