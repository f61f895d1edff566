"""Proves that seals and manifests add up, and gathers what they say should be there."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC

import pyarrow as pa

from wgtwo_pipeline.audit.erased import Changed
from wgtwo_pipeline.audit.findings import Findings
from wgtwo_pipeline.audit.lists import listed
from wgtwo_pipeline.errors import CorruptError, NotFoundError
from wgtwo_pipeline.lake import checkpoint, receipts
from wgtwo_pipeline.lake.checkpoint import Checkpoint, Totals
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.journal import SegmentName
from wgtwo_pipeline.lake.layout import QUARANTINE, FilePath
from wgtwo_pipeline.lake.manifest import (
    EPOCHS,
    Manifest,
    Sealed,
    SegmentRef,
    TableFile,
    Unreadable,
    manifest_key,
    sealed_key,
    still_unreadable,
)
from wgtwo_pipeline.lake.store import Store

_KEY = re.compile(rf"{EPOCHS}(\d{{10}})/(sealed|manifest)\.json")
_READ_TOGETHER = 256


@dataclass
class Ledger:
    """What the lake should hold. `files` are those of all committed epochs, sorted by key."""

    committed: int
    read_from: int
    """Epochs up to this one are known from the checkpoint only."""
    files: pa.Table
    totals: Totals
    retained: dict[int, tuple[SegmentRef, ...]] = field(default_factory=dict)
    """The copies of each epoch's deliveries, of the epochs after `read_from`."""
    descriptors: set[str] = field(default_factory=set)
    """The SHA-256 of the descriptors that those epochs are decoded with."""
    unreadable: tuple[Unreadable, ...] = ()
    """Segments that no epoch could read: their deliveries are in no table."""
    open_epoch: Sealed | None = None
    past: History = field(default_factory=lambda: History(Checkpoint()))
    """The checkpoint and the manifests after it, as far as they could be read."""
    changed: Changed = field(default_factory=Changed)
    """What erasures have changed since: `files`, `retained` and `totals` are what they should be now."""

    def recent_files(self) -> pa.Table:
        """The files of the epochs after `read_from`."""
        recent = [(epoch_of(key) or 0) > self.read_from for key in self.files["key"].to_pylist()]
        return self.files.filter(pa.array(recent, pa.bool_()))


def read(store: Store, findings: Findings, *, deep: bool) -> Ledger:
    """Reads every seal and manifest if `deep`, else those after the newest checkpoint."""
    base = _checkpoint(store, findings)
    manifests, seals = _listed(store, findings, base.epoch)
    last = max([*manifests, base.epoch])
    for number in range(1, last + 1):
        if number not in manifests:
            _confirm(store, findings, manifest_key(number), "missing_epoch")
        if number not in seals:
            _confirm(store, findings, sealed_key(number), "missing_seal")
    for number in sorted(seals):
        findings.expect(
            number <= last + 1,
            "missing_epoch",
            sealed_key(number),
            f"is sealed although epoch {number - 1} is not committed",
        )
    ledger = Ledger(last, 0 if deep else base.epoch, checkpoint.FILES.empty_table(), Totals())
    parts = [] if deep else [base.read(store)]
    ledger.totals = Totals() if deep else base.totals
    ledger.unreadable = () if deep else base.unreadable
    recent: list[Manifest] = []
    wanted = sorted(number for number in manifests if number > ledger.read_from)
    for batch in _batches(wanted):
        read_manifests = list(_read_batch(store, findings, ledger, batch, seals))
        parts.append(checkpoint.files_of(read_manifests))
        ledger.totals = ledger.totals.plus(read_manifests)
        ledger.unreadable = still_unreadable(ledger.unreadable, read_manifests)
        recent += (manifest for manifest in read_manifests if manifest.epoch > base.epoch)
        ledger.retained |= {manifest.epoch: manifest.retained for manifest in read_manifests}
    ledger.past = History(base, tuple(recent))
    ledger.files = pa.concat_tables([checkpoint.FILES.empty_table(), *parts]).sort_by("key")
    findings.proved["epochs"] = len(wanted) + ledger.read_from
    for segment in ledger.unreadable:
        findings.add("lost", segment.key, f"{segment.rows:,} deliveries are in no table: {segment.reason}")
    _check_totals(findings, ledger)
    if deep and base.key:
        _check_checkpoint(store, findings, base, ledger)
    _apply_erasures(store, findings, ledger)
    if last + 1 in seals:
        try:
            ledger.open_epoch = Sealed.from_bytes(sealed_key(last + 1), store.read(sealed_key(last + 1)))
        except CorruptError as error:
            findings.add("unreadable", sealed_key(last + 1), str(error))
    return ledger


