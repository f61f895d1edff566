"""Proves that the lake's Iceberg tables show what the manifests name, and hold no bound of a text.

Reads the metadata as the format's specification says, with nothing of the code that wrote it.
"""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from typing import Any

import fastavro
import pyarrow.compute as pc

from wgtwo_pipeline.audit.epochs import Ledger, epoch_of
from wgtwo_pipeline.audit.findings import Findings
from wgtwo_pipeline.errors import CorruptError, NotFoundError
from wgtwo_pipeline.lake import iceberg
from wgtwo_pipeline.lake.compacted import PartPath, stand_for
from wgtwo_pipeline.lake.iceberg import Standing
from wgtwo_pipeline.lake.layout import QUARANTINE, FilePath
from wgtwo_pipeline.lake.manifest import manifest_key
from wgtwo_pipeline.lake.store import Store

_TEXTS = ("string", "binary")
_DELETED = 2


@dataclass(frozen=True)
class Entry:
    """A file as a table shows it. `bounded`: the ids of the columns whose least or greatest value is said."""

    key: str
    rows: int
    bytes: int
    bounded: frozenset[int]


def check(store: Store, findings: Findings, ledger: Ledger) -> None:
    """Each registered table's files are those of the manifests up to the epoch that it says."""
    tables = sorted(name for name in ledger.totals.tables if name != QUARANTINE)
    for name, standing in (iceberg.standings(store, tables) or {}).items():
        where = iceberg.version_key(name, standing.version)
        _check_epoch(store, findings, ledger, where, standing)
        try:
            entries = list(_entries(store, standing))
        except (ValueError, KeyError, TypeError, EOFError, CorruptError, NotFoundError) as error:
            findings.add("unreadable", where, f"what it refers to cannot be read: {error!r}")
            continue
        _check_files(store, findings, ledger, where, standing, entries)
        _check_bounds(findings, where, standing, entries)
        findings.proved["registered_files"] += len(entries)


def _check_epoch(store: Store, findings: Findings, ledger: Ledger, where: str, standing: Standing) -> None:
    if standing.registered_through <= ledger.committed:
        return
    try:
        store.read(manifest_key(standing.registered_through))  # it may have been committed since
    except NotFoundError:
        what = f"shows the epochs up to {standing.registered_through:,}, committed are {ledger.committed:,}"
        findings.add("wrong_catalog", where, what)


def _check_files(
    store: Store, findings: Findings, ledger: Ledger, where: str, standing: Standing, entries: list[Entry]
) -> None:
    through = min(standing.registered_through, ledger.committed)
    files = ledger.files.filter(pc.equal(ledger.files["table"], standing.table)).to_pylist()
    expected = {file["key"]: file for file in files if (epoch_of(file["key"]) or 0) <= through}
    shown = _check_parts(store, findings, ledger, where, standing, entries, expected)
    for entry in (entry for entry in entries if PartPath.parse(entry.key) is None):
        file = expected.get(entry.key)
        if entry.key in shown:
            findings.add("wrong_catalog", where, f"shows {entry.key} twice")
        elif file is None:
            after = (epoch_of(entry.key) or 0) > through  # committed since
            findings.expect(after, "wrong_catalog", where, f"shows {entry.key}, which no manifest names")
        elif entry.key in ledger.changed.now:
            pass  # an erasure has replaced it since; the catalog follows
        elif (entry.rows, entry.bytes) != (file["rows"], file["bytes"]) and _followed(
            store, ledger, standing, entry.key
        ):
            what = f"says that {entry.key} has {entry.rows:,} rows and {entry.bytes:,} bytes, not "
            findings.add("wrong_catalog", where, f"{what}{file['rows']:,} and {file['bytes']:,}")
        shown.add(entry.key)
    for key in sorted(expected.keys() - shown):
        findings.add("wrong_catalog", where, f"does not show {key}")


