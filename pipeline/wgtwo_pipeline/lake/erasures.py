"""Erasures: what is to be erased, what it is found in, and what was done. Numbered without a gap, one by one.

A request names its subjects by keyed tokens: it is personal data, and goes when it is no longer in force. A plan
names the objects that hold something of them. A receipt says what was done and stays for ever; it says of nobody who.
Everything here is created once by put-if-absent: what is there counts, whoever was first.
"""

import contextlib
import json
import re
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Self

import pyarrow as pa
import pyarrow.parquet as pq

from wgtwo_pipeline.errors import AlreadyExistsError, CorruptError, NotFoundError
from wgtwo_pipeline.events.forget import NEVER, Subjects
from wgtwo_pipeline.events.numbers import KEY_BYTES
from wgtwo_pipeline.lake import receipts
from wgtwo_pipeline.lake.manifest import Parameters, iso
from wgtwo_pipeline.lake.receipts import (
    FORMAT,
    ROOT,
    Tenant,
    check_format,
    tenants_from_json,
    tenants_to_json,
    to_parquet,
)
from wgtwo_pipeline.lake.store import Store

KEY = f"{ROOT}key"
FILE_METADATA = "wgtwo.erasures"
"""The key-value metadata in which a rewritten file says what each erasure took from it: rows and account are one."""

PLAN = pa.schema({"key": pa.string(), "table": pa.string(), "bytes": pa.int64(), "sha256": pa.string()})
"""The objects that hold something of an erasure, as they were when they were looked at."""
_OBJECT = re.compile(rf"{ROOT}(\d{{10}})/(request\.json|plan\.parquet|receipt\.parquet)")
_LOOKED_AT = b"wgtwo.looked_at"


def request_key(erasure: int) -> str:
    """Where the request is; gone once it is no longer in force."""
    return f"{ROOT}{erasure:010d}/request.json"


def plan_key(erasure: int) -> str:
    """Where the plan is; it goes with the request."""
    return f"{ROOT}{erasure:010d}/plan.parquet"


@dataclass(frozen=True)
class Until:
    """Up to when a subject's events go, and what it consented to or revoked; both included."""

    events: datetime
    consents: datetime


@dataclass(frozen=True)
class Request:
    """What to erase. `subjects` by token in hex. `committed` was the last committed epoch at the time."""

    erasure: int
    requested_at: datetime
    cause: str
    """`revocations`, `numbers` (by hand) or `tenant` (an answer to a tenant's revocation)."""
    committed: int
    through: int
    """Up to this epoch all revocations have been read, by this request or one before."""
    subjects: Mapping[str, Until] = field(default_factory=dict)
    everywhere: bool = False
    everyone_until: datetime | None = None
    country: str | None = None
    tenants: tuple[Tenant, ...] = ()
    """Revocations by tenants that were found with the others, for somebody to answer."""
    answers: str | None = None
    """The tenant whose revocations this one answers."""

    def to_bytes(self) -> bytes:
        """As stored."""
        raw = {
            **asdict(self),
            "requested_at": iso(self.requested_at),
            "subjects": {
                token: [iso(until.events), iso(until.consents)] for token, until in self.subjects.items()
            },
            "everyone_until": iso(self.everyone_until) if self.everyone_until else None,
            "tenants": tenants_to_json(self.tenants),
        }
        return (json.dumps({"format": FORMAT, **raw}, indent=1) + "\n").encode()

    @classmethod
    def from_bytes(cls, key: str, data: bytes | memoryview) -> Self:
        """Reads a request; raises CorruptError naming `key`, and nothing of what it holds."""
        try:
            raw = json.loads(bytes(data))
            check_format(key, raw.pop("format"))
            time = datetime.fromisoformat
            everyone = raw["everyone_until"]
            return cls(
                **{
                    **raw,
                    "requested_at": time(raw["requested_at"]),
                    "subjects": {token: Until(*map(time, until)) for token, until in raw["subjects"].items()},
                    "everyone_until": time(everyone) if everyone else None,
                    "tenants": tenants_from_json(raw["tenants"]),
                }
            )
        except (ValueError, KeyError, TypeError, AttributeError):
            raise CorruptError(
                f"{key} is not a request that can be read; restore it from a version or copy of the bucket"
            ) from None


@dataclass(frozen=True)
class Listing:
    """Which erasures have a request, a plan and a receipt; `requested_at` by the storage's clock."""

    requests: Mapping[int, datetime]
    plans: frozenset[int]
    receipts: frozenset[int]

    @property
    def newest(self) -> int:
        """The highest number so far; 0 before the first."""
        return max((*self.requests, *self.receipts), default=0)

    @property
    def open(self) -> int | None:
        """The erasure that is not finished: there is at most one."""
        return next((number for number in sorted(self.requests) if number not in self.receipts), None)


