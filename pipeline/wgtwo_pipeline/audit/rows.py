"""Proves the rows: each file's bytes and order, each event once, and each received delivery in its place.

It is over 300 lines because one database holds what all its checks compare.
"""

# Names in SQL come from manifests that have been checked, texts are quoted; the database is in memory.
# ruff: noqa: S608

from collections import Counter
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wgtwo_pipeline.audit.epochs import Ledger
from wgtwo_pipeline.audit.files import differences
from wgtwo_pipeline.audit.findings import Findings
from wgtwo_pipeline.audit.lists import in_threads
from wgtwo_pipeline.errors import CorruptError, NotFoundError
from wgtwo_pipeline.events.decode import decode
from wgtwo_pipeline.events.wire import quarantine_identity
from wgtwo_pipeline.lake import duck, epochs, history, journal, retained
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.manifest import Sealed, SegmentRef, TableFile, manifest_key, sealed_key
from wgtwo_pipeline.lake.reading import while_unchanged
from wgtwo_pipeline.lake.store import Store

MEMORY_BYTES = 512 << 20
"""What DuckDB uses before it writes to a temporary folder."""


def check(store: Store, findings: Findings, ledger: Ledger, complete: set[int]) -> None:
    """Reads every file and the retained copies of the `complete` epochs; holds a few files, or an epoch, at once."""
    Rows(store, findings, ledger).check(complete)


