"""Who is to be erased, and up to when: from the revocations that were published, or by hand."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wgtwo_pipeline.erase.settings import ByHand
from wgtwo_pipeline.errors import AlreadyExistsError, ConfigurationError, NotFoundError
from wgtwo_pipeline.events import numbers
from wgtwo_pipeline.events.api import CONSENT_TABLES
from wgtwo_pipeline.lake import checkpoint, erasures, receipts
from wgtwo_pipeline.lake.erasures import Request, Until
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.layout import FilePath
from wgtwo_pipeline.lake.reading import while_unchanged
from wgtwo_pipeline.lake.receipts import Tenant
from wgtwo_pipeline.lake.store import Store

_MICROSECOND = timedelta(microseconds=1)
_COLUMNS = ("timestamp", "msisdn", "number", "owner_phone_number", "revoked", "added", "tenant")


@dataclass(frozen=True)
class Next:
    """What every new request says: its number, the last committed epoch, and how far revocations have been read."""

    erasure: int
    now: datetime
    committed: int
    read_through: int
    key: bytes
    country: str | None = None

    def request(self, cause: str, subjects: Mapping[str, Until], **more: Any) -> Request:
        """The request, of which the subjects and the cause are still to be said."""
        return Request(
            erasure=self.erasure,
            requested_at=self.now,
            cause=cause,
            committed=self.committed,
            **{"through": self.read_through, "country": self.country, "subjects": subjects, **more},
        )


def after(store: Store, past: History, now: datetime, key: bytes, country: str | None) -> Next:
    """For the erasure behind all that there are: finished ones, and maybe one that is open."""
    found = erasures.listing(store)
    through = 0
    if found.newest in found.receipts:
        through = receipts.read(store, found.newest).through
    elif found.newest:
        through = erasures.request(store, found.newest).through
    return Next(found.newest + 1, now, past.committed, through, key, country)


def of_revocations(store: Store, past: History, new: Next, grace: timedelta) -> Request | None:
    """What the revocations ask for that epochs since the last request published; None where there are none.

    Reads those files only, and later grants. Events go up to `grace` after a subject's last revocation, but not
    beyond the next grant that is known. A tenant's revocation is only noted: somebody has to answer it.
    """
    files = _consent_files(store, past)
    revocations: dict[str, datetime] = {}
    tenants: dict[str, Tenant] = {}
    for name in (name for name in files["key"].to_pylist() if _epoch(name) > new.read_through):
        for row in _rows(store, name):
            if not row.get("revoked", True):
                continue
            at = row["timestamp"]
            number = numbers.canonical(
                row.get("msisdn") or row.get("number") or row.get("owner_phone_number")
            )
            if number:
                token = numbers.token(number, new.key).hex()
                revocations[token] = max(at, revocations.get(token, at))
            elif row.get("tenant"):
                known = tenants.get(row["tenant"])
                tenants[row["tenant"]] = Tenant(row["tenant"], max(at, known.revoked_at) if known else at)
    if not revocations and not tenants:
        return None
    grants = _grants(store, files, revocations, new.key)
    subjects = {
        token: Until(min(at + grace, grants[token] - _MICROSECOND) if token in grants else at + grace, at)
        for token, at in revocations.items()
    }
    noted = tuple(sorted(tenants.values(), key=lambda one: one.tenant))
    return new.request("revocations", subjects, through=past.committed, tenants=noted)


def of_hand(
    new: Next, asked: ByHand, lines: Iterable[str], tenants: Iterable[Tenant], grace: timedelta
) -> Request:
    """What somebody asks for: the numbers in `lines`, or everybody's, up to `before` (else now).

    An answer to a tenant goes up to `grace` after its revocation (one of `tenants`, those that wait). Raises
    ConfigurationError, which names no number.
    """
    before, cause = asked.before or new.now, "numbers"
    if asked.tenant is not None:
        waiting = {each.tenant: each for each in tenants}
        if asked.tenant not in waiting and asked.before is None:
            names = ", ".join(sorted(waiting)) or "none waits"
            raise ConfigurationError(
                f"--tenant {asked.tenant}: no revocation by this tenant waits to be answered ({names}); with "
                "--before TIME it can be erased all the same"
            )
        before, cause = asked.before or waiting[asked.tenant].revoked_at + grace, "tenant"
    subjects = {} if asked.everyone else _numbers(lines, before, new.country, new.key)
    return new.request(
        cause,
        subjects,
        everywhere=asked.everywhere,
        everyone_until=before if asked.everyone else None,
        answers=asked.tenant,
    )


def keep(store: Store, asked: Request) -> bool:
    """Creates a request; False where somebody else was first with another one under its number."""
    try:
        store.create(erasures.request_key(asked.erasure), asked.to_bytes())
    except AlreadyExistsError:
        return False
    # Nobody's is there any more, too, where this one slept until it was over: no seal lists this one then, nothing
    # obeys it, and who deletes requests deletes it again.
    try:
        return receipts.read(store, asked.erasure).requested_at == asked.requested_at
    except NotFoundError:
        return True


def _numbers(lines: Iterable[str], before: datetime, country: str | None, key: bytes) -> Mapping[str, Until]:
    """The subjects of a file with a number a line; empty lines and what follows a `#` do not count."""
    found = {}
    for at, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        international = text.startswith(("+", "00")) or country is None
        number = numbers.canonical(text, "international" if international else "national", country)
        wordy = numbers.canonical(text, "text") is None
        if not number or wordy or not numbers.SHORTEST <= len(number) <= numbers.LONGEST:
            raise ConfigurationError(
                f"line {at} of --numbers is no phone number: write one a line with its country code, such as "
                "+<country><number>, or name the country code of all that lack one with --country"
            )
        found[numbers.token(number, key).hex()] = Until(before, before)
    if not found:
        raise ConfigurationError("--numbers has no number in it: write one a line")
    return found


def _consent_files(store: Store, past: History) -> pa.Table:
    """The files of the consents' tables, in order of their keys."""
    files = pa.concat_tables([past.base.read(store), checkpoint.files_of(past.manifests)])
    return files.filter(pc.is_in(files["table"], pa.array(CONSENT_TABLES.values()))).sort_by("key")


def _grants(
    store: Store, files: pa.Table, revocations: Mapping[str, datetime], key: bytes
) -> Mapping[str, datetime]:
    """When each was granted again, first after its revocation; v0 has no such event."""
    found: dict[str, datetime] = {}
    if revocations:
        late = pc.greater_equal(files["max_timestamp"], min(revocations.values()))
        of_v1 = pc.equal(files["table"], CONSENT_TABLES["v1"])
        for name in files.filter(pc.and_(late, of_v1))["key"].to_pylist():
            for row in _rows(store, name):
                number = numbers.canonical(row["number"]) if row["added"] is not None else None
                token = numbers.token(number, key).hex() if number else ""
                if token in revocations and row["timestamp"] > revocations[token]:
                    found[token] = min(row["timestamp"], found.get(token, row["timestamp"]))
    return found


def _rows(store: Store, name: str) -> Iterator[dict[str, Any]]:
    def read() -> pa.Table:
        with store.open(name) as source:
            parquet = pq.ParquetFile(source)
            return parquet.read([column for column in _COLUMNS if column in parquet.schema_arrow.names])

    for batch in while_unchanged(read).to_batches(max_chunksize=10_000):
        yield from batch.to_pylist()


def _epoch(key: str) -> int:
    path = FilePath.parse(key)
    return path.epoch if path else 0
