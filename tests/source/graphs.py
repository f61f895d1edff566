"""Graphs on Beam's in-process runner, and a splittable DoFn's `process` called as a runner calls it."""

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.sdf_utils import RestrictionTrackerView, ThreadsafeRestrictionTracker
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

BATCH = PipelineOptions(["--runner=FnApiRunner"])


def at(moment):
    """The same moment as Beam has it."""
    return Timestamp.from_utc_datetime(moment)


class Stamped(beam.DoFn):
    """Element -> (its timestamp, element)."""

    def process(self, element, timestamp=beam.DoFn.TimestampParam):
        yield timestamp, element


class Keep(beam.DoFn):
    """Puts elements where the test finds them: the in-process runner's workers are threads of this process."""

    kept: list = []  # noqa: RUF012  # the one place that a pickled DoFn finds again

    def process(self, element):
        self.kept.append(element)


def elements(transform, options=BATCH):
    """What a bounded transform gives, as (timestamp, element), and the pipeline's result."""
    Keep.kept.clear()
    pipeline = beam.Pipeline(options=options)
    _ = pipeline | "Read" >> transform | beam.ParDo(Stamped()) | beam.ParDo(Keep())
    result = pipeline.run()
    result.wait_until_finish()
    return list(Keep.kept), result


def counters(result):
    """The source's metrics by name."""
    found = result.metrics().query(beam.metrics.MetricsFilter().with_namespace("wgtwo"))
    gauges = {each.key.metric.name: each.result.value for each in found["gauges"]}
    return {each.key.metric.name: each.result for each in found["counters"]} | gauges


class Call:
    """One call of a splittable DoFn's `process`, by a runner that goes on with what it deferred at the next call."""

    def __init__(self, dofn, element, provider, estimator):
        self._dofn, self._element, self._provider, self.watermark = dofn, element, provider, estimator
        self.restriction = provider.initial_restriction(element)
        self.deferred_seconds = None

    def __call__(self, split_after=None):
        """What is emitted; `split_after` so many elements the runner takes what is left, as at a checkpoint."""
        coder = self._provider.restriction_coder()
        restriction = coder.decode(coder.encode(self.restriction))
        tracker = ThreadsafeRestrictionTracker(self._provider.create_tracker(restriction))
        emitted, residual = [], None
        for element in self._dofn.process(self._element, RestrictionTrackerView(tracker), self.watermark):
            assert isinstance(element, TimestampedValue)
            emitted.append((element.timestamp, element.value))
            if len(emitted) == split_after:
                residual = tracker.try_split(0)[1]
        deferred = tracker.deferred_status()
        if deferred is not None:
            residual, waits = deferred
            self.deferred_seconds = waits.micros / 1e6 if waits else 0.0
        tracker.check_done()
        self.restriction = residual
        return emitted
