"""Where a subscription has got to, read from the lake: where to start again, and what was missed.

A start position only counts where the server holds none, so asking for an overlap costs redeliveries
at most; publish drops those.
"""

import contextlib
import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from wgtwo_pipeline.errors import AlreadyExistsError, CorruptError
from wgtwo_pipeline.lake import history, journal
from wgtwo_pipeline.lake.manifest import iso
from wgtwo_pipeline.lake.store import Store

_LOG = logging.getLogger(__name__)

GAPS = "gaps/"


@dataclass(frozen=True)
class Gap:
    """Events from between these times may be lost: they were older than the service's history when asked for."""

    subscription: str
    start: datetime
    end: datetime

    def __str__(self) -> str:
        return (
            f"GAP         events of {self.subscription} from {iso(self.start)} to {iso(self.end)} may be lost: "
            "the service no longer had them"
        )

    @property
    def key(self) -> str:
        """Where its record is: the same gap is recorded once, and again if it has grown."""
        start, end = (f"{time.astimezone(UTC):%Y%m%dT%H%M%S.%fZ}" for time in (self.start, self.end))
        return f"{GAPS}{self.subscription}/{start}-{end}.json"


def covered_until(store: Store, subscription: str) -> datetime | None:
    """Up to when everything the server sent to this subscription is in the lake; None if nothing ever was.

    Never beyond now: what a machine whose clock was ahead has written proves nothing of the time since. Reads the
    names in the journal, one segment and the newest manifests. Raises LakeError.
    """
    now = datetime.now(UTC)
    found = _newest_in_journal(store, subscription, now)
    # After the journal: what was published and deleted from it meanwhile is in the manifests now.
    past = history.load(store).subscriptions.get(subscription)
    published = past.covered_until if past else None
    if published and published > now:
        published = None if found else now
    return max((time for time in (found, published) if time), default=None)


def _newest_in_journal(store: Store, subscription: str, now: datetime) -> datetime | None:
    """By the newest segment that can be read; one that cannot must not keep a subscription from starting.

    Of one that speaks of the future, the store's own clock says when it came, if that was not ahead as well.
    """
    segments = list(journal.segments(store, subscription))
    for info in reversed(segments):
        for _, found in journal.read(store, [info.key]):
            if isinstance(found, journal.Segment):
                covered = (
                    min(found.covered_until, info.modified)
                    if found.covered_until > now
                    else found.covered_until
                )
                if covered <= now:
                    return covered
    return None


def record_missed(store: Store, subscription: str, start: datetime, end: datetime) -> None:
    """Records a gap if `start` is before `end`: what the service had dropped when it was asked again.

    Idempotent. Raises LakeError.
    """
    if start >= end:
        return
    gap = Gap(subscription, start, end)
    _LOG.error(
        "GAP: events of %s from %s to %s may be lost: the service keeps them for a limited time only. "
        "`status` and `audit` show the gap from now on",
        *(subscription, iso(start), iso(end)),
    )
    record = {"subscription": subscription, "from": iso(start), "to": iso(end)}
    with contextlib.suppress(AlreadyExistsError):
        store.create(gap.key, (json.dumps(record, indent=1) + "\n").encode())


def gaps(store: Store, known: Mapping[str, Gap] | None = None) -> Iterator[Gap]:
    """Every recorded gap, by subscription and time; those `known` by their key are not read. Raises CorruptError."""
    there = [info.key for info in store.list(GAPS)]
    keys = [key for key in there if key not in (known or {})]
    read = dict(zip(keys, store.read_many(keys), strict=True))
    for key in there:
        if known and key in known:
            yield known[key]
            continue
        data = read[key]
        try:
            raw = json.loads(bytes(data))
            start, end = datetime.fromisoformat(raw["from"]), datetime.fromisoformat(raw["to"])
            yield Gap(raw["subscription"], start, end)
        except (ValueError, KeyError, TypeError):
            raise CorruptError(f"{key} is not the record of a gap; restore it from a copy") from None