class Rows:
    """The check of one lake's rows."""

    def __init__(self, store: Store, findings: Findings, ledger: Ledger) -> None:
        self._store, self._findings = store, findings
        self._partitions = dict(_partitions(ledger.files))
        self._unusable: set[str] = set()
        self._changed = ledger.changed
        self._lost = {segment.key for segment in ledger.unreadable}

    def check(self, complete: set[int]) -> None:
        """Files first: what is wrong with them is said once, and they are left out of what follows."""
        for files in self._partitions.values():
            self._check_files(files)
        with duck.database(self._store, MEMORY_BYTES) as self._files:
            self._db = self._files.connection
            before: set[bytes] = set()
            for table, day in self._partitions:
                if table == QUARANTINE:
                    before = self._check_quarantine_once(day, before)
                else:
                    self._check_once(table, day)
            for number in sorted(complete):
                self._check_epoch(number)
        self._check_journal()

    def _check_journal(self) -> None:
        """Every segment that waits is whole."""
        for info in journal.segments(self._store):
            try:
                journal.decode(info.key, self._store.read(info.key))
            except NotFoundError:  # published since
                continue
            except CorruptError as error:
                if info.key not in self._lost:  # else it has been said
                    self._findings.add("unreadable", info.key, str(error))

    def _check_files(self, files: pa.Table) -> None:
        def look(file: TableFile) -> tuple[TableFile, list[str] | None]:
            try:
                taken = self._changed.taken.get(file.key, {})
                return file, list(differences(file, self._store.read(file.key), taken))
            except NotFoundError:
                return file, None  # the listing has said so

        described = (TableFile(**row) for row in files.to_pylist())
        for file, found in in_threads(look, described, at_once=2):
            for what in found if found and not self._changed.is_changing(self._store, file.key) else ():
                self._findings.add("changed_file", file.key, what)
            if found is None or found:
                self._unusable.add(file.key)
            else:
                self._findings.proved["rows"] += file.rows

    def _check_once(self, table: str, day: date) -> None:
        """No event is in a partition twice."""
        keys = self._usable(table, day)
        if not keys:
            return
        events = self._events(keys)
        twice = self._ask(
            f"SELECT timestamp::VARCHAR, id, count(*) OVER () FROM ({events}) "
            "GROUP BY timestamp, id HAVING count(*) > 1 ORDER BY ALL LIMIT 1"
        )
        for timestamp, value, count in twice:
            files = self._ask(
                f"SELECT DISTINCT parse_filename(filename) FROM ({events}) WHERE timestamp = ?::TIMESTAMPTZ "
                "AND id IS NOT DISTINCT FROM ? ORDER BY ALL",
                timestamp,
                value,
            )
            self._findings.add(
                "duplicate_row",
                f"tables/{table}/day={day}",
                f"{count:,} events are there more than once, such as {value} at {timestamp}, "
                f"in {' and '.join(name for (name,) in files)}",
            )

    def _check_quarantine_once(self, day: date, before: set[bytes]) -> set[bytes]:
        """No delivery is quarantined twice, within a day or from one to the next."""
        seen: set[bytes] = set()
        for key in self._usable(QUARANTINE, day):
            for identity in self._quarantined(key):
                if identity in seen or identity in before:
                    self._findings.add("duplicate_row", key, "a delivery in it is quarantined already")
                seen.add(identity)
        return seen

    def _check_epoch(self, number: int) -> None:
        """What an epoch received is in its place, and nothing else came with it.

        While an erasure goes on, what it takes leaves files and copies one after the other: then differences do not
        count.
        """
        mine, self._findings = self._findings, Findings()
        self._compare_epoch(number)
        found, self._findings = self._findings, mine
        if found.total and self._changed.goes_on(self._store):
            mine.proved["epochs_being_erased"] += 1
        else:
            mine.merge(found)

    def _compare_epoch(self, number: int) -> None:
        self._db.execute("CREATE OR REPLACE TABLE came (name VARCHAR, timestamp TIMESTAMPTZ, id VARCHAR)")
        try:
            manifest = history.manifest(self._store, number)
            seal = Sealed.from_bytes(sealed_key(number), self._store.read(sealed_key(number)))
            descriptors = epochs.descriptors(self._store, seal.parameters.descriptors)
            without: Counter[str] = Counter()
            quarantine = [
                part for copy in manifest.retained for part in self._load(copy, descriptors, without)
            ]
        except CorruptError as error:
            self._findings.add("unreadable", f"epoch {number}", str(error))
            return
        except NotFoundError:  # a copy that has expired since; what else can be missing has been said
            return
        counts = dict(self._db.execute("SELECT name, count(*) FROM came GROUP BY name").fetchall())
        counts |= {QUARANTINE: len(quarantine)} if quarantine else {}
        counts = Counter(counts) + without
        for name in sorted({*counts, *manifest.tables}):
            said = manifest.tables.get(name)
            total = said.published + said.duplicates + said.erased if said else 0
            self._findings.expect(
                total == counts.get(name, 0),
                "wrong_manifest",
                manifest_key(number),
                f"{counts.get(name, 0):,} deliveries of {name} were received, it accounts for {total:,}",
            )
            own = [file.key for file in manifest.files if file.table == name]
            if name == QUARANTINE:
                self._compare_quarantine(number, quarantine, own)
            else:
                self._compare(number, name, own)
        self._findings.proved["deliveries"] += manifest.received

    def _load(
        self, copy: SegmentRef, descriptors: bytes, without: Counter[str]
    ) -> Iterator[tuple[date, bytes]]:
        """Decodes retained deliveries: rows go into `came`, what is to be quarantined is yielded.

        What the copy says that it does not hold, because it was erased, is added to `without`.
        """
        segment = journal.decode(copy.key, self._store.read(copy.key))
        account = retained.Account.from_note(segment.note)
        without += account.erased() + Counter(account.suppressed)
        if not len(
            segment.deliveries
        ):  # also where no segment could be read, and nobody knows of which stream
            return
        source = segment.source
        decoded = decode(segment.deliveries, api=source.api, method=source.method, descriptors=descriptors)
        for name, rows in decoded.tables.items():
            # The second column tells apart the events of one moment: a sequence, or an event_id.
            came = {"name": pa.repeat(name, len(rows)), "timestamp": rows[0], "id": rows[1].cast(pa.string())}
            self._db.register("arrived", pa.table(came))
            self._db.execute("INSERT INTO came BY NAME FROM arrived")
            self._db.unregister("arrived")
        days = decoded.quarantine["date"].to_pylist()
        yield from zip(days, _identities(decoded.quarantine), strict=True)

    def _compare(self, number: int, name: str, own: list[str]) -> None:
        """The rows of a table that an epoch received, and those that its files hold."""
        days = self._db.execute(
            "SELECT timestamp::DATE, epoch_us(min(timestamp)), epoch_us(max(timestamp)) FROM came "
            "WHERE name = ? GROUP BY ALL ORDER BY ALL",
            [name],
        ).fetchall()
        for day, first, last in days:
            if len(self._usable(name, day)) == len(self._partitions.get((name, day), ())):
                keys = self._overlapping(name, day, first, last)
                when = f"timestamp BETWEEN make_timestamptz({first}) AND make_timestamptz({last})"
                self._expect_none(
                    "missing_row",
                    f"epoch {number}, tables/{name}/day={day}",
                    f"{_came(name)} AND {when}",
                    f"{self._events(keys)} WHERE {when}" if keys else f"{_came(name)} AND false",
                    "were received, and are not in the table",
                )
        usable = [key for key in own if key not in self._unusable]
        if usable:
            self._expect_none(
                "extra_row",
                f"epoch {number}, tables/{name}",
                self._events(usable),
                _came(name),
                "are in its files, and it did not receive them",
            )

    def _expect_none(self, kind: str, where: str, events: str, others: str, what: str) -> None:
        """Notes the events that are not among the others."""
        without = f"(SELECT timestamp, id FROM ({events})) EXCEPT (SELECT timestamp, id FROM ({others}))"
        found = self._ask(
            f"SELECT timestamp::VARCHAR, id, count(*) OVER () FROM ({without}) ORDER BY ALL LIMIT 1"
        )
        for timestamp, value, count in found:
            self._findings.add(kind, where, f"{count:,} events {what}, such as {value} at {timestamp}")

    def _compare_quarantine(self, number: int, came: list[tuple[date, bytes]], own: list[str]) -> None:
        """What an epoch quarantined is in its files; what it dropped, in those of an earlier epoch."""
        if any(key in self._unusable for key in own):
            return
        identities = {identity for _, identity in came}
        there = {identity for key in own for identity in self._quarantined(key)}
        missing, extra = identities - there, len(there - identities)
        days = {day + timedelta(days=days) for day, _ in came for days in (-1, 0, 1)}
        others = {key for day in days for key in self._usable(QUARANTINE, day)} - set(own)
        for key in sorted(others, key=_name, reverse=True):
            if not missing:
                break
            if _name(key) < f"{number:010d}":  # nearest first: most were redelivered at once
                missing -= set(self._quarantined(key))
        where = f"epoch {number}, quarantine"
        self._findings.expect(
            not missing,
            "missing_row",
            where,
            f"{len(missing):,} deliveries that cannot become a row are not there",
        )
        self._findings.expect(
            not extra, "extra_row", where, f"{extra:,} rows in its files were not received by it"
        )

    def _usable(self, table: str, day: date) -> list[str]:
        files = self._partitions.get((table, day))
        keys: list[str] = files["key"].to_pylist() if files is not None else []
        return [key for key in keys if key not in self._unusable]

    def _overlapping(self, table: str, day: date, first: int, last: int) -> list[str]:
        """A partition's files that can hold a row of a time range; of a day of small epochs, a few."""
        files = self._partitions.get((table, day))
        if files is None:
            return []
        lows, highs = (files[name].cast(pa.int64()) for name in ("min_timestamp", "max_timestamp"))
        near = pc.and_(pc.less_equal(lows, last), pc.greater_equal(highs, first))
        keys: list[str] = files["key"].filter(near).to_pylist()
        return keys

    def _ask(self, sql: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """The answer to what reads files, asked anew if an erasure replaces one meanwhile."""
        return self._files.ask(lambda connection: connection.execute(sql, parameters).fetchall())

    def _events(self, keys: list[str]) -> str:
        """SQL for the identities in some files of one table."""

        def names() -> list[str]:
            with self._store.open(keys[0]) as source:
                found: list[str] = pq.read_schema(source).names
                return found

        identity = while_unchanged(names)[1]
        uris = [self._store.uri(key) for key in keys]
        self._files.watch(uris)
        return (
            f"SELECT timestamp, {identity}::VARCHAR AS id, filename "
            f"FROM read_parquet([{', '.join(map(duck.literal, uris))}], "
            "filename = true, hive_partitioning = false, union_by_name = true)"
        )

    def _quarantined(self, key: str) -> list[bytes]:
        def identities() -> list[bytes]:
            with self._store.open(key) as source:
                batches = pq.ParquetFile(source).iter_batches(columns=["api", "method", "payload"])
                return [identity for batch in batches for identity in _identities(batch)]

        return while_unchanged(identities)


def _name(key: str) -> str:
    """Begins with the epoch's number."""
    return key.rpartition("/")[2]


def _came(name: str) -> str:
    return f"SELECT timestamp, id FROM came WHERE name = {duck.literal(name)}"


def _identities(quarantine: Any) -> Iterator[bytes]:
    columns = (quarantine[name].to_pylist() for name in ("api", "method", "payload"))
    for api, method, payload in zip(*columns, strict=True):
        yield f"{api} {method} ".encode() + quarantine_identity(payload, api)


def _partitions(files: pa.Table) -> Iterator[tuple[tuple[str, date], pa.Table]]:
    """Each table's files by date; they are sorted by key."""
    names = pc.binary_join_element_wise(files["table"], files["date"].cast(pa.string()), "/").combine_chunks()
    runs = pc.run_end_encode(names) if len(names) else None
    start = 0
    for name, end in zip(runs.values.to_pylist(), runs.run_ends.to_pylist(), strict=True) if runs else ():
        table, _, day = name.rpartition("/")
        yield (table, date.fromisoformat(day)), files.slice(start, end - start)
        start = end
