"""Values of metrics at one moment, and how Prometheus reads them."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder

from wgtwo_pipeline.metrics.table import BY_NAME, METRICS


@dataclass(frozen=True)
class Buckets:
    """What a histogram has seen: how many in each bucket, the last without an upper bound, and their sum."""

    counts: Sequence[int]
    sum: float


Value = float | Buckets


@dataclass(eq=False)
class Samples:
    """Values by metric and labels. What the table does not have cannot be added."""

    _values: dict[str, dict[tuple[str, ...], Value]] = field(default_factory=dict)

    def add(self, name: str, value: Value, **labels: str) -> None:
        """A value of the metric `name`; adds up where there is one with these labels. KeyError for unknown names."""
        metric = BY_NAME[name]
        if set(labels) != set(metric.labels):
            raise KeyError(f"{name} has the labels {metric.labels}, not {tuple(labels)}")
        values = self._values.setdefault(name, {})
        key = tuple(labels[label] for label in metric.labels)
        values[key] = _plus(values.get(key), value)

    def get(self, name: str, **labels: str) -> Value | None:
        """The value, if there is one."""
        return self._values.get(name, {}).get(tuple(labels[label] for label in BY_NAME[name].labels))

    def all(self) -> Iterator[tuple[str, Mapping[str, str], Value]]:
        """Every value with its metric's name and its labels, in the order of the table."""
        for metric in METRICS:
            for key, value in self._values.get(metric.name, {}).items():
                yield metric.name, dict(zip(metric.labels, key, strict=True)), value

    def collect(self) -> Iterator[Metric]:
        """As a collector of prometheus-client."""
        for metric in METRICS:
            values = self._values.get(metric.name)
            if values is None:
                continue
            if metric.kind == "histogram":
                histogram = HistogramMetricFamily(metric.full_name, metric.help, labels=metric.labels)
                for key, value in values.items():
                    assert isinstance(value, Buckets)
                    histogram.add_metric(key, list(_cumulated(metric.bounds, value.counts)), value.sum)
                yield histogram
                continue
            kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
            family = kind(metric.full_name, metric.help, labels=metric.labels)
            for key, value in values.items():
                assert not isinstance(value, Buckets)
                family.add_metric(key, value)
            yield family


def build_info(samples: Samples) -> None:
    """Adds which version this is."""
    try:
        found = version("wgtwo-pipeline")
    except PackageNotFoundError:  # run from a source tree
        found = "unknown"
    samples.add("build_info", 1, version=found)


def written(samples: Samples, accept: str = "") -> tuple[bytes, str]:
    """The samples as text, and its content type: OpenMetrics where `accept` asks for that."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(samples)
    encode, content_type = choose_encoder(accept)
    return encode(registry), content_type


def _cumulated(bounds: Iterable[float], counts: Iterable[int]) -> Iterator[tuple[str, float]]:
    total = 0
    for bound, count in zip((*map(str, bounds), "+Inf"), counts, strict=True):
        total += count
        yield bound, float(total)


def _plus(known: Value | None, more: Value) -> Value:
    if known is None:
        return more
    if isinstance(known, Buckets) and isinstance(more, Buckets):
        return Buckets(
            [one + other for one, other in zip(known.counts, more.counts, strict=True)], known.sum + more.sum
        )
    assert not isinstance(known, Buckets)
    assert not isinstance(more, Buckets)
    return known + more