def epoch_of(key: str) -> int | None:
    """The epoch that wrote a file of a table, of the quarantine or of the retained copies; None if no epoch did."""
    match = re.match(r"(\d{10})(-\d{3,})?\.(parquet|arrow)$", key.rpartition("/")[2])
    return int(match[1]) if match else None


def _listed(store: Store, findings: Findings, known: int) -> tuple[set[int], set[int]]:
    """The numbers of the manifests and of the seals; `known` epochs are expected."""
    expected = [key(number) for number in range(1, known + 1) for key in (manifest_key, sealed_key)]
    numbers: dict[str, set[int]] = {"manifest": set(), "sealed": set()}
    for info in listed(store, EPOCHS, expected):
        match = _KEY.fullmatch(info.key)
        if match:
            numbers[match[2]].add(int(match[1]))
        else:
            findings.add("extra_file", info.key, "is neither a seal nor a manifest")
    return numbers["manifest"], numbers["sealed"]


def _checkpoint(store: Store, findings: Findings) -> Checkpoint:
    try:
        return checkpoint.newest(store)
    except CorruptError as error:
        findings.add("wrong_checkpoint", checkpoint.ROOT, str(error))
        return Checkpoint()


def _confirm(store: Store, findings: Findings, key: str, kind: str) -> None:
    """Notes a missing object, unless it has come since the listing."""
    try:
        store.read(key)
    except NotFoundError:
        findings.add(kind, key, "does not exist; restore it from a version or copy of the bucket")


def _batches(numbers: list[int]) -> Iterator[list[int]]:
    for start in range(0, len(numbers), _READ_TOGETHER):
        yield numbers[start : start + _READ_TOGETHER]


def _read_batch(
    store: Store, findings: Findings, ledger: Ledger, numbers: list[int], seals: set[int]
) -> Iterator[Manifest]:
    sealed_numbers = [number for number in numbers if number in seals]
    seal_data = dict(
        zip(sealed_numbers, store.read_many([sealed_key(number) for number in sealed_numbers]), strict=True)
    )
    keys = [manifest_key(number) for number in numbers]
    for number, key, data in zip(numbers, keys, store.read_many(keys), strict=True):
        try:
            manifest = Manifest.from_bytes(key, data)
            seal = Sealed.from_bytes(sealed_key(number), seal_data[number]) if number in seal_data else None
        except CorruptError as error:
            findings.add("unreadable", key, str(error))
            continue
        if seal:
            ledger.descriptors.add(seal.parameters.descriptors)
        for what in _lies(number, manifest, seal):
            findings.add("wrong_manifest", key, what)
        yield manifest


