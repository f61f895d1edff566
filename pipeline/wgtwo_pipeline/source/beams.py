"""What both unbounded readers share of Beam: how long a bundle is, their watermark and what they measure."""

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import apache_beam as beam
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.metrics import Metrics
from apache_beam.metrics.metric import Lineage
from apache_beam.utils.timestamp import Timestamp

from wgtwo_pipeline.lake.store import LakeLocation, Store
from wgtwo_pipeline.source.settings import JournalSource, LakeSource

NAMESPACE: Final = "wgtwo"
"""Of all metrics of the source."""
BUNDLE_SECONDS: Final = 5.0
"""How long one call of `process` goes on while there is something to read: a checkpoint waits for its end."""

WATERMARK: Final = beam.DoFn.WatermarkEstimatorParam(ManualWatermarkEstimator.default_provider())


@dataclass(frozen=True)
class Bundle:
    """One call of `process`: since when it goes on."""

    began_at: float = field(default_factory=time.monotonic)

    @property
    def is_long(self) -> bool:
        """Whether it is time to let the runner checkpoint."""
        return self.left_seconds <= 0

    @property
    def left_seconds(self) -> float:
        """How much longer it goes on; never less than 0."""
        return max(0.0, self.began_at + BUNDLE_SECONDS - time.monotonic())


def advance(estimator: Any, to: Timestamp | None) -> None:
    """Moves the watermark on, never back; counts how far it is behind now."""
    if to is None:
        return
    now = estimator.current_watermark()
    if now is None or to > now:
        estimator.set_watermark(to)
        behind = Timestamp.from_utc_datetime(datetime.now(UTC)) - to
        Metrics.gauge(NAMESPACE, "lag_seconds").set(max(0, behind.micros // 1_000_000))


def count(name: str, number: int = 1) -> None:
    """Adds to one of the source's counters: `epochs`, `files`, `rows`, `steps`, `deliveries`, `quarantined`."""
    Metrics.counter(NAMESPACE, name).inc(number)


def report_lineage(store: Store, folder: str) -> None:
    """Tells the runner where the data come from: as Beam's own file systems name such a folder."""
    uri = store.uri(folder)
    scheme, found, rest = uri.partition("://")
    if found and scheme == "s3":
        bucket, _, path = rest.partition("/")
        Lineage.sources().add("s3", bucket, path, last_segment_sep="/")
    else:
        Lineage.sources().add("filesystem", "localhost", uri, last_segment_sep="/")


class _SourceCoder(beam.coders.Coder):
    """A source as JSON, as a runner's state holds it beside its position.

    Each kind has a coder of its own: Beam's job server for Flink (2.62) confuses the restrictions of two splittable
    DoFns in one graph whose elements have the same coder, as all have that none is registered for.
    """

    kind: type[LakeSource | JournalSource]

    def encode(self, value: LakeSource | JournalSource) -> bytes:
        """The same source always has the same bytes."""
        start = value.start.isoformat() if isinstance(value.start, datetime) else value.start
        return json.dumps({**asdict(value), "start": start}, sort_keys=True).encode()

    def decode(self, encoded: bytes) -> LakeSource | JournalSource:
        """Reads what `encode` wrote."""
        raw: dict[str, Any] = json.loads(encoded)
        for name in ("columns", "subscriptions"):
            if name in raw:
                raw[name] = tuple(raw[name])
        start = raw["start"]
        if isinstance(start, str) and start not in ("oldest", "new"):
            raw["start"] = datetime.fromisoformat(start)
        return self.kind(**{**raw, "lake": LakeLocation(**raw["lake"])})

    def is_deterministic(self) -> bool:
        """Always the same bytes."""
        return True


class LakeSourceCoder(_SourceCoder):
    """Of a table."""

    kind = LakeSource


class JournalSourceCoder(_SourceCoder):
    """Of a journal."""

    kind = JournalSource


beam.coders.registry.register_coder(LakeSource, LakeSourceCoder)
beam.coders.registry.register_coder(JournalSource, JournalSourceCoder)