def listing(store: Store) -> Listing:
    """Looks which there are."""
    found: dict[str, dict[int, datetime]] = {"request.json": {}, "plan.parquet": {}, "receipt.parquet": {}}
    for info in store.list(ROOT):
        match = _OBJECT.fullmatch(info.key)
        if match:
            found[match[2]][int(match[1])] = info.modified
    return Listing(
        found["request.json"], frozenset(found["plan.parquet"]), frozenset(found["receipt.parquet"])
    )


def key(store: Store) -> bytes:
    """The key of this lake's tokens, made now if it had none."""
    with contextlib.suppress(NotFoundError):
        return bytes(store.read(KEY))
    with contextlib.suppress(AlreadyExistsError):
        store.create(KEY, secrets.token_bytes(KEY_BYTES))
    return bytes(store.read(KEY))


def request(store: Store, erasure: int) -> Request:
    """The request of this number; raises NotFoundError or CorruptError."""
    return Request.from_bytes(request_key(erasure), store.read(request_key(erasure)))


@dataclass(frozen=True)
class Plan:
    """The objects to rewrite, in the schema PLAN, and how many were looked at to find them."""

    objects: pa.Table
    looked_at: int


def plan(store: Store, erasure: int) -> Plan:
    """The plan of this number; raises NotFoundError."""
    found = pq.read_table(pa.BufferReader(store.read(plan_key(erasure))))
    return Plan(found.replace_schema_metadata(None).cast(PLAN), int(found.schema.metadata[_LOOKED_AT]))


def keep_plan(store: Store, erasure: int, new: Plan) -> Plan:
    """Creates the plan; returns the one that counts."""
    objects = new.objects.sort_by("key").replace_schema_metadata({_LOOKED_AT: str(new.looked_at)})
    with contextlib.suppress(AlreadyExistsError):
        store.create(plan_key(erasure), to_parquet(objects))
    return plan(store, erasure)


@lru_cache(maxsize=4)
def subjects(store: Store, erasures: tuple[int, ...]) -> Subjects:
    """Everybody whom these requests name, each up to the latest time that any says. Raises NotFoundError."""
    if not erasures:
        return Subjects(b"")
    found = Subjects(key(store))
    for number in erasures:
        found = _plus(found, request(store, number))
    return found


def pending(store: Store) -> Subjects:
    """Everybody whom a request names now, whether a seal lists it already or the next one will."""
    try:
        return subjects(store, tuple(sorted(listing(store).requests)))
    except NotFoundError:  # one has gone since
        return subjects(store, tuple(sorted(listing(store).requests)))


def of_request(asked: Request, token_key: bytes) -> Subjects:
    """Whom one request names."""
    return _plus(Subjects(token_key), asked)


def _plus(found: Subjects, asked: Request) -> Subjects:
    until = {bytes.fromhex(token): _us(each.events) for token, each in asked.subjects.items()}
    consents = {bytes.fromhex(token): _us(each.consents) for token, each in asked.subjects.items()}
    everyone = _us(asked.everyone_until) if asked.everyone_until else NEVER
    return replace(
        found,
        until_us=_latest(found.until_us, until),
        consents_until_us=_latest(found.consents_until_us, consents),
        everywhere_until_us=_latest(found.everywhere_until_us, until if asked.everywhere else {}),
        everyone_until_us=max(found.everyone_until_us, everyone),
        countries=tuple(sorted({*found.countries, *([asked.country] if asked.country else [])})),
    )


def in_force(found: Listing, last: Parameters, suppress_for: timedelta, now: datetime) -> Parameters:
    """The erasures that the next seal lists, in otherwise empty parameters; `last` are those of the seal before it.

    One goes on being listed until it is finished and `suppress_for` old. One that a seal has dropped never comes
    back: its request may be deleted by now, or at any moment.
    """
    kept = tuple(
        number
        for number, requested_at in sorted(found.requests.items())
        if (number in last.erasures or number > last.newest_erasure)
        and (number not in found.receipts or now - requested_at <= suppress_for)
    )
    return Parameters("", erasures=kept, newest_erasure=max((last.newest_erasure, *kept)))


def horizon(store: Store, last: Parameters) -> datetime | None:
    """Segments named older than this may hold what was erased and is no longer suppressed; None: nothing expired.

    `last` is the newest committed seal. When the newest of the erasures that it no longer lists was requested.
    """
    gone = set(range(1, last.newest_erasure + 1)) - {*last.erasures}
    return receipts.read(store, max(gone)).requested_at if gone else None


def account(metadata: Mapping[bytes, bytes] | None) -> dict[int, int]:
    """What a file's key-value metadata say that erasures took from it: rows by the erasure's number."""
    said = json.loads((metadata or {}).get(FILE_METADATA.encode(), b"[]"))
    return {each["erasure"]: each["rows"] for each in said}


def _latest(one: Mapping[bytes, int], other: Mapping[bytes, int]) -> Mapping[bytes, int]:
    return {**one, **{token: max(until, one.get(token, until)) for token, until in other.items()}}


def _us(time: datetime) -> int:
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)
