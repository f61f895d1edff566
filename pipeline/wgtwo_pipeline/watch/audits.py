"""Audits the lake once an hour, in a thread, for whoever only watches it."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from wgtwo_pipeline.audit import audit
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.metrics.samples import Samples
from wgtwo_pipeline.watch.repeat import Repeated

_LOG = logging.getLogger(__name__)

AUDIT_SECONDS: Final = 3600.0


@dataclass(frozen=True)
class Audited:
    """What the last audit found; `figures` are those that `audit --metrics-file` leaves."""

    at: datetime
    findings: int
    figures: Samples


class AuditWatch:
    """The newest audit of one lake, as `audit` without `--deep`; none before the first, or while the lake is away."""

    def __init__(self, store: Store, every_seconds: float = AUDIT_SECONDS) -> None:
        self._store = store
        self.last: Audited | None = None
        self._auditing = Repeated("audits", self._audit, every_seconds)

    def add_to(self, samples: Samples) -> None:
        """The figures of the last one."""
        if self.last:
            for name, labels, value in self.last.figures.all():
                samples.add(name, value, **labels)

    def close(self) -> None:
        """Begins no further one. Returns at once."""
        self._auditing.close()

    def _audit(self) -> None:
        try:
            findings, _ = audit.examine(self._store)
        except LakeError as error:
            _LOG.warning("the lake cannot be audited now: %s", error)
        except Exception:  # whatever it meets, the next one may not
            _LOG.exception("the lake cannot be audited now")
        else:
            figures = audit.figures(findings, deep=False)
            self.last = Audited(datetime.now(UTC), findings.total, figures)
            if findings.total:
                _LOG.error("the audit found %d differences: run `audit`", findings.total)
