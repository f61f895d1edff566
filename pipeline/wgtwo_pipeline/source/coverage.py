"""Up to when a lake has everything: what a reader's watermark follows.

Not the wall clock: while ingest or publish is held up, the events of that time are still to come. Not the newest
event seen: another subscription, or another member of it, may be behind. But what ingest itself has found out and
written with each segment: nothing that the service sent to a subscription before `covered_until` is missing.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from apache_beam.utils.timestamp import Duration, Timestamp

from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.events.tables import Table
from wgtwo_pipeline.lake import history, journal
from wgtwo_pipeline.lake.manifest import Manifest
from wgtwo_pipeline.lake.store import ObjectInfo, Store

Covered = Mapping[str, datetime]
"""By subscription: nothing that the service sent it before this time is missing."""

LOOK_BACK_EPOCHS: Final = 16
"""A subscription that none of so many epochs has heard of is gone: it must not hold back the watermark for ever."""


def feeds(subscription: str, table: Table) -> bool:
    """Whether events of this table can come from the subscription."""
    return subscription.startswith("v0." if table.api == "v0" else f"{table.api}.{table.method}.")


@lru_cache(maxsize=64)
def of_epochs(store: Store, through: int) -> Covered:
    """What the last epochs up to this one say, each of the later ones more."""
    covered: Covered = {}
    first = max(1, through - LOOK_BACK_EPOCHS + 1)
    for manifest in history.manifests(store, first - 1):
        if manifest.epoch > through:
            break
        covered = latest(covered, of_manifest(manifest))
    return covered


def of_manifest(manifest: Manifest) -> Covered:
    """What one epoch says; nothing beyond its commit, for a machine's clock may have been ahead."""
    return {
        name: min(each.covered_until, manifest.committed_at) for name, each in manifest.subscriptions.items()
    }


def of_segments(store: Store, waiting: Iterable[ObjectInfo]) -> Covered:
    """What the newest segment of each subscription in the journal says, where it can be read."""
    newest: dict[str, tuple[journal.SegmentName, ObjectInfo]] = {}
    for info in waiting:
        name = journal.SegmentName.parse(info.key)
        found = newest.get(name.subscription)
        if found is None or name.created_at >= found[0].created_at:
            newest[name.subscription] = name, info
    covered = {name: _covered_until(store, info.key, info.modified) for name, (_, info) in newest.items()}
    return {name: until for name, until in covered.items() if until is not None}


@lru_cache(maxsize=256)
def _covered_until(store: Store, key: str, modified: datetime) -> datetime | None:
    for _, found in journal.read(store, [key]):
        if isinstance(found, journal.Segment):
            return min(found.covered_until, modified)
    return None


def latest(one: Covered, other: Covered) -> Covered:
    """Both together."""
    return {**one, **{name: max(until, one.get(name, until)) for name, until in other.items()}}


def watermark(covered: Iterable[datetime], allowed_lag_seconds: float) -> Timestamp | None:
    """No event before this is still to come, as far as `covered`, one of each subscription, says; None for none."""
    least = min(covered, default=None)
    return None if least is None else timestamp(least) - Duration(seconds=allowed_lag_seconds)


def refuse_other_lake(store: Store, past: history.History, passed: int) -> None:
    """Raises LakeError where a reader has passed epochs that the lake does not have: it would wait for ever."""
    if past.committed < passed:
        raise LakeError(
            f"the job has read up to epoch {passed}, but the lake {store.uri('').rstrip('/')} has only "
            f"{past.committed}: it was emptied, or is another one; start a new job, which begins at its start"
        )


def timestamp(time: datetime) -> Timestamp:
    """The same moment, to the microsecond."""
    return Timestamp.from_utc_datetime(time.astimezone(UTC))
