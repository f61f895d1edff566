"""Ranges for splittable DoFns whose input is one sequence: endless or not, never halved.

Both sources count along one: ingest its groups of deliveries, the reader of a lake its epochs.
"""

import struct
from typing import Final

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker

ENDLESS: Final = 2**62
"""Where a range ends that has no end."""


class RangeTracker(OffsetRestrictionTracker):
    """Counts along a range; not bounded where it is endless."""

    def is_bounded(self) -> bool:
        """Whether the range has an end."""
        return bool(self.current_restriction().stop < ENDLESS)

    def try_split(self, fraction_of_remainder: float) -> object:
        """Hands over all that is left, or nothing: what is one sequence, a runner must not halve."""
        return super().try_split(0) if fraction_of_remainder == 0 else None


class RangeCoder(beam.coders.Coder):
    """A range as two big-endian integers of 8 bytes: what a checkpoint of a runner holds of it."""

    def encode(self, value: OffsetRange) -> bytes:
        """16 bytes."""
        return struct.pack(">QQ", value.start, value.stop)

    def decode(self, encoded: bytes) -> OffsetRange:
        """Reads what `encode` wrote."""
        return OffsetRange(*struct.unpack(">QQ", encoded))

    def is_deterministic(self) -> bool:
        """Always the same bytes."""
        return True
