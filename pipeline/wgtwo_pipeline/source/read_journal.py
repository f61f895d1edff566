"""A transform that reads the journal of a lake: deliveries as they are received, at least once, none missing."""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import apache_beam as beam
from apache_beam.io.iobase import RestrictionProgress, RestrictionTracker
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration

from wgtwo_pipeline.lake import journal, lake_format
from wgtwo_pipeline.lake.open import open_store, open_to_write
from wgtwo_pipeline.source import coverage, settings
from wgtwo_pipeline.source.beams import WATERMARK, Bundle, advance, count, report_lineage
from wgtwo_pipeline.source.deliveries import WgtwoDelivery, timestamped
from wgtwo_pipeline.source.settings import ALLOWED_LAG_SECONDS, JournalSource, JournalStart
from wgtwo_pipeline.source.tail import Position, Round, begin


@dataclass(frozen=True)
class Tail:
    """What is to be read: all behind a position; nothing more where it has ended, its rest being another one's."""

    behind: Position
    has_ended: bool = False


class TailCoder(beam.coders.Coder):
    """A tail as JSON: `{"epoch": 12, "writers": {"a1b2c3d4": 56}}`. What a checkpoint of a runner holds of it."""

    def encode(self, value: Tail) -> bytes:
        """The same tail always has the same bytes."""
        raw: dict[str, Any] = {
            "epoch": value.behind.epoch,
            "writers": dict(sorted(value.behind.writers.items())),
        }
        return json.dumps(raw | ({"has_ended": True} if value.has_ended else {})).encode()

    def decode(self, encoded: bytes) -> Tail:
        """Reads what `encode` wrote."""
        raw = json.loads(encoded)
        return Tail(Position(raw["epoch"], raw["writers"]), raw.get("has_ended", False))

    def is_deterministic(self) -> bool:
        """Always the same bytes."""
        return True


class TailTracker(RestrictionTracker):
    """Claims positions; gives away all that is behind the last one, or nothing."""

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._claimed = tail.behind

    def current_restriction(self) -> Tail:
        """What is being read."""
        return self._tail

    def try_claim(self, position: Position) -> bool:
        """Whether what lies before this position, and behind the last one, is this one's to emit."""
        if self._tail.has_ended:
            return False
        self._claimed = position
        return True

    def try_split(self, fraction_of_remainder: float) -> tuple[Tail, Tail] | None:
        """Hands over all that is left, or nothing: the journal is one sequence."""
        if fraction_of_remainder != 0 or self._tail.has_ended:
            return None
        self._tail = Tail(self._tail.behind, has_ended=True)
        return self._tail, Tail(self._claimed)

    def check_done(self) -> bool:
        """Raises ValueError unless what is left belongs to another one: the journal has no end."""
        if not self._tail.has_ended:
            raise ValueError("the journal has no end, and what is left of it was not handed over")
        return True

    def current_progress(self) -> RestrictionProgress:
        """Unknown: nothing of what is left.

        As a fraction: Beam puts the bytes of the output, NaN before it has seen any, in the place of work completed,
        and a worker of Prism fails when it divides by them.
        """
        return RestrictionProgress(fraction=0.0)

    def is_bounded(self) -> bool:
        """Only what has ended is."""
        return self._tail.has_ended


class Tails(RestrictionProvider):
    """The journal of one source, from where it begins."""

    def restriction_coder(self) -> TailCoder:
        """Explicit: pickle would tie a checkpoint to one version of Beam."""
        return TailCoder()

    def initial_restriction(self, element: JournalSource) -> Tail:
        """Looks into the lake where the source begins. Raises LakeError naming the fix."""
        if element.creates:
            return Tail(begin(open_to_write(element.lake), element.start))
        store = open_store(element.lake)
        store.check(writes=False)
        lake_format.check(store)
        return Tail(begin(store, element.start))

    def create_tracker(self, restriction: Tail) -> TailTracker:
        """One that gives away all or nothing."""
        return TailTracker(restriction)

    def restriction_size(self, element: JournalSource, restriction: Tail) -> int:
        """A constant: how much waits only the lake knows, which this is asked too often for."""
        return 1

    def truncate(self, element: JournalSource, restriction: Tail) -> None:
        """On drain: stop; what is not read yet stays in the lake."""
        return


