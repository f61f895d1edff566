"""How the turns of a job ended, as the facts and figures that `metrics/table.py` has of it."""

import contextlib
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from wgtwo_pipeline.metrics import textfile
from wgtwo_pipeline.metrics.samples import Samples
from wgtwo_pipeline.metrics.table import of_children


@dataclass(frozen=True)
class _Job:
    """Which fact counts its outcomes, and what a good one is called."""

    fact: str
    good: str


_JOBS: Final[Mapping[str, _Job]] = {
    "publish": _Job("epochs", "committed"),
    "erase": _Job("erasures", "finished"),
    "register": _Job("registrations", "done"),
}


class Outcomes:
    """Counts what one process does of `publish`, `erase` or `register`."""

    def __init__(self, job: str) -> None:
        self._name, self._job = job, _JOBS[job]
        self._counts = {self._job.good: 0, "failed": 0}
        self._seconds: float | None = None
        self._success: float | None = None
        self._began_at = time.monotonic()

    def begins(self) -> None:
        """A piece of work begins now."""
        self._began_at = time.monotonic()

    def did(self) -> None:
        """One is done, and the next begins."""
        self._counts[self._job.good] += 1
        self._seconds = time.monotonic() - self._began_at
        self._began_at = time.monotonic()

    def failed(self) -> None:
        """It failed."""
        self._counts["failed"] += 1

    def ended_well(self) -> None:
        """All that there was to do is done, and be it nothing."""
        self._success = time.time()

    def facts(self) -> dict[str, Any]:
        """As a child reports them."""
        facts: dict[str, Any] = {self._job.fact: dict(self._counts)}
        if self._seconds is not None:
            facts[f"{self._name}_seconds"] = self._seconds
        if self._success is not None:
            facts[f"{self._name}_success"] = self._success
        return facts

    def samples(self) -> Samples:
        """As a job that ends leaves them."""
        samples, facts = Samples(), self.facts()
        for metric in of_children():
            value = facts.get(metric.fact)
            if isinstance(value, dict):
                for outcome, count in value.items():
                    samples.add(metric.name, count, outcome=outcome)
            elif value is not None:
                samples.add(metric.name, value)
        return samples


@contextlib.contextmanager
def left_in(file: str | None, job: str) -> Iterator[Outcomes]:
    """Counts what a command does of `job`, and leaves it in a file for Prometheus, however it ends.

    ConfigurationError, before anything is done, where the file cannot be written.
    """
    textfile.check(file)
    outcomes = Outcomes(job)
    try:
        yield outcomes
        outcomes.ended_well()
    except BaseException:
        outcomes.failed()
        raise
    finally:
        textfile.write(file, outcomes.samples())
