"""An endless source of the shape that ingest has: it works inside `process()` and then defers what remains."""

# mypy: disable-error-code="no-untyped-call, untyped-decorator, misc"
from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import Any

import apache_beam as beam
from apache_beam.io.restriction_trackers import OffsetRange, OffsetRestrictionTracker
from apache_beam.io.watermark_estimators import WalltimeWatermarkEstimator
from apache_beam.transforms.core import RestrictionProvider

WATERMARK = beam.DoFn.WatermarkEstimatorParam(WalltimeWatermarkEstimator.default_provider())


class _From0(RestrictionProvider):
    def create_tracker(self, restriction: OffsetRange) -> OffsetRestrictionTracker:
        return OffsetRestrictionTracker(restriction)

    def initial_restriction(self, element: bytes) -> OffsetRange:
        return OffsetRange(0, sys.maxsize)

    def restriction_size(self, element: bytes, restriction: OffsetRange) -> int:
        return 1


class Endless(beam.DoFn):
    """Yields 0, 1, 2, … one each 50 ms, in bundles of a second."""

    @beam.DoFn.unbounded_per_element()
    def process(
        self,
        element: bytes,
        tracker: Any = beam.DoFn.RestrictionParam(_From0()),  # noqa: B008 - Beam's way
        watermark: Any = WATERMARK,
    ) -> Iterator[int]:
        number = tracker.current_restriction().start
        end = time.monotonic() + 1
        while time.monotonic() < end:
            if not tracker.try_claim(number):
                return
            yield number
            number += 1
            time.sleep(0.05)
        tracker.defer_remainder()
