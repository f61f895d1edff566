"""Says which promises were broken, from the objects alone: shares no code with the pipeline.

Follows every object that is put or deleted and every ack that reaches the service, so that a promise that holds
at every moment is checked at every moment. Events are told apart by the number that stands in their bytes.

It is over 300 lines because its books are one: each promise is checked against what all the other objects said.
"""

import gzip
import hashlib
import io
import json
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
from erasures_seen import CONSENTS, Erasures, account_of_copy, account_of_file

_MARKER = re.compile(rb"ev-(\d{6})")
_SEGMENT = re.compile(r"journal/([^/]+)/\d{4}-\d\d-\d\d/\d\d/\d{8}T\d{6}\.\d{6}Z-[0-9a-f]+-\d+-(\d+)\.arrow")
_EPOCH = re.compile(r"epochs/(\d{10})/(sealed|manifest)\.json")
_TABLE = re.compile(r"tables/(\w+)/day=(\d{4}-\d\d-\d\d)(?:/hour=(\d\d))?/(\d{10})-(\d{3})\.parquet")
_QUARANTINE = re.compile(r"quarantine/day=(\d{4}-\d\d-\d\d)/(\d{10})(?:-(\d{3}))?\.parquet")
_RETAINED = re.compile(r"retained/(\d{10})-(\d{4})\.arrow")
_CHECKPOINT = re.compile(r"checkpoints/(\d{10})\.parquet")
_RECENT = re.compile(r"checkpoints/(\d{10})\.manifests\.gz")
_MARKED = {
    "voice": "call_id",
    "sms": "id",
    "consent_revoke": "service_id",
    "handset_change_v1": "imsi",
    "consent_change_v1": "added",
}
_TOTALS = ("received", "published", "duplicates", "quarantined", "erased")
_HISTORY = timedelta(minutes=30)
PUBLISH_EVERY = timedelta(seconds=60)
ENOUGH_ROWS = 4
_END = datetime(9999, 1, 1, tzinfo=UTC)
_START = datetime(1970, 1, 1, tzinfo=UTC)


