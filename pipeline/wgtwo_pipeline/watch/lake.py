"""Looks at the lake every few seconds, in a thread, so that no request has to."""

import logging
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from wgtwo_pipeline import logs
from wgtwo_pipeline.ask.look import Looks, Status
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.metrics.samples import Samples
from wgtwo_pipeline.watch.repeat import Repeated

_LOG = logging.getLogger(__name__)

LOOK_SECONDS: Final = 15.0
_PATIENCE: Final = 4
"""After so many looks' time without one that succeeded, what is shown is too old."""


class LakeWatch:
    """The newest look at one lake. It goes on looking until it is closed, whatever the lake says meanwhile."""

    def __init__(self, store: Store, *, erases: bool = True, every_seconds: float = LOOK_SECONDS) -> None:
        self._looks, self._every = Looks(store, erases=erases), every_seconds
        self._seen: tuple[Status, float] | None = None
        self._problem = "the lake has not been looked at yet"
        self._failures = 0
        self._looking = Repeated("lake-watch", self._look, every_seconds)

    @property
    def seen(self) -> Status | None:
        """What was last seen; None before the first look."""
        return self._seen[0] if self._seen else None

    def problems(self) -> list[str]:
        """Why what is shown is no longer what the lake holds; [] while it is."""
        seen = self.seen
        oldest = datetime.now(UTC) - timedelta(seconds=_PATIENCE * self._every)
        if seen is not None and seen.at > oldest:
            return []
        return [self._problem or f"the lake was last seen {seen.at:%H:%M:%S} UTC" if seen else self._problem]

    def is_alive(self) -> bool:
        """Whether it still looks: a look that hangs is the lake's fault, a thread that ended is ours."""
        return self._looking.is_alive()

    def close(self) -> None:
        """Takes no further look. Returns at once."""
        self._looking.close()

    def add_to(self, samples: Samples) -> None:
        """The lake's figures as they were last seen; none before the first look."""
        if self._seen is None:
            return
        seen, took_seconds = self._seen
        samples.add("lake_look_timestamp_seconds", seen.at.timestamp())
        samples.add("lake_look_seconds", took_seconds)
        _add_counts(seen, samples)
        _add_holdings(seen, samples)
        _add_waiting(seen, samples)

    def _look(self) -> None:
        began_at = time.monotonic()
        try:
            seen = self._looks.look()
        except LakeError as error:
            self._fail(str(error))
        except Exception as error:  # nothing that a look meets may end the looking
            self._fail(f"unexpected {type(error).__name__}: {error}")
        else:
            self._seen = (seen, time.monotonic() - began_at)
            if self._failures:
                _LOG.info("the lake can be looked at again, after %d failed looks", self._failures)
            self._problem, self._failures = "", 0

    def _fail(self, why: str) -> None:
        self._failures += 1
        self._problem = logs.redact(f"the lake cannot be looked at: {why}")
        if logs.is_told(self._failures):
            _LOG.warning("the lake cannot be looked at, its figures stay as they are: %s", why)


def _add_counts(seen: Status, samples: Samples) -> None:
    """What the epochs counted, which only grows: rows that were erased later are published and erased."""
    for name, received in seen.ever.subscriptions.items():
        samples.add("lake_received_deliveries_total", received.received, subscription=name)
    for table, count in seen.ever.tables.items():
        if table != "quarantine":
            samples.add("lake_published_deliveries_total", count.published, table=table)
        samples.add("lake_duplicate_deliveries_total", count.duplicates, table=table)
        erased = seen.totals.tables[table].erased
        samples.add("lake_erased_deliveries_total", erased, table=table)
    for reason, quarantined in seen.ever.reasons.items():
        samples.add("lake_quarantined_deliveries_total", quarantined, reason=reason)
    samples.add("lake_unreadable_deliveries_total", seen.ever.unreadable)


def _add_holdings(seen: Status, samples: Samples) -> None:
    holdings = {**seen.tables, **({"quarantine": seen.quarantine} if seen.quarantine.files else {})}
    for table, held in holdings.items():
        samples.add("lake_rows", held.rows, table=table)
        samples.add("lake_files", held.files, table=table)
        samples.add("lake_bytes", held.bytes, table=table)
        if held.newest_at:
            samples.add("lake_newest_event_timestamp_seconds", held.newest_at.timestamp(), table=table)
    samples.add("lake_retained_bytes", seen.retained.bytes)
    samples.add("lake_committed_epoch", seen.epochs)
    if seen.committed_at:
        samples.add("lake_committed_timestamp_seconds", seen.committed_at.timestamp())


def _add_waiting(seen: Status, samples: Samples) -> None:
    samples.add("lake_journal_deliveries", seen.journal.deliveries)
    samples.add("lake_journal_segments", seen.journal.segments)
    samples.add("lake_journal_bytes", seen.journal.bytes)
    if seen.journal.oldest_at:
        samples.add("lake_journal_oldest_timestamp_seconds", seen.journal.oldest_at.timestamp())
    for name, until in seen.covered.items():
        samples.add("lake_covered_until_timestamp_seconds", until.timestamp(), subscription=name)
    samples.add("lake_gaps_total", len(seen.gaps))
    samples.add("lake_gap_seconds_total", sum((gap.end - gap.start).total_seconds() for gap in seen.gaps))
    erased = seen.erased
    samples.add("lake_erasures_waiting", erased.revocations, kind="revocation")
    samples.add("lake_erasures_waiting", int(erased.requested_at is not None), kind="request")
    samples.add("lake_erasures_waiting", len(erased.tenants), kind="tenant")
    if erased.requested_at:
        samples.add("lake_erasure_oldest_timestamp_seconds", erased.requested_at.timestamp())
