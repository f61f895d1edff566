"""Proves that the objects of a lake are those that its manifests name, by listings and Parquet footers."""

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from wgtwo_pipeline.audit.epochs import Ledger, epoch_of
from wgtwo_pipeline.audit.findings import Findings
from wgtwo_pipeline.audit.lists import in_threads, listed
from wgtwo_pipeline.errors import CorruptError, NotFoundError
from wgtwo_pipeline.lake import erasures, history, journal
from wgtwo_pipeline.lake.layout import QUARANTINE, TABLES
from wgtwo_pipeline.lake.manifest import TableFile, manifest_key, sealed_key
from wgtwo_pipeline.lake.reading import while_unchanged
from wgtwo_pipeline.lake.store import ObjectInfo, Store

RETAINED = "retained/"


def check_files(store: Store, findings: Findings, ledger: Ledger) -> None:
    """Every file that a manifest names is there with its size, and there is no other but the open epoch's."""
    keys = ledger.files["key"].to_pylist()
    start = bisect_left(keys, TABLES)
    there = chain(
        listed(store, f"{QUARANTINE}/", keys[:start]),
        listed(store, TABLES, keys[start:]),
    )
    expected = zip(keys, ledger.files["bytes"].to_pylist(), strict=True)
    extra: list[str] = []
    for key, size, info in _merge(expected, there):
        if info is None:
            findings.add("missing_file", key, f"epoch {epoch_of(key)} published it; restore it from a copy")
        elif size is None:
            extra.append(key)
        elif info.size != size and not ledger.changed.is_changing(store, key):
            _note_size(findings, key, info.size, size)
    _check_extra(store, findings, ledger, extra)
    findings.proved["files"] = len(ledger.files)


def check_retained(store: Store, findings: Findings, ledger: Ledger) -> set[int]:
    """Retained copies are there from some epoch on, older ones having expired; returns the epochs that have all."""
    found = _copies(store)
    missing = _missing(found, ledger)
    if missing:  # a listing is no moment: what expires meanwhile may be in it although older ones are not
        found = _copies(store)
        missing = {key: rows for key, rows in _missing(found, ledger).items() if key in missing}
    for key, rows in missing.items():
        findings.add(
            "missing_copy", key, f"{rows:,} deliveries are lost to a later check; older copies are there"
        )
    named = {copy.key: copy for copies in ledger.retained.values() for copy in copies}
    for key, size in found.items():
        copy, number = named.get(key), epoch_of(key)
        if copy is None:
            may_be = number is not None and (number <= ledger.read_from or number > ledger.committed)
            findings.expect(may_be, "extra_file", key, "no manifest names it")
        elif copy.bytes != size and not ledger.changed.is_changing(store, key):
            _note_size(findings, key, size, copy.bytes)
    findings.proved["retained"] = len(found)
    return {
        number
        for number, copies in ledger.retained.items()
        if copies and all(copy.key in found for copy in copies)
    }


def check_journal(store: Store, findings: Findings, ledger: Ledger) -> None:
    """Every segment of the open epoch is there with its size, and every object of the journal is a segment."""
    found = {}
    for info in store.list(journal.ROOT):
        try:
            name = journal.SegmentName.parse(info.key)
        except CorruptError as error:
            findings.add("extra_file", info.key, str(error))
            continue
        found[info.key] = info.size
        findings.proved["journal_segments"] += 1
        findings.proved["journal_deliveries"] += name.rows
    if ledger.open_epoch is None or _exists(store, manifest_key(ledger.open_epoch.epoch)):
        return
    for segment in ledger.open_epoch.segments:
        if segment.key not in found:
            findings.add(
                "missing_segment",
                segment.key,
                f"epoch {ledger.open_epoch.epoch} is sealed with its {segment.rows:,} deliveries and not committed",
            )
        elif found[segment.key] != segment.bytes:
            _note_size(findings, segment.key, found[segment.key], segment.bytes)


def check_descriptors(store: Store, findings: Findings, ledger: Ledger) -> None:
    """What epochs are decoded with is kept."""
    for sha256 in sorted(ledger.descriptors):
        key = f"descriptors/{sha256}.binpb"
        findings.expect(_exists(store, key), "missing_descriptors", key, "epochs are decoded with it")


