"""A lake with a month of one-minute epochs still starts, seals and audits: by what it reads, and right.

What is read is bounded by the epochs since the newest checkpoint, not by all. Seconds are printed, not asserted:
`benchmarks/bounds.py` measures them beside those of a lake with one epoch.
"""

import shutil
import subprocess
import sys
import time
from collections import Counter

import month
import pytest
from processes import Command
from wgtwo_pipeline.ask import status
from wgtwo_pipeline.audit import audit
from wgtwo_pipeline.events.tables import current_descriptors
from wgtwo_pipeline.lake import epochs, history, positions
from wgtwo_pipeline.lake.journal import SegmentWriter
from wgtwo_pipeline.lake.manifest import Parameters, manifest_key
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

TABLES = 1
EVERY = epochs.CHECKPOINT_EVERY_EPOCHS
A_FEW = 20

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """43,200 epochs or, where a test has published since, one more."""
    folder = tmp_path_factory.mktemp("month") / "lake"
    command = [sys.executable, month.__file__, folder, str(month.EPOCHS), str(TABLES)]
    subprocess.run(command, check=True)
    yield open_store(LakeLocation(str(folder)))
    shutil.rmtree(folder)


@pytest.fixture
def seen(store, monkeypatch):
    """How many objects are read or opened, and listed by the first part of their keys."""
    seen = Counter()
    kind = type(store)
    read, opens, walk = kind.read, kind.open, kind.list

    def listed(self, prefix, after=""):
        for info in walk(self, prefix, after):
            seen[prefix.split("/")[0]] += 1
            yield info

    monkeypatch.setattr(kind, "read", lambda self, key: seen.update(["read"]) or read(self, key))
    monkeypatch.setattr(kind, "open", lambda self, key: seen.update(["open"]) or opens(self, key))
    monkeypatch.setattr(kind, "list", listed)
    return seen


def timed(store, folder, *arguments):
    """Runs a command on the lake; prints how long it took."""
    started = time.monotonic()
    command = Command(folder, *arguments, "--lake", store.location.url)
    try:
        command.succeeds(120)
    finally:
        command.end()
    sys.stdout.write(f"{arguments[0]} after a month: {time.monotonic() - started:.1f} s\n")
    return command


def test_it_is_loaded_from_a_checkpoint(store, seen):
    """As by every command at its start: all totals are there, one object stands for all but the newest epochs."""
    past = history.load(store)
    assert past.committed >= month.EPOCHS
    assert past.totals.published >= month.EPOCHS * TABLES
    assert len(past.manifests) < EVERY
    assert seen["read"] + seen["open"] < EVERY + A_FEW
    assert seen["epochs"] < 2 * EVERY


def test_status_reads_little(store, seen, tmp_path):
    """What all tables hold, without a look at all manifests or any table file."""
    found = status.collect(store)
    assert found.totals.published == sum(holding.rows for holding in found.tables.values())
    assert found.epochs >= month.EPOCHS
    assert seen["read"] + seen["open"] < EVERY + A_FEW
    assert seen["epochs"] < 2 * EVERY
    assert seen["tables"] == 0
    assert f"{found.epochs:,} committed" in timed(store, tmp_path, "status").stdout


def test_ingest_starts_from_what_is_covered(store, seen):
    """The start position of a subscription whose journal is empty."""
    covered = positions.covered_until(store, month.SOURCE.subscription)
    assert covered is not None
    assert covered >= month.START + month.EPOCHS * month.MINUTE
    assert seen["read"] + seen["open"] < EVERY + A_FEW
    assert seen["epochs"] < 2 * EVERY


def test_an_epoch_is_sealed_and_published(store, seen, tmp_path):
    """With all that a month has published as its past: an event from its middle that comes again is a duplicate."""
    before = history.load(store)
    again = month.received(month.EPOCHS // 2, TABLES)["payload"].to_pylist()
    new = month.received(before.committed + 1, TABLES)["payload"].to_pylist()
    SegmentWriter(store).write(month.SOURCE, [*again, *new], [0] * 2 * TABLES)
    seen.clear()
    parameters = Parameters(epochs.keep_descriptors(store, current_descriptors()))
    sealed = epochs.seal(store, parameters, epochs.Limits(), "test")
    assert sealed.epoch == before.committed + 1
    assert seen["read"] + seen["open"] < EVERY + A_FEW
    assert seen["epochs"] < 2 * EVERY
    timed(store, tmp_path, "publish")
    manifest = history.load(store).manifests[-1]
    assert manifest.epoch == sealed.epoch
    assert (manifest.published, manifest.duplicates) == (TABLES, TABLES)
    assert list(store.list("journal/")) == []


def test_it_passes_the_audit(store, seen, tmp_path):
    """All names and sizes are looked at; seals, manifests and footers only since the checkpoint."""
    findings, ledger = audit.examine(store)
    assert findings.kept == []
    assert ledger.committed >= month.EPOCHS
    assert findings.proved["epochs"] == ledger.committed
    assert findings.proved["files"] >= month.EPOCHS * TABLES
    assert seen["read"] < 2 * EVERY + A_FEW
    assert seen["open"] < TABLES * EVERY + A_FEW
    assert "audit passed" in timed(store, tmp_path, "audit").stdout


def test_what_is_missing_from_long_ago_is_found(store):
    """A file and a manifest from its first days, which only the checkpoint speaks for."""
    file = next(store.list("tables/")).key
    keys = [manifest_key(1_000), file]
    objects = {key: bytes(store.read(key)) for key in keys}
    store.delete(keys)
    try:
        findings, _ = audit.examine(store)
    finally:
        for key, data in objects.items():
            store.create(key, data)
    assert {(found.kind, found.where) for found in findings.kept} == {
        ("missing_epoch", manifest_key(1_000)),
        ("missing_file", file),
    }
