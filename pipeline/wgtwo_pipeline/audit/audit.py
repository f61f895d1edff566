"""Proves that every journaled event is published, a duplicate, quarantined or erased, once; says where it is not."""

import json
import sys
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

from wgtwo_pipeline.audit import epochs, erased, objects, registered
from wgtwo_pipeline.audit.epochs import Ledger
from wgtwo_pipeline.audit.findings import MOST_FINDINGS, Findings
from wgtwo_pipeline.audit.settings import Auditing
from wgtwo_pipeline.lake import positions
from wgtwo_pipeline.lake.manifest import iso
from wgtwo_pipeline.lake.open import open_to_read
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.metrics import textfile
from wgtwo_pipeline.metrics.samples import Samples

ERASE_WITHIN = timedelta(days=7)


def audit(auditing: Auditing) -> int:
    """Prints what is proved and what is wrong; returns 1 if anything is. Changes nothing. Raises LakeError.

    A gap in time, recorded because the service no longer had its events, is shown; it is no difference
    between the objects.
    """
    textfile.check(auditing.metrics_file)
    store = open_to_read(auditing.lake)
    within = timedelta(seconds=auditing.erase_within_seconds)
    findings, ledger = examine(store, deep=auditing.deep, erase_within=within)
    textfile.write(auditing.metrics_file, figures(findings, deep=auditing.deep))
    gaps = tuple(positions.gaps(store))
    if auditing.json:
        sys.stdout.write(json.dumps(to_json(store, findings, ledger, gaps), indent=1) + "\n")
    else:
        sys.stdout.writelines(line + "\n" for line in to_text(findings, ledger, gaps))
    return 1 if findings.total else 0


def figures(findings: Findings, *, deep: bool) -> Samples:
    """The verdict, as it is now, for Prometheus."""
    samples, label = Samples(), "true" if deep else "false"
    samples.add("audit_passed", 0 if findings.total else 1, deep=label)
    samples.add("audit_findings", findings.total, deep=label)
    samples.add("audit_last_timestamp_seconds", datetime.now(UTC).timestamp(), deep=label)
    return samples


def examine(
    store: Store, *, deep: bool = False, erase_within: timedelta = ERASE_WITHIN
) -> tuple[Findings, Ledger]:
    """Audits a lake, also one that is being written. Raises LakeError where it cannot be read.

    A request for erasure that has been open for longer than `erase_within` is a finding. Seals, manifests, receipts,
    listings and the newest files' footers; `deep` reads every manifest, row and retained copy, with memory that does
    not grow with their number.
    """
    findings = Findings()
    # In this order: what others write meanwhile is then only ever more than is named, and looked up again.
    ledger = epochs.read(store, findings, deep=deep)
    objects.check_files(store, findings, ledger)
    complete = objects.check_retained(store, findings, ledger)
    objects.check_journal(store, findings, ledger)
    objects.check_descriptors(store, findings, ledger)
    registered.check(store, findings, ledger)
    erased.check(store, findings, ledger.changed, ledger.past, erase_within, datetime.now(UTC))
    erased.check_quarantine(store, findings, ledger.recent_files())
    if deep:
        from wgtwo_pipeline.audit import rows  # brings DuckDB

        rows.check(store, findings, ledger, complete)
        copies = chain.from_iterable(ledger.retained.values())
        erased.check_forgotten(store, findings, ledger.past, ledger.files, copies)
    else:
        objects.check_footers(store, findings, ledger)
    return findings, ledger


def to_json(
    store: Store, findings: Findings, ledger: Ledger, gaps: tuple[positions.Gap, ...]
) -> dict[str, Any]:
    """As `audit --json` prints it; keys stay, new ones may come."""
    totals = ledger.totals
    return {
        "passed": findings.total == 0,
        "lake": store.uri("").rstrip("/"),
        "at": iso(datetime.now(UTC)),
        **totals.counts(),
        "tables": {name: asdict(count) for name, count in sorted(totals.tables.items())},
        "proved": dict(sorted(findings.proved.items())),
        "warnings": findings.warnings,
        "gaps": [
            {"subscription": gap.subscription, "from": iso(gap.start), "to": iso(gap.end)} for gap in gaps
        ],
        "findings": findings.total,
        "found": [asdict(finding) for finding in findings.kept],
    }


def to_text(findings: Findings, ledger: Ledger, gaps: tuple[positions.Gap, ...]) -> Iterator[str]:
    """The lines that `audit` prints; the last one is the verdict."""
    yield from map(str, findings.kept)
    if findings.total > MOST_FINDINGS:
        yield f"… and {findings.total - MOST_FINDINGS:,} more"
    yield from (f"WARNING     {what}" for what in findings.warnings)
    yield from map(str, gaps)
    yield str(ledger.totals)
    proved = ", ".join(
        f"{count:,} {name.replace('_', ' ')}" for name, count in sorted(findings.proved.items())
    )
    yield f"examined: {proved}"
    verdict = f"audit FAILED: {findings.total:,} findings" if findings.total else "audit passed"
    yield verdict