def _check_parts(
    store: Store,
    findings: Findings,
    ledger: Ledger,
    where: str,
    standing: Standing,
    entries: list[Entry],
    expected: dict[str, dict[str, Any]],
) -> set[str]:
    """Each part is there, and has the rows of the plain files that it stands for; returns those."""
    parts = {entry.key: entry for entry in entries if PartPath.parse(entry.key)}
    sizes = {info.key: info.size for info in iceberg.objects(store, standing.table, "data")} if parts else {}
    covered: set[str] = set()
    for day in sorted({path.day for path in map(PartPath.parse, parts) if path}):
        files = sorted(
            (epoch_of(key) or 0, key, file) for key, file in expected.items() if file["date"] == day
        )
        of_day = [entry.key for entry in entries if _day(entry.key) == day]
        published = ledger.changed.published_bytes
        found = stand_for(of_day, [(key, published.get(key, file["bytes"])) for _, key, file in files])
        if found is None:
            findings.add(
                "wrong_catalog", where, f"the parts of {day} stand for other files than its plain ones"
            )
        for key, part in (found or {}).items():
            rows = sum(expected[each]["rows"] for each in part.keys)
            said = parts[key]
            what = f"says that {key} has {said.rows:,} rows and {said.bytes:,} bytes, not {rows:,} and "
            right = (said.rows, said.bytes) == (rows, sizes.get(key)) or not all(
                _followed(store, ledger, standing, each) for each in part.keys
            )
            findings.expect(right, "wrong_catalog", where, f"{what}{sizes.get(key, 0):,}")
            covered.update(part.keys)
    return covered


def _followed(store: Store, ledger: Ledger, standing: Standing, key: str) -> bool:
    """Whether the table has followed what erasures did to a file, and none is at work on it."""
    newest = max(ledger.changed.taken.get(key, ()), default=0)
    return newest <= standing.erased_through and not ledger.changed.is_changing(store, key)


def _day(key: str) -> date | None:
    path = FilePath.parse(key) or PartPath.parse(key)
    return path.day if path else None


def _check_bounds(findings: Findings, where: str, standing: Standing, entries: list[Entry]) -> None:
    texts = {field["id"]: field["name"] for field in _fields(standing.metadata) if _is_text(field["type"])}
    for number in sorted({number for entry in entries for number in entry.bounded if number in texts}):
        what = f"says the least or greatest value of {texts[number]}, which may be a phone number"
        findings.add("wrong_catalog", where, what)


def _is_text(kind: Any) -> bool:
    return kind in _TEXTS or not isinstance(kind, str)  # a list holds texts


def _fields(metadata: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The columns of every schema that the table has or had."""
    for schema in metadata["schemas"]:
        for field in schema["fields"]:
            yield field
            if not isinstance(field["type"], str):
                yield {
                    "id": field["type"]["element-id"],
                    "name": field["name"],
                    "type": field["type"]["element"],
                }


def _entries(store: Store, standing: Standing) -> Iterator[Entry]:
    """The files that the newest snapshot shows."""
    current = standing.metadata.get("current-snapshot-id")
    for snapshot in standing.metadata.get("snapshots", ()):
        if snapshot["snapshot-id"] == current:
            for manifest in _avro(store, snapshot["manifest-list"]):
                for entry in _avro(store, manifest["manifest_path"]):
                    if entry["status"] != _DELETED:
                        yield _entry(store, entry["data_file"])


def _entry(store: Store, file: dict[str, Any]) -> Entry:
    bounds = [*(file["lower_bounds"] or ()), *(file["upper_bounds"] or ())]
    return Entry(
        key=_key(store, file["file_path"]),
        rows=file["record_count"],
        bytes=file["file_size_in_bytes"],
        bounded=frozenset(bound["key"] for bound in bounds),
    )


def _avro(store: Store, location: str) -> Iterator[Any]:
    return iter(fastavro.reader(io.BytesIO(store.read(_key(store, location)))))


def _key(store: Store, location: str) -> str:
    root = iceberg.location(store, "")
    if not location.startswith(root):
        raise CorruptError(f"{location} is outside of the lake")
    return location[len(root) :]
