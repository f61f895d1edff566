"""The epochs of a lake as a splittable DoFn: its position is the next epoch, one integer.

Nothing else is in the runner's state: whatever the runner has lost or done twice, it reads the same files again.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.transforms.core import RestrictionProvider
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Duration

from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.events.tables import catalog, current_descriptors
from wgtwo_pipeline.lake import history, journal, lake_format
from wgtwo_pipeline.lake.layout import FilePath, folder
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.ranges import ENDLESS, RangeCoder, RangeTracker
from wgtwo_pipeline.source import coverage
from wgtwo_pipeline.source.beams import WATERMARK, Bundle, advance, count, report_lineage
from wgtwo_pipeline.source.settings import LakeSource


class Epochs(RestrictionProvider):
    """The epochs of one source that are still to be read."""

    def restriction_coder(self) -> RangeCoder:
        """Explicit: pickle would tie a checkpoint to one version of Beam."""
        return RangeCoder()

    def initial_restriction(self, element: LakeSource) -> OffsetRange:
        """Looks into the lake where the source begins. Raises LakeError naming the fix."""
        store = open_store(element.lake)
        store.check(writes=False)
        lake_format.check(store)
        stop = ENDLESS if element.stop_epoch is None else _end(store, element.stop_epoch)
        return OffsetRange(min(first_epoch(store, element), stop), stop)

    def create_tracker(self, restriction: OffsetRange) -> RangeTracker:
        """One that gives away all or nothing."""
        return RangeTracker(restriction)

    def restriction_size(self, element: LakeSource, restriction: OffsetRange) -> int:
        """A constant: how many epochs are left only the lake knows, which this is asked too often for."""
        return 1

    def truncate(self, element: LakeSource, restriction: OffsetRange) -> None:
        """On drain: stop; what is not read yet stays in the lake."""
        return


def first_epoch(store: Store, source: LakeSource) -> int:
    """Where a reader begins: the first epoch, the next one, or the first that has rows of a time or later."""
    if isinstance(source.start, int):
        return source.start
    if source.start == "oldest":
        return 1
    past = history.load(store)
    if isinstance(source.start, datetime):
        return min(_epochs_since(store, past, source.table, source.start), default=past.committed + 1)
    return past.committed + 1


def _end(store: Store, last: int) -> int:
    if not history.is_committed(store, last):
        raise LakeError(
            f"stop_epoch {last} is not committed in the lake {store.uri('').rstrip('/')}, its newest epoch is "
            f"{history.load(store).committed}: publish first, or stop earlier"
        )
    return last + 1


def _epochs_since(store: Store, past: history.History, table: str, since: datetime) -> Iterator[int]:
    recent = (file for manifest in past.manifests for file in manifest.files)
    for file in (*past.base.files(store), *recent):
        path = FilePath.parse(file.key)
        if file.table == table and file.max_timestamp >= since and path is not None:
            yield path.epoch


class _Files(beam.DoFn):
    """LakeSource -> its TableFiles, epoch by epoch, each at the time of its oldest row.

    An epoch is claimed before its files are emitted, and the watermark passes only after that: it is held by a file
    until the file's rows are out.
    """

    def read(self, source: LakeSource, tracker: Any, watermark: Any) -> Iterator[TimestampedValue]:
        """Emits what there is, for `BUNDLE_SECONDS` at most, and leaves the rest to a later call."""
        store, restriction, bundle = open_store(source.lake), tracker.current_restriction(), Bundle()
        table = catalog(current_descriptors())[source.table]
        report_lineage(store, folder(source.table))

        def move(covered: coverage.Covered) -> None:
            feeding = (until for name, until in covered.items() if coverage.feeds(name, table))
            advance(watermark, coverage.watermark(feeding, source.allowed_lag_seconds))

        epoch = restriction.start
        covered = coverage.of_epochs(store, epoch - 1)
        for manifest in history.manifests(store, epoch - 1):
            if not tracker.try_claim(manifest.epoch):
                return
            count("epochs")
            for file in manifest.files:
                if file.table == source.table and (
                    source.since is None or file.max_timestamp >= source.since
                ):
                    count("files")
                    yield TimestampedValue(file, coverage.timestamp(file.min_timestamp))
            covered = coverage.latest(covered, coverage.of_manifest(manifest))
            move(covered)
            epoch = manifest.epoch + 1
            if restriction.stop == ENDLESS and bundle.is_long:
                tracker.defer_remainder()
                return
        if restriction.stop != ENDLESS:
            return
        move(coverage.latest(covered, _nothing_but_heartbeats(store, epoch)))
        tracker.defer_remainder(Duration(seconds=source.poll_seconds))


def _nothing_but_heartbeats(store: Store, epoch: int) -> coverage.Covered:
    """What heartbeats say of a lake whose next epoch is not committed; nothing where an event waits for it."""
    past = history.before(store, epoch)
    if past is None:
        return {}
    coverage.refuse_other_lake(store, past, epoch - 1)
    waiting = list(history.backlog(store, past))
    if any(journal.SegmentName.parse(info.key).rows for info in waiting):
        return {}
    # After the journal: what an epoch has taken from it meanwhile is not what was listed.
    return {} if history.is_committed(store, epoch) else coverage.of_segments(store, waiting)


class EndlessFiles(_Files):
    """A source without an end: polls."""

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]  # Beam's names are Any
    def process(
        self,
        source: LakeSource,
        tracker: Any = beam.DoFn.RestrictionParam(Epochs()),  # noqa: B008  # Beam's way to ask for it
        watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue]:
        """See `_Files`."""
        yield from self.read(source, tracker, watermark)


class BoundedFiles(_Files):
    """A source up to one epoch, which must be committed. Raises LakeError where it is not."""

    def process(
        self,
        source: LakeSource,
        tracker: Any = beam.DoFn.RestrictionParam(Epochs()),  # noqa: B008  # Beam's way to ask for it
        watermark: Any = WATERMARK,
    ) -> Iterator[TimestampedValue]:
        """See `_Files`."""
        yield from self.read(source, tracker, watermark)