class Checker:
    """`emitted()` gives what the service emitted, by number; `retention` is the shortest that anyone has chosen."""

    def __init__(self, emitted, retention):
        self._emitted, self._retention = emitted, retention
        self.violations: list[str] = []
        self._ever: dict[str, str] = {}  # key: digest; also of what was deleted
        self._former: dict[str, set[str]] = defaultdict(set)  # of a copy, before it was rewritten
        self._objects: dict[str, bytes] = {}
        self._segments: dict[str, list[int]] = {}  # key: numbers; also of what was deleted
        self._retained: dict[str, list[int]] = {}
        self._rows: dict[str, list[int]] = {}  # key of a table's or the quarantine's file: numbers
        self._where: dict[int, str] = {}  # number: the file that holds it
        self._seals: dict[int, dict] = {}
        self._manifests: dict[int, dict] = {}
        self._put_at: dict[str, datetime] = {}
        self._put_again: set[str] = set()
        self._gaps: list[tuple[datetime, datetime]] = []
        self._acked: set[int] = set()
        self.erasures = Erasures(self)
        self.deleted: set[str] = set()
        self.must_be_due = False
        """Whether what is sealed now must be worth an epoch."""

    def violation(self, text):
        self.violations.append(text)

    def _expect(self, holds, text):
        if not holds:
            self.violation(text)

    # What erasures ask.

    @property
    def objects(self):
        return self._objects

    @property
    def seals(self):
        return self._seals

    @property
    def manifests(self):
        return self._manifests

    def event(self, number):
        return self._emitted()[number]

    def held(self):
        """The numbers of the events in each file and copy that is there."""
        found = {**self._rows, **self._retained}
        return [(key, found[key]) for key in sorted(self._objects) if key in found]

    def is_revoked(self, number, *, for_good=False):
        """Whether an event's owner has revoked, up to its time or later, in a revocation that was received.

        `for_good`: and has not granted again before it, of which who erases may not have known.
        """
        event = self.event(number)
        grace = 0 if event.table in CONSENTS else 300_000_000
        hers = [each for each in self._emitted().values() if event.owner and each.owner == event.owner]
        granted = [each.timestamp_us for each in hers if for_good and each.table == "consent_change_v1"]
        return any(
            event.timestamp_us <= each.timestamp_us + grace
            and not any(each.timestamp_us < at <= event.timestamp_us for at in granted)
            for each in hers
            if each.table == "consent_revoke"
            and any(each.number in numbers for numbers in self._segments.values())
        )

    def came_in_time(self, number, epoch):
        """Whether an epoch was given an event while a revocation of its time would still be suppressing it.

        What comes later than that, a process having slept over it, nobody is to suppress any more: it is published.
        """
        last = _time(self.event(number).timestamp_us) + timedelta(seconds=self.erasures.suppress_seconds)
        came = [self._put_at[key] for key in self._members(epoch) if number in self._segments.get(key, ())]
        return min(came, default=_START) <= last

    # What happens.

    def put(self, key, data, now):
        digest = hashlib.sha256(data).hexdigest()
        same = self._ever.get(key, digest) == digest or digest in self._former[key]
        same = same or self.erasures.comes_too_late(key)
        self._expect(same, f"{key} changed its content")
        if key in self._ever and key not in self._objects:
            self._put_again.add(key)
        self._expect(key == "lake.json" or "lake.json" in self._objects, f"{key} is in a lake of no format")
        self._ever[key], self._objects[key], self._put_at[key] = digest, data, now
        self._read(key, data)

    def replaced(self, key, data, now):
        """An object has other content: what it has lost must be erased."""
        if _RETAINED.fullmatch(key):  # a zombie may bring it back when it has expired: it must go again
            self._former[key].add(self._ever[key])
        self._ever[key], self._objects[key] = hashlib.sha256(data).hexdigest(), data
        if key.startswith("subjects/"):
            self.erasures.index(key, data)
            return
        if _RETAINED.fullmatch(key):
            before, (metadata, after) = self._retained[key], self._numbers_of(key, data)
            account = account_of_copy(metadata)
            self._retained[key] = after
        else:
            marked = _MARKED.get(key.split("/")[1], "payload")
            rows = pq.read_table(io.BytesIO(data), partitioning=None)[marked].to_pylist()
            before, account = self._rows[key], account_of_file(data)
            after = [_number(row if isinstance(row, bytes) else f"{row}".encode()) for row in rows]
            self._rows[key] = after
            for number in set(before) - set(after):
                self._where.pop(number)
        self.erasures.replaced(key, before, after, account)

    def refused(self, key):
        """Someone tried to put other content under a key that is taken."""
        shaped = key.startswith(
            ("lake.json", "tables/", "quarantine/", "retained/", "journal/", "descriptors/")
        )
        erased = key in self.erasures.taken  # by somebody while this one was frozen
        self._expect(not shaped or erased, f"{key}: a redo made other content")

    def delete(self, key, now):
        del self._objects[key]
        self.deleted.add(key)
        if key.startswith("journal/"):
            covered = any(key in self._members(epoch) for epoch in self._manifests)
            self._expect(covered, f"{key} was deleted, no committed epoch covers it")
        elif match := _RETAINED.fullmatch(key):
            self._expect(int(match[1]) in self._manifests, f"{key} was deleted before its epoch is committed")
            age = now - self._put_at[key]
            old = age >= self._retention or key in self._put_again
            self._expect(old, f"{key} was deleted after {age}")
        elif key.startswith("checkpoints/"):
            kind = _CHECKPOINT if _CHECKPOINT.fullmatch(key) else _RECENT
            newer = any(kind.fullmatch(each) and each > key for each in self._objects)
            self._expect(newer, f"{key} was deleted, and it was the newest")
        elif key.startswith("erasures/"):
            self.erasures.deleted(key)
        else:
            self.violation(f"{key} was deleted")

    def acked(self, number):
        """An ack reached the service."""
        self._acked.add(number)
        journaled = any(number in self._segments[key] for key in self._objects if key in self._segments)
        kept = journaled or number in self._where or self.is_revoked(number)  # or erased since
        self._expect(kept, f"event {number} was acked and is not in the lake")

    def waiting(self):
        """Segments with deliveries that no committed epoch holds, and the open epoch."""
        found = [key for key in self._objects if key.startswith("journal/") and self._segments.get(key)]
        held = {key for epoch in self._manifests for key in self._members(epoch)}
        unpublished = [key for key in found if key not in held]
        return unpublished + [f"epoch {epoch}" for epoch in self._seals if epoch not in self._manifests]

    def none_is_due(self, since, now):
        """After publishing what is due: nothing is left of `since` that is old or much."""
        held = {key for epoch in self._manifests for key in self._members(epoch)}
        waiting = [key for key in self._objects if self._segments.get(key) and key not in held]
        there = [key for key in waiting if self._put_at[key] <= since]
        for key in there:
            self._expect(now - self._put_at[key] <= PUBLISH_EVERY, f"{key} waits although it is old")
        rows = sum(len(self._segments[key]) for key in there)
        self._expect(rows < ENOUGH_ROWS, f"{rows} deliveries wait, which are enough")

    def _is_due(self, members, now):
        """Whether an epoch of these is worth it."""
        full = [key for key in members if self._segments.get(key)]
        old = any(now - _named_at(key) >= PUBLISH_EVERY for key in full)
        return old or sum(len(self._segments[key]) for key in full) >= ENOUGH_ROWS

    def finish(self, lost):
        """At the end: everything is somewhere, once."""
        for number, event in self._emitted().items():
            if number in self._where or self.is_revoked(number):
                continue
            at = _time(event.timestamp_us)
            # What was gone before the lake knew of the subscription, nobody can know of.
            api = "v1" if event.table.endswith("_v1") else "v0"
            known = min((self._put_at[key] for key in self._segments if f"/{api}." in key), default=_END)
            before = at + _HISTORY < known
            covered = before or any(start <= at <= end for start, end in self._gaps)
            self._expect(
                number in lost and covered, f"event {number} ({event.table}) is in no table and in no gap"
            )
            self._expect(number not in self._acked, f"event {number} was acked and is lost")
        numbers = sorted(self._seals)
        self._expect(numbers == list(range(1, len(numbers) + 1)), f"epochs are sealed with a gap: {numbers}")
        self._expect(numbers == sorted(self._manifests), "an epoch is sealed and not committed")
        described = {file["key"] for manifest in self._manifests.values() for file in manifest["files"]}
        for key in self._rows:
            self._expect(key in described, f"{key} is in no manifest")
        self.erasures.finish()
        for key in self._segments:
            holding = [epoch for epoch in self._seals if key in self._members(epoch)]
            self._expect(len(holding) <= 1 or key in self._put_again, f"{key} is in epochs {holding}")

    # Each kind of object.

    def _read(self, key, data):
        for pattern, reader in (
            (_SEGMENT, self._segment),
            (_TABLE, self._table),
            (_QUARANTINE, self._quarantine),
            (_RETAINED, self._retained_copy),
            (_CHECKPOINT, self._checkpoint),
            (_RECENT, self._recent),
        ):
            if match := pattern.fullmatch(key):
                reader(key, data, match)
                return
        if match := _EPOCH.fullmatch(key):
            (self._seal if match[2] == "sealed" else self._manifest)(int(match[1]), json.loads(data))
            self.erasures.impersonal(key, data)
        elif key.startswith("gaps/"):
            record = json.loads(data)
            self._gaps.append(tuple(datetime.fromisoformat(record[name]) for name in ("from", "to")))
        elif key == "lake.json":
            self._expect(json.loads(data)["format"] == 2, f"{key} says {data}")
        elif key.startswith("descriptors/"):
            self._expect(hashlib.sha256(data).hexdigest() in key, f"{key} is not what its name says")
        elif key.startswith("subjects/"):
            self.erasures.index(key, data)
        elif not self.erasures.put(key, data):
            self.violation(f"{key} has no place in the lake")

    def _deliveries(self, key, data):
        metadata, numbers = self._numbers_of(key, data)
        return metadata[b"subscription"].decode(), numbers

    def _numbers_of(self, key, data):
        body, digest, magic = data[:-40], data[-40:-8], data[-8:]
        whole = magic == b"WG2SEG01" and hashlib.sha256(body).digest() == digest
        self._expect(whole, f"{key} is not a whole segment")
        with pa.ipc.open_stream(body) as stream:
            metadata, rows = stream.schema.metadata, stream.read_all()
        return metadata, [_number(each) for each in rows["payload"].to_pylist()]

    def _segment(self, key, data, match):
        subscription, numbers = self._deliveries(key, data)
        self._expect((subscription, len(numbers)) == (match[1], int(match[2])), f"{key} does not name itself")
        self._segments[key] = numbers

    def _retained_copy(self, key, data, match):
        self._retained[key] = self._deliveries(key, data)[1]
        self.erasures.published(key, int(match[1]), self._retained[key])

    def _table(self, key, data, match):
        rows = pq.read_table(io.BytesIO(data), partitioning=None)
        emitted, table = self._emitted(), match[1]
        numbers = [_number(f"{mark}".encode()) for mark in rows[_MARKED[table]].to_pylist()]
        times = rows["timestamp"].cast(pa.int64()).to_pylist()
        sequences = rows["sequence"].to_pylist() if "sequence" in rows.column_names else [None] * len(times)
        for number, time, sequence in zip(numbers, times, sequences, strict=True):
            event = emitted[number]
            same = event.table == table and event.timestamp_us == time and sequence in (None, event.sequence)
            self._expect(same, f"{key} has event {number} as another one: {event}")
            at = _time(time)
            partition = f"{at:%Y-%m-%d}", f"{at:%H}" if match[3] else None
            self._expect(partition == (match[2], match[3]), f"{key} has a row of {at}")
        self._expect(times == sorted(times), f"{key} is not sorted by time")
        self._expect({f"{day}" for day in rows["date"].to_pylist()} == {match[2]}, f"{key}: column date")
        self._new_rows(key, int(match[4]), numbers, match[3] is not None)

    def _quarantine(self, key, data, match):
        rows = pq.read_table(io.BytesIO(data), partitioning=None)
        numbers = [_number(payload) for payload in rows["payload"].to_pylist()]
        for number in numbers:
            table = self._emitted()[number].table
            self._expect(table == "quarantine", f"{key} has event {number} of {table}")
        days = {f"{at:%Y-%m-%d}" for at in rows["received_at"].to_pylist()}
        self._expect(days == {match[1]}, f"{key} has rows of {days}")
        self._new_rows(key, int(match[2]), numbers, None)

    def _new_rows(self, key, epoch, numbers, hourly):
        """What a reader sees from now on."""
        for number, times in Counter(numbers).items():
            self._expect(times == 1, f"{key} has event {number} {times} times")
            self._expect(
                number not in self._where, f"{key} has event {number}, as has {self._where.get(number)}"
            )
            self._where.setdefault(number, key)
        self._rows[key] = numbers
        self.erasures.published(key, epoch, numbers)
        if epoch not in self._seals:
            self.violation(f"{key} was written before epoch {epoch} was sealed")
            return
        self._expect(epoch not in self._manifests, f"{key} was written after epoch {epoch} was committed")
        parameters = self._seals[epoch]["parameters"]
        self._expect(len(numbers) <= parameters["rows_per_file"], f"{key} has {len(numbers)} rows")
        if hourly is not None:
            same = hourly == (parameters["partition_by"] == "hour")
            self._expect(same, f"{key} is not partitioned as epoch {epoch} was sealed")

    def _members(self, epoch):
        return [segment["key"] for segment in self._seals[epoch]["segments"]] if epoch in self._seals else []

    def _seal(self, epoch, seal):
        self._expect(epoch == len(self._seals) + 1, f"epoch {epoch} was sealed after {len(self._seals)}")
        self._expect(epoch == 1 or epoch - 1 in self._manifests, f"epoch {epoch} was sealed too early")
        self._seals[epoch] = seal
        digest = seal["parameters"]["descriptors"]
        self._expect(f"descriptors/{digest}.binpb" in self._objects, f"epoch {epoch} has no descriptors")
        members = self._members(epoch)
        self._expect(len(members) == len(set(members)), f"epoch {epoch} has a segment twice")
        self.erasures.sealed(epoch, seal)
        if self.must_be_due:
            now = datetime.fromisoformat(seal["sealed_at"])
            self._expect(self._is_due(members, now), f"epoch {epoch} was sealed although it could wait")
        for segment in seal["segments"]:
            key = segment["key"]
            self._expect(key in self._objects, f"epoch {epoch} seals {key}, which does not exist")
            earlier = [each for each in self._manifests if key in self._members(each)]
            self._expect(
                not earlier or key in self._put_again, f"epoch {epoch} seals {key} of epochs {earlier}"
            )
            rows, size = len(self._segments.get(key, ())), len(self._objects.get(key, b""))
            self._expect(
                (segment["rows"], segment["bytes"]) == (rows, size), f"epoch {epoch} misstates {key}"
            )

    def _manifest(self, epoch, manifest):
        self._expect(epoch in self._seals, f"epoch {epoch} was committed without a seal")
        self._expect(epoch == len(self._manifests) + 1, f"epoch {epoch} was committed out of turn")
        self._manifests[epoch] = manifest
        for kind in ("files", "retained"):
            for file in manifest[kind]:
                data = self._objects.get(file["key"])
                if data is None:
                    self.violation(f"epoch {epoch} was committed, {file['key']} does not exist")
                    return
                self._expect(file["bytes"] == len(data), f"epoch {epoch} misstates the size of {file['key']}")
        self._counts(epoch, manifest)
        self._files(epoch, manifest)

    def _counts(self, epoch, manifest):
        """What the manifest must say, from the segments that the epoch holds and the tables before it."""
        deliveries = Counter(n for key in self._members(epoch) for n in self._segments.get(key, ()))
        erased = {n for n in deliveries if self.erasures.names(n, self.erasures.listed(epoch))}
        retained = Counter(n for file in manifest["retained"] for n in self._retained[file["key"]])
        kept = Counter({n: times for n, times in deliveries.items() if n not in erased})
        self._expect(retained == kept, f"epoch {epoch}: the retained copies are not its deliveries")
        mine = {file["key"] for file in manifest["files"]}
        new = {n for n in kept if self._where.get(n) in mine or n not in self._where}
        expected, tables = Counter(), defaultdict(Counter)
        for number, times in deliveries.items():
            table = self._emitted()[number].table
            is_new = number in new
            expected["received"] += times
            if number in erased:
                tables[table]["erased"] += times
                expected["erased"] += times
                continue
            tables[table]["published"] += is_new
            tables[table]["duplicates"] += times - is_new
            expected["duplicates"] += times - is_new
            expected["quarantined" if table == "quarantine" else "published"] += is_new
        said = {name: manifest[name] for name in _TOTALS}
        wanted = {name: expected[name] for name in _TOTALS}
        self._expect(said == wanted, f"epoch {epoch} says {said}, the objects {wanted}")
        by_table = {
            name: {each: counts[each] for each in ("published", "duplicates", "erased")}
            for name, counts in tables.items()
        }
        self._expect(
            manifest["tables"] == by_table, f"epoch {epoch} says {manifest['tables']}, not {by_table}"
        )
        subscribed = sum(each["received"] for each in manifest["subscriptions"].values())
        self._expect(subscribed == said["received"], f"epoch {epoch}: its subscriptions do not add up")
        reasons = sum(manifest["reasons"].values())
        self._expect(reasons == said["quarantined"], f"epoch {epoch}: its reasons do not add up")
        written = {n for key in mine for n in self._rows.get(key, ())}
        self._expect(
            written == new, f"epoch {epoch}: {sorted(new)} are new, its files hold {sorted(written)}"
        )

    def _files(self, epoch, manifest):
        """That each file is what the manifest says, and that there is no other of this epoch."""
        for file in manifest["files"]:
            data, key = self._objects[file["key"]], file["key"]
            same = file["sha256"] == hashlib.sha256(data).hexdigest() and file["rows"] == len(self._rows[key])
            self._expect(same, f"epoch {epoch} misdescribes {key}")
            column = "received_at" if file["table"] == "quarantine" else "timestamp"
            times = pq.read_table(io.BytesIO(data), columns=[column], partitioning=None)[column].to_pylist()
            said = [datetime.fromisoformat(file[name]) for name in ("min_timestamp", "max_timestamp")]
            self._expect(said == [min(times), max(times)], f"epoch {epoch} misstates the times of {key}")
        listed = {file["key"] for file in manifest["files"]}
        pattern = f"/{epoch:010d}"
        unlisted = [key for key in self._rows if pattern in key and key not in listed]
        self._expect(not unlisted, f"epoch {epoch} was committed without {unlisted}")

    def _checkpoint(self, key, data, match):
        epoch = int(match[1])
        self._expect(epoch in self._manifests, f"{key} speaks of an epoch that is not committed")
        covered = [self._manifests[n] for n in range(1, epoch + 1) if n in self._manifests]
        table = pq.read_table(io.BytesIO(data))
        state = json.loads(table.schema.metadata[b"checkpoint"])
        files = sorted(file["key"] for manifest in covered for file in manifest["files"])
        self._expect(sorted(table["key"].to_pylist()) == files, f"{key} lists other files than the manifests")
        by_key = {file["key"]: file for manifest in covered for file in manifest["files"]}
        for row in table.to_pylist():
            file = by_key.get(row["key"], {})
            times = [row["min_timestamp"], row["max_timestamp"]]
            said = (
                [datetime.fromisoformat(file[n]) for n in ("min_timestamp", "max_timestamp")] if file else []
            )
            same = all(row[n] == file.get(n) for n in ("table", "rows", "bytes", "sha256")) and times == said
            self._expect(same and f"{row['date']}" == file.get("date"), f"{key} misdescribes {row['key']}")
        for name in _TOTALS:
            total = sum(manifest[name] for manifest in covered)
            self._expect(
                state["totals"][name] == total, f"{key} says {name} {state['totals'][name]}, not {total}"
            )

    def _recent(self, key, data, match):
        """All manifests since a checkpoint that was there, as they are."""
        said = [json.loads(each) for each in gzip.decompress(data).decode().split("\n\n")]
        last = int(match[1])
        first = last + 1 - len(said)
        checkpoints = [int(match[1]) for each in self._ever if (match := _CHECKPOINT.fullmatch(each))]
        self._expect(first - 1 in (0, *checkpoints), f"{key} begins with epoch {first}, after no checkpoint")
        theirs = [self._manifests.get(epoch) for epoch in range(first, last + 1)]
        self._expect(said == theirs, f"{key} says other than the manifests")


def _named_at(key):
    return datetime.fromisoformat(key.rpartition("/")[2].partition("-")[0])


def _number(payload):
    match = _MARKER.search(payload)
    return int(match[1]) if match else -1


def _time(microseconds):
    return _START + timedelta(microseconds=microseconds)