def _lies(number: int, manifest: Manifest, seal: Sealed | None) -> Iterator[str]:
    """What a manifest says that cannot be, by itself and by its seal."""
    tables = {name: count for name, count in manifest.tables.items() if name != QUARANTINE}
    quarantine = manifest.tables.get(QUARANTINE)
    quarantined = quarantine.published if quarantine else 0
    rows: Counter[str] = Counter()
    for file in manifest.files:
        rows[file.table] += file.rows
        yield from _lies_of_file(number, file)
    equal = {
        "received, and published + duplicates + quarantined + erased + unreadable": (
            manifest.received,
            manifest.published
            + manifest.duplicates
            + manifest.quarantined
            + manifest.erased
            + manifest.unreadable,
        ),
        "unreadable, and the sum of its segments": (
            manifest.unreadable,
            sum(segment.rows for segment in manifest.unreadable_segments),
        ),
        "its own number, and its key's": (manifest.epoch, number),
        "published, and the tables' sum": (
            manifest.published,
            sum(count.published for count in tables.values()),
        ),
        "duplicates, and the tables' sum": (
            manifest.duplicates,
            sum(count.duplicates for count in manifest.tables.values()),
        ),
        "erased, and the tables' sum": (
            manifest.erased,
            sum(count.erased for count in manifest.tables.values()),
        ),
        "quarantined, and the quarantine's count": (manifest.quarantined, quarantined),
        "quarantined, and the sum of the reasons": (manifest.quarantined, sum(manifest.reasons.values())),
        "received, and the subscriptions' sum": (
            manifest.received,
            sum(each.received for each in manifest.subscriptions.values()),
        ),
        "received, neither unreadable nor erased, and the rows of its retained copies": (
            manifest.received - manifest.unreadable - manifest.erased,
            sum(copy.rows for copy in manifest.retained),
        ),
        "files, and different ones": (len(manifest.files), len({file.key for file in manifest.files})),
    }
    for name in sorted({*manifest.tables, *rows}):
        count = manifest.tables.get(name)
        equal[f"published rows of {name}, and the rows of its files"] = (
            count.published if count else 0,
            rows[name],
        )
    if seal:
        equal["its number, and its seal's"] = (manifest.epoch, seal.epoch)
        members = {segment.key for segment in seal.segments}
        equal["unreadable segments, and those that its seal lists"] = (
            len(manifest.unreadable_segments),
            sum(segment.key in members for segment in manifest.unreadable_segments),
        )
        sealed_rows: Counter[str] = Counter()
        for segment in seal.segments:
            sealed_rows[SegmentName.parse(segment.key).subscription] += segment.rows
        for name in sorted({*manifest.subscriptions, *sealed_rows}):
            said = manifest.subscriptions.get(name)
            equal[f"received from {name}, and the rows its seal lists"] = (
                said.received if said else 0,
                sealed_rows[name],
            )
    for what, (one, other) in equal.items():
        if one != other:
            yield f"{what}, differ: {one:,} and {other:,}"


def _lies_of_file(number: int, file: TableFile) -> Iterator[str]:
    path = FilePath.parse(file.key)
    if not path or (path.table, path.day, path.epoch) != (file.table, file.date, number):
        yield f"{file.key} is not where a file of {file.table}, {file.date}, epoch {number} belongs"
    days = (file.min_timestamp.astimezone(UTC).date(), file.max_timestamp.astimezone(UTC).date())
    if file.rows <= 0 or file.min_timestamp > file.max_timestamp or days != (file.date, file.date):
        yield f"{file.key}: {file.rows} rows from {file.min_timestamp} to {file.max_timestamp} cannot be"


def _check_totals(findings: Findings, ledger: Ledger) -> None:
    """Every table's published rows are those of its files, over all epochs."""
    sums = ledger.files.group_by("table").aggregate([("rows", "sum")]).to_pylist()
    rows = {str(each["table"]): each["rows_sum"] for each in sums}
    for name in sorted({*rows, *ledger.totals.tables}):
        count = ledger.totals.tables.get(name)
        published = count.published if count else 0
        findings.expect(
            published == rows.get(name, 0),
            "wrong_manifest",
            f"all epochs, {name}",
            f"{published:,} rows are published, the files have {rows.get(name, 0):,}",
        )


def _apply_erasures(store: Store, findings: Findings, ledger: Ledger) -> None:
    # After the manifests: an erasure of what they do not name yet changes nothing that they name.
    ledger.changed = Changed.read(store, findings)
    ledger.files = ledger.changed.files(ledger.files)
    ledger.totals = receipts.moved(ledger.totals, ledger.changed.receipts)
    ledger.retained = {number: ledger.changed.copies(each) for number, each in ledger.retained.items()}


def _check_checkpoint(store: Store, findings: Findings, base: Checkpoint, ledger: Ledger) -> None:
    """The newest checkpoint says of its epochs' files what their manifests say."""
    said = base.read(store).sort_by("key")
    of_epochs = pa.array([(epoch_of(key) or 0) <= base.epoch for key in ledger.files["key"].to_pylist()])
    findings.expect(
        said.equals(ledger.files.filter(of_epochs)),
        "wrong_checkpoint",
        str(base.key),
        "its files are not those of the manifests; delete it",
    )
