"""Looks at all that a report shows."""

from dataclasses import dataclass
from datetime import datetime

from wgtwo_pipeline.ask.look import Status
from wgtwo_pipeline.ask.status import collect
from wgtwo_pipeline.audit import audit
from wgtwo_pipeline.audit.findings import Findings
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.report import answers, epochs
from wgtwo_pipeline.report.period import Period


@dataclass(frozen=True)
class Found:
    """What a lake held, and what came of these days."""

    at: datetime
    period: Period
    lake: Status
    audit: Findings
    epochs: epochs.Epochs
    answers: answers.Answers


def look(store: Store, since_seconds: float) -> Found:
    """Looks once; what is published meanwhile may be in one part and not yet in another.

    Blocks. Raises PipelineError.
    """
    lake = collect(store)
    period = Period.before(lake.at, since_seconds)
    # First the manifests, then the files: a file of an epoch that is committed in between has no time of commit.
    added = epochs.add_up(store, lake.epochs, period)
    asked = answers.ask(store, period, added.committed_at)
    findings, _ = audit.examine(store)
    return Found(lake.at, period, lake, findings, added, asked)