def check_footers(store: Store, findings: Findings, ledger: Ledger) -> None:
    """The footers of the files since the checkpoint say what their manifests say."""
    files = (TableFile(**row) for batch in _batches(ledger.recent_files()) for row in batch)

    taken = ledger.changed.taken

    def look(file: TableFile) -> tuple[TableFile, str]:
        try:
            footer = while_unchanged(lambda: _footer(store, file.key))
            return file, _difference(file, footer, taken.get(file.key, {}))
        except NotFoundError:
            return file, ""  # the listing has said so
        except (ValueError, OSError) as error:
            return file, f"is not readable as Parquet ({error})"

    for file, difference in in_threads(look, files):
        if difference and not ledger.changed.is_changing(store, file.key):
            findings.add("changed_file", file.key, difference)
        findings.proved["footers"] += 1


def _footer(store: Store, key: str) -> pq.FileMetaData:
    with store.open(key) as source:
        return pq.ParquetFile(source).metadata


def _difference(file: TableFile, footer: pq.FileMetaData, taken: Mapping[int, int]) -> str:
    """How a footer contradicts the manifest and the receipts, which say what erasures have `taken`."""
    said = erasures.account(footer.metadata)
    if said != taken:
        return f"says that erasures took {said or 'nothing'} from it, their receipts say {taken or 'nothing'}"
    if footer.num_rows != file.rows:
        return f"has {footer.num_rows:,} rows, its manifest says {file.rows:,}"
    column = "received_at" if file.table == QUARANTINE else "timestamp"
    for name, low, high in (
        (column, file.min_timestamp, file.max_timestamp),
        ("date", file.date, file.date),
    ):
        try:
            at = footer.schema.to_arrow_schema().names.index(name)
        except ValueError:
            return f"has no column {name}"
        groups = [footer.row_group(number).column(at).statistics for number in range(footer.num_row_groups)]
        if groups and all(group is not None and group.has_min_max for group in groups):
            seen = (min(group.min for group in groups), max(group.max for group in groups))
            within = low <= seen[0] and seen[1] <= high
            if seen != (low, high) and not (taken and within):
                return f"has {name} from {seen[0]} to {seen[1]}, its manifest says {low} to {high}"
    return ""


def _check_extra(store: Store, findings: Findings, ledger: Ledger, keys: list[str]) -> None:
    """A file that the manifests did not name may be of the open epoch, or of one committed since."""
    since: dict[int, set[str]] = {}
    for key in keys:
        number = epoch_of(key) or 0
        if number > ledger.committed and number not in since:
            since[number] = _published_since(store, number)
        may_be = number > ledger.committed and (key in since[number] or "open" in since[number])
        findings.expect(may_be, "extra_file", key, "no manifest names it; its rows would be counted twice")


def _published_since(store: Store, number: int) -> set[str]:
    """The files of an epoch that was not committed before; `open` if it still is not."""
    try:
        return {file.key for file in history.manifest(store, number).files}
    except NotFoundError:
        return {"open"} if _exists(store, sealed_key(number)) else set()


def _exists(store: Store, key: str) -> bool:
    try:
        store.read(key)
    except NotFoundError:
        return False
    return True


def _copies(store: Store) -> dict[str, int]:
    return {info.key: info.size for info in store.list(RETAINED)}


def _missing(found: dict[str, int], ledger: Ledger) -> dict[str, int]:
    """Copies that cannot have expired, as one of an older epoch is there; with their rows."""
    oldest = min((number for number in map(epoch_of, found) if number is not None), default=ledger.committed)
    return {
        copy.key: copy.rows
        for number, copies in ledger.retained.items()
        for copy in copies
        if number > oldest and copy.key not in found
    }


def _note_size(findings: Findings, key: str, found: int, said: int) -> None:
    findings.add("changed_file", key, f"has {found:,} bytes, should have {said:,}")


def _batches(files: pa.Table) -> Iterator[list[dict[str, Any]]]:
    for batch in files.to_batches(max_chunksize=1_000):
        yield batch.to_pylist()


def _merge(
    expected: Iterable[tuple[str, int]], listed: Iterable[ObjectInfo]
) -> Iterator[tuple[str, int | None, ObjectInfo | None]]:
    """Two streams sorted by key side by side: (key, expected size, what is there), None where it is missing."""
    named, there = iter(expected), iter(listed)
    one, other = next(named, None), next(there, None)
    while one or other:
        if one and (other is None or one[0] < other.key):
            yield *one, None
            one = next(named, None)
        elif other and (one is None or other.key < one[0]):
            yield other.key, None, other
            other = next(there, None)
        elif one:
            yield *one, other
            one, other = next(named, None), next(there, None)
