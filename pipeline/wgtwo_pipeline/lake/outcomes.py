"""What the workers of an epoch did, each with its part, and the manifest that it adds up to."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from wgtwo_pipeline.lake.manifest import (
    Manifest,
    Received,
    SegmentRef,
    TableCount,
    TableFile,
    Unreadable,
    merge,
)


@dataclass(frozen=True)
class Outcome:
    """What one worker did with a part of an epoch; the outcomes of all parts add up to the manifest."""

    received: int = 0
    subscriptions: dict[str, Received] = field(default_factory=dict)
    tables: dict[str, TableCount] = field(default_factory=dict)
    files: tuple[TableFile, ...] = ()
    reasons: dict[str, int] = field(default_factory=dict)
    retained: tuple[SegmentRef, ...] = ()
    unreadable: tuple[Unreadable, ...] = ()
    blanked: int = 0


def combine(
    epoch: int,
    committed_at: datetime,
    retired_through: int,
    outcomes: Iterable[Outcome],
    restored: Iterable[str] = (),
) -> Manifest:
    """The manifest that the outcomes of all parts of an epoch add up to, in whatever order they come."""
    received = 0
    subscriptions: dict[str, Received] = {}
    tables: dict[str, TableCount] = {}
    files: list[TableFile] = []
    retained: list[SegmentRef] = []
    unreadable: list[Unreadable] = []
    reasons: Counter[str] = Counter()
    blanked = 0
    for outcome in outcomes:
        received += outcome.received
        blanked += outcome.blanked
        reasons.update(outcome.reasons)
        files.extend(outcome.files)
        retained.extend(outcome.retained)
        unreadable.extend(outcome.unreadable)
        merge(subscriptions, outcome.subscriptions)
        merge(tables, outcome.tables)
    quarantine = tables.get("quarantine", TableCount())
    return Manifest(
        epoch=epoch,
        committed_at=committed_at,
        received=received,
        published=sum(count.published for count in tables.values()) - quarantine.published,
        duplicates=sum(count.duplicates for count in tables.values()),
        quarantined=quarantine.published,
        erased=sum(count.erased for count in tables.values()),
        subscriptions=subscriptions,
        tables=dict(sorted(tables.items())),
        files=tuple(sorted(files, key=lambda file: file.key)),
        reasons=dict(sorted(reasons.items())),
        retained=tuple(sorted(retained, key=lambda segment: segment.key)),
        retired_through=retired_through,
        unreadable=sum(segment.rows for segment in unreadable),
        unreadable_segments=tuple(sorted(unreadable, key=lambda segment: segment.key)),
        blanked=blanked,
        restored=tuple(sorted(restored)),
    )