class Follow(beam.DoFn):
    """JournalSource -> its deliveries, segment by segment, each at its event's own time.

    A segment, or an epoch's share, is claimed before its deliveries are emitted; the watermark moves when all that
    was there at one look is out.
    """

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]  # Beam's names are Any
    def process(
        self,
        source: JournalSource,
        tracker: Any = beam.DoFn.RestrictionParam(Tails()),  # noqa: B008  # Beam's way to ask for it
        watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue]:
        """Follows for `BUNDLE_SECONDS` while there is something new, and leaves the rest to a later call."""
        store, position, bundle = open_store(source.lake), tracker.current_restriction().behind, Bundle()
        report_lineage(store, journal.ROOT)
        while True:
            look, found = Round(store, position), False
            for step in look.steps():
                if not tracker.try_claim(step.position):
                    return
                position, found = step.position, True
                count("steps")
                for come_from, deliveries in step.deliveries:
                    if source.wants(come_from.subscription):
                        count("deliveries", len(deliveries))
                        yield from timestamped(come_from, deliveries, source.since)
                if bundle.is_long:
                    tracker.defer_remainder()
                    return
            advance(watermark, coverage.watermark(_covered(source, look.covered), source.allowed_lag_seconds))
            if not found or bundle.is_long:
                tracker.defer_remainder(Duration(seconds=0 if found else source.poll_seconds))
                return
            time.sleep(min(source.poll_seconds, bundle.left_seconds))


def _covered(source: JournalSource, covered: coverage.Covered) -> list[datetime]:
    """Of each of its subscriptions; of none while one that is named has not been heard of."""
    if not set(source.subscriptions) <= covered.keys():
        return []
    return [until for name, until in covered.items() if source.wants(name)]


class ReadFromWgtwoJournal(beam.PTransform):
    """Reads what ingest journals, a moment after it was received, as `WgtwoDelivery`: raw bytes of every type.

    At least once, and nothing missing: redeliveries of the service are in the journal, and a segment may be read
    again after a failure. In no order. It makes no difference whether an epoch has published a segment meanwhile, as
    long as the copies of the journal are there (`--journal-retention`): a reader that was away for longer fails with
    a sentence, it skips nothing. What was erased is not emitted.

    `lake`: a folder that all workers share, or `s3://bucket/prefix`; `s3_endpoint` names a server that is compatible
    with S3, `s3_region` overrides boto3's choice. Credentials are found by each worker through boto3's usual chain.
    `start`: "oldest" (default) everything of which there are still copies; "new" what is journaled from now on; a
    datetime (with a time zone) what was received at or after it. It counts only where the runner holds no position:
    an epoch, and a counter for each process that ingests.
    `poll_interval`: seconds between looks at the journal. `allowed_lag`: seconds that the watermark stays behind what
    the journal is known to have; twice the ack timeout by default.

    Timestamps are the events' own, to the microsecond; of what doesn't say one, when it was received. The watermark
    is the least `covered_until` of all subscriptions of the lake, minus `allowed_lag`; heartbeats move it, too.

    Raises ConfigurationError for what cannot work; its workers raise LakeError.
    """

    def __init__(
        self,
        lake: str | os.PathLike[str],
        *,
        start: JournalStart | str = "oldest",
        poll_interval: float = 1.0,
        allowed_lag: float = ALLOWED_LAG_SECONDS,
        s3_endpoint: str | None = None,
        s3_region: str | None = None,
    ) -> None:
        super().__init__()
        start = settings.start(start, epochs=False)
        self.source = JournalSource(
            lake=settings.lake(lake, s3_endpoint, s3_region),
            start=start,
            poll_seconds=settings.seconds("poll_interval", poll_interval, positive=True),
            allowed_lag_seconds=settings.seconds("allowed_lag", allowed_lag, positive=False),
        )

    def expand(self, root: Any) -> Any:
        """Of a pipeline."""
        return follow(root, self.source)

    def display_data(self) -> dict[str, Any]:
        """What a runner shows of it."""
        return {
            "lake": self.source.lake.url,
            "start": str(self.source.start),
            "poll_interval": self.source.poll_seconds,
            "allowed_lag": self.source.allowed_lag_seconds,
        }


def follow(root: Any, source: JournalSource) -> Any:
    """The deliveries of a journal."""
    return (
        root
        | "Source" >> beam.Create([source], reshuffle=False)
        | "Follow" >> beam.ParDo(Follow()).with_output_types(WgtwoDelivery)
    )
