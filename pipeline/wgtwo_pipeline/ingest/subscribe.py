"""The unbounded source: a splittable DoFn that takes deliveries from a member's stream.

There is no position to resume from: the server knows what is unacked and sends it again. So the restriction
only counts groups, and losing it loses nothing.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.metrics import Metrics
from apache_beam.transforms.core import RestrictionProvider

from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.ingest.worker import worker
from wgtwo_pipeline.ranges import ENDLESS, RangeCoder, RangeTracker
from wgtwo_pipeline.service.transport import Received

BUNDLE_SECONDS: Final = 5.0
"""How long one call of `process` goes on: a checkpoint waits for its end, and the next begins a while later."""
POLL_SECONDS: Final = 0.5
"""How often a quiet stream looks whether it is time to stop."""


@dataclass(frozen=True)
class Group:
    """Deliveries that are journaled and acked together; none of them is a heartbeat."""

    member: Member
    number: int
    received: list[Received]


class Groups(RestrictionProvider):
    """The groups of one member, from now on."""

    def restriction_coder(self) -> RangeCoder:
        """Explicit: pickle would tie a checkpoint to one version of Beam."""
        return RangeCoder()

    def initial_restriction(self, element: Member) -> OffsetRange:
        """All groups there will ever be."""
        return OffsetRange(0, ENDLESS)

    def create_tracker(self, restriction: OffsetRange) -> RangeTracker:
        """A tracker that is not bounded."""
        return RangeTracker(restriction)

    def restriction_size(self, element: Member, restriction: OffsetRange) -> int:
        """A constant: a stream says nothing of how much is left."""
        return 1

    def truncate(self, element: Member, restriction: OffsetRange) -> None:
        """On drain: stop; what is unacked stays with the server."""
        return


class Subscribe(beam.DoFn):
    """Member -> Group. At least once: a group that is not journaled and acked downstream comes again.

    Groups flow on while `process` runs, fused with what follows. It ends by deferring itself; asked to stop, it
    ends the stream, passes on what had already come, and is done.
    """

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings

    @beam.DoFn.unbounded_per_element()  # type: ignore[untyped-decorator]  # Beam's names are Any
    def process(
        self,
        member: Member,
        tracker: RangeTracker = beam.DoFn.RestrictionParam(Groups()),  # noqa: B008  # Beam's way to ask for it
    ) -> Iterator[Group]:
        """Takes groups for `BUNDLE_SECONDS`."""
        process = worker()
        session = process.session(self._settings, member)
        until = time.monotonic() + BUNDLE_SECONDS
        position = tracker.current_restriction().start
        # Claim first: what is taken from the buffer after a failed claim would be dropped.
        while tracker.try_claim(position):
            if process.stopping.is_set():
                while received := session.drain():
                    yield self._group(member, received)
                tracker.try_claim(ENDLESS - 1)  # done: nothing is left
                return
            received = session.receive(POLL_SECONDS)
            if received:
                yield self._group(member, received)
            elif session.heartbeat_due:
                session.journal([])
            position += 1
            if time.monotonic() > until:
                tracker.defer_remainder()
                return

    def _group(self, member: Member, received: list[Received]) -> Group:
        number = worker().counters.took(len(received), received[0].received_at_us)
        return Group(member, number, received)


class Journal(beam.DoFn):
    """Group -> the same group, once it is durable."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings

    def process(self, group: Group) -> Iterator[Group]:
        """Blocks until the lake has it."""
        worker().session(self._settings, group.member).journal(group.received)
        yield group


class Ack(beam.DoFn):
    """Group -> nothing. Comes last: everything that reaches it is durable."""

    def __init__(self, settings: IngestSettings) -> None:
        self._settings = settings

    def process(self, group: Group) -> None:
        """Hands the acks over and returns; they are sent in the background."""
        worker().session(self._settings, group.member).ack(group.number, group.received)

    def finish_bundle(self) -> None:
        """Passes on to the runner's metrics what the process has counted since a bundle last ended."""
        for name, count in worker().counters.news().items():
            Metrics.counter("ingest", name).inc(count)
