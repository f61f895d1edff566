"""What erasures may do, judged from the objects alone; shares no code with the pipeline.

An event's owner is known to who emitted it. Whom a request names is found as its tokens say: BLAKE2b of the number's
digits with the lake's key.
"""

import hashlib
import io
import json
import re
from collections import Counter
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

_OBJECT = re.compile(r"erasures/(\d{10})/(request\.json|plan\.parquet|receipt\.parquet)")
_EPOCH = re.compile(r"/(\d{10})-?\d*\.(?:parquet|arrow)$")
_SEGMENT_TIME = re.compile(r"/(\d{8}T\d{6}\.\d{6}Z)-[^/]+$")
CONSENTS = ("consent_revoke", "consent_change_v1")
_MICROSECONDS = pa.timestamp("us", "UTC")


class Erasures:
    """The part of the checker that follows requests, plans, receipts and replaced objects."""

    def __init__(self, checker):
        self._checker = checker
        self.key = None
        self.suppress_seconds = 0.0
        self.requests: dict[int, dict] = {}  # also of deleted ones
        self.there: set[int] = set()
        self.plans: dict[int, list[str]] = {}
        self.receipts: dict[int, dict] = {}
        self.taken: dict[str, Counter] = {}  # by key: how many rows each erasure has taken
        self.indexed: dict[str, set[tuple[str, int]]] = {}  # by key of the index's parts: token and epoch

    def expect(self, holds, text):
        if not holds:
            self._checker.violation(text)

    def names(self, number, erasures):
        """Whether one of these requests names the owner of an event, up to its time or later."""
        event = self._checker.event(number)
        if not event.owner:
            return False
        token = self._token(event)
        of_consents = event.table in CONSENTS
        for erasure in erasures:
            until = self.requests.get(erasure, {}).get("subjects", {}).get(token)
            if until and event.timestamp_us <= _us(until[of_consents]):
                return True
        return False

    def _token(self, event):
        digits = event.owner.removeprefix("+").encode()
        return hashlib.blake2b(digits, key=self.key or b"", digest_size=8).hexdigest()

    def listed(self, epoch):
        """The erasures that the seal of an epoch lists."""
        return self._checker.seals[epoch]["parameters"]["erasures"] if epoch in self._checker.seals else []

    def first_clean_epoch(self, erasure):
        """The first committed epoch whose seal lists it; None if there is none."""
        return next((n for n in sorted(self._checker.manifests) if erasure in self.listed(n)), None)

    def comes_too_late(self, key):
        """Whether this is a request of somebody who slept until another one of its number was over and deleted."""
        match = _OBJECT.fullmatch(key)
        return bool(match) and key.endswith("request.json") and int(match[1]) in {*self.receipts} - self.there

    # What happens.

    def put(self, key, data):
        """A new object of `erasures/`; returns whether it is one."""
        if key == "erasures/key":
            self.expect(len(data) == 32, "the key is not 32 bytes")
            self.key = data
            return True
        match = _OBJECT.fullmatch(key)
        if not match:
            return False
        number = int(match[1])
        getattr(self, "_" + match[2].partition(".")[0])(number, data)
        return True

    def _request(self, number, data):
        if number in self.requests:
            return  # a store that repeats a put
        self.expect(number == len(self.requests) + 1, f"erasure {number} was requested out of turn")
        self.expect(number == 1 or number - 1 in self.receipts, f"erasure {number} was requested too early")
        self.requests[number] = json.loads(data)
        self.there.add(number)
        for event in self._granted(self.requests[number]["committed"]):
            until = self.requests[number]["subjects"].get(self._token(event))
            beyond = until and _us(until[1]) < event.timestamp_us <= _us(until[0])
            self.expect(not beyond, f"erasure {number} goes beyond {event}, who has granted again")

    def _granted(self, through):
        """The grants that the epochs up to this one published."""
        return [
            self._checker.event(number)
            for key, numbers in self._checker.held()
            if key.startswith("tables/consent_change_v1/") and int(_EPOCH.search(key)[1]) <= through
            for number in numbers
        ]

    def _plan(self, number, data):
        first = self.first_clean_epoch(number)
        self.expect(first is not None, f"erasure {number} was planned before a committed epoch lists it")
        keys = pq.read_table(io.BytesIO(data))["key"].to_pylist()
        self.plans.setdefault(number, keys)
        for key, numbers in self._checker.held():
            epoch = int(_EPOCH.search(key)[1])
            hers = any(self.names(n, [number]) for n in numbers)
            if first is not None and epoch < first:
                self.expect(not hers or key in keys, f"the plan of erasure {number} misses {key}")

    def _receipt(self, number, data):
        self.expect(number in self.plans, f"erasure {number} has a receipt and no plan")
        first = self.first_clean_epoch(number) or 0
        for key, numbers in self._checker.held():
            epoch = int(_EPOCH.search(key)[1])
            if epoch in self._checker.manifests:
                left = [n for n in numbers if self.names(n, [number])]
                self.expect(not left, f"after the receipt of erasure {number} {key} holds {left}")
        table = pq.read_table(io.BytesIO(data))
        said = json.loads(table.schema.metadata[b"wgtwo.receipt"])
        rows = Counter()
        for key, taken in self.taken.items():
            if taken[number] and not key.startswith("retained/"):
                rows[key.split("/")[1] if key.startswith("tables/") else "quarantine"] += taken[number]
        self.expect(said["erased"] == dict(rows), f"receipt {number} says {said['erased']}, not {dict(rows)}")
        self.expect(said["first_clean_epoch"] == first, f"receipt {number}: first clean epoch")
        for row in table.to_pylist():
            now = self._checker.objects.get(row["key"])
            if now is not None and row["key"] not in self._checker.deleted:
                same = row["sha256"] == hashlib.sha256(now).hexdigest()
                self.expect(same, f"receipt {number} misdescribes {row['key']}")
        self.impersonal(f"receipt {number}", data)
        self.receipts[number] = said
        for part, rows in self.indexed.items():
            self._names_nobody_erased(part, rows)

    def index(self, key, data):
        """A part of the index, new or other than before: it misses nobody, and brings nobody back."""
        table = pq.read_table(io.BytesIO(data))
        through = json.loads(table.schema.metadata[b"wgtwo.index"])["through"]
        rows = {(token.hex(), epoch) for token, epoch in zip(*table.to_pydict().values(), strict=True)}
        epochs = range(int(key[len("subjects/") : -len(".parquet")]), through + 1)
        final = all(epoch in self._checker.manifests for epoch in epochs)
        self.expect(final, f"{key} speaks of an epoch that is not committed")
        missed = {(token, epoch) for token, epoch in self._in_tables() - rows if epoch in epochs}
        self.expect(not missed, f"{key} misses {missed}")
        self.indexed[key] = rows
        self._names_nobody_erased(key, rows)

    def _names_nobody_erased(self, key, rows):
        over = [(self.requests[n]["subjects"], self.first_clean_epoch(n)) for n in self.receipts]
        left = [
            (token, epoch)
            for token, epoch in rows - self._in_tables()
            if any(token in subjects and epoch < first for subjects, first in over)
        ]
        self.expect(not left, f"{key} names {left}, who are erased")

    def _in_tables(self):
        """Whose events the tables' files of which epochs hold."""
        return {
            (self._token(event), int(_EPOCH.search(key)[1]))
            for key, numbers in self._checker.held()
            if key.startswith("tables/")
            for event in map(self._checker.event, numbers)
            if event.owner
        }

    def impersonal(self, what, data):
        """Nothing that stays for ever holds a number or a token."""
        for request in self.requests.values():
            for token in request["subjects"]:
                told = token.encode() in data or bytes.fromhex(token) in data
                self.expect(not told, f"{what} holds a token")
        self.expect(b"47900000" not in data, f"{what} holds a number")

    def replaced(self, key, before, after, account):
        """An object has other content under its key: `before` and `after` are the numbers of its events."""
        open_ = [n for n in self.requests if n not in self.receipts and key in self.plans.get(n, ())]
        epoch = int(_EPOCH.search(key)[1])
        first = self.first_clean_epoch(open_[0]) if open_ else None
        self.expect(first is not None and epoch < first, f"{key} was replaced, and no open plan names it")
        gone, new = Counter(before) - Counter(after), Counter(after) - Counter(before)
        self.expect(not new, f"{key} got {new} when it was replaced")
        wrong = [n for n in gone if not self.names(n, open_)]
        self.expect(not wrong, f"{key} lost {wrong}, whom nobody erased")
        left = [n for n in after if self.names(n, open_)]
        self.expect(not left, f"{key} was rewritten and still holds {left}")
        taken = self.taken.setdefault(key, Counter())
        taken[open_[0] if open_ else 0] += sum(gone.values())
        self.expect(account == dict(taken), f"{key} says that it lost {account}, not {dict(taken)}")

    def published(self, key, epoch, numbers):
        """A new file or copy: nothing that the seal says to suppress."""
        left = [n for n in numbers if self.names(n, self.listed(epoch))]
        self.expect(not left, f"{key} was published with {left}, whom its seal lists as erased")

    def sealed(self, epoch, seal):
        """Requests in force are there, unfinished ones stay in force, one that was dropped never comes back."""
        now = seal["parameters"]["erasures"]
        before = self.listed(epoch - 1)
        ever = {n for other in range(1, epoch) for n in self.listed(other)}
        for number in now:
            self.expect(number in self.there, f"epoch {epoch} lists erasure {number}, whose request is gone")
            back = number in ever and number not in before
            self.expect(not back, f"epoch {epoch} lists erasure {number} again")
        over = [_us(self.requests[n]["requested_at"]) for n in ever if n not in before]
        for segment in seal["segments"]:
            named = datetime.fromisoformat(_SEGMENT_TIME.search(segment["key"])[1])
            named_at = round(named.timestamp() * 1_000_000)
            late = named_at < max(over, default=0)
            self.expect(not late, f"epoch {epoch} seals {segment['key']}, from before what is over")
        for number in before:
            if number not in now:
                asked = _us(self.requests[number]["requested_at"])
                old = _us(seal["sealed_at"]) - asked > self.suppress_seconds * 1_000_000
                over = old and number in self.receipts
                self.expect(over, f"epoch {epoch} drops erasure {number}, which is young or not finished")

    def deleted(self, key):
        """Only what is finished and no longer in force."""
        match = _OBJECT.fullmatch(key)
        if not match or match[2].startswith("receipt"):
            self._checker.violation(f"{key} was deleted")
            return
        number, last = int(match[1]), max(self._checker.seals, default=0)
        over = number in self.receipts and number not in self.listed(last)
        self.expect(over and last in self._checker.manifests, f"{key} was deleted while it is in force")
        if match[2].startswith("request"):
            self.there.discard(number)

    def finish(self):
        """At the end all revocations are obeyed, and nothing of whom they name is left."""
        open_ = [number for number in self.requests if number not in self.receipts]
        self.expect(not open_, f"erasures {open_} are not finished")
        last = max(self._checker.seals, default=0)
        asked = [
            int(match[1])
            for match in map(_OBJECT.fullmatch, self._checker.objects)
            if match and match[2] == "request.json"
        ]
        over = [number for number in asked if number in self.receipts and number not in self.listed(last)]
        self.expect(not over, f"requests {over} are there although no seal lists them")
        for key, numbers in self._checker.held():
            epoch = int(_EPOCH.search(key)[1])
            revoked = [n for n in numbers if self._checker.is_revoked(n, for_good=True)]
            left = [n for n in revoked if self._checker.came_in_time(n, epoch)]
            self.expect(not left, f"{key} holds {left}, whose owner has revoked")
        for key, taken in self.taken.items():
            self.expect(all(number in self.receipts for number in taken), f"{key} was taken from: {taken}")


def account_of_file(data):
    """What a Parquet file says that erasures took from it."""
    said = json.loads((pq.read_schema(io.BytesIO(data)).metadata or {}).get(b"wgtwo.erasures", b"[]"))
    return {each["erasure"]: each["rows"] for each in said}


def account_of_copy(metadata):
    """What a retained copy says that erasures took from it."""
    note = json.loads(metadata.get(b"note", b"[]"))
    said = note["erasures"] if isinstance(note, dict) else []
    return {each["erasure"]: sum(each["erased"].values()) for each in said}


def _us(text):
    return pa.scalar(text.removesuffix("Z")).cast(pa.timestamp("us")).cast(pa.int64()).as_py()
