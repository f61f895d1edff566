"""What an erasure takes away, and nothing else: the events of its subjects, up to the time that each is erased to.

One pure function for whoever publishes, erases or audits, so that they cannot disagree. Idempotent; the rows that
stay keep their order and, but for blanked numbers, every value.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from wgtwo_pipeline.events import numbers
from wgtwo_pipeline.events.api import HISTORY
from wgtwo_pipeline.events.decode import Decoded, decode
from wgtwo_pipeline.events.members import Rows
from wgtwo_pipeline.events.messages import Mask
from wgtwo_pipeline.events.numbers import Kind
from wgtwo_pipeline.events.owners import QUARANTINED, Whose, owners

QUARANTINE = "quarantine"
NEVER = int(np.iinfo(np.int64).min)

_MICROSECOND = timedelta(microseconds=1)

_SOME_DIGITS = f"[0-9]{{{numbers.SHORTEST},}}"
_DIGITS, _DIGIT_BYTES = re.compile(_SOME_DIGITS, re.ASCII), re.compile(_SOME_DIGITS.encode())


@dataclass(frozen=True)
class Subjects:
    """Whose events go, by the token of their number, and up to when: microseconds since 1970, included.

    `consents_until_us`: the same for what they consented to and revoked, up to the revocation that is obeyed: a later
    one is still to be obeyed. `everywhere_until_us`: whose number is also blanked in the events of others.
    `everyone_until_us`: up to when everybody's go, if anybody's. `countries`: whose country codes a national number
    may lack.
    """

    key: bytes
    until_us: Mapping[bytes, int] = field(default_factory=dict)
    consents_until_us: Mapping[bytes, int] = field(default_factory=dict)
    everywhere_until_us: Mapping[bytes, int] = field(default_factory=dict)
    everyone_until_us: int = NEVER
    countries: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.until_us or self.everywhere_until_us or self.everyone_until_us != NEVER)

    @property
    def latest_us(self) -> int:
        """No event that came later goes."""
        return max([self.everyone_until_us, *self.until_us.values(), *self.consents_until_us.values()])

    def until(self, text: str | None, kind: Kind, of: Mapping[bytes, int]) -> int:
        """Up to when `of` says for this number, as a column of `kind` has it; NEVER where it says nothing.

        Where a national number may stand, one with its country code is taken for what it is, too.
        """
        forms = {numbers.canonical(text, "text" if kind == "text" else "international")}
        if kind != "international" and forms != {None}:
            forms |= {numbers.canonical(text, "national", country) for country in self.countries}
        return max((of.get(numbers.token(form, self.key), NEVER) for form in forms if form), default=NEVER)


class Forgotten(NamedTuple):
    """The rows that stay; how many went, and in how many that stay the number of a subject was blanked."""

    rows: pa.Table
    erased: int
    blanked: int


@dataclass(frozen=True)
class _Found:
    """Which rows go, and of those that stay which change, with the columns as they are then."""

    erased: Mask
    blanked: Mask
    columns: Mapping[str, pa.ChunkedArray]


def forget(rows: pa.Table, whose: Whose, subjects: Subjects) -> Forgotten:
    """What stays of rows of a table or of the quarantine. Columns that `rows` lack count as null. Pure."""
    return _without(rows, _find(rows, whose, subjects))


def _without(rows: pa.Table, found: _Found) -> Forgotten:
    for name, column in found.columns.items():
        at = rows.schema.get_field_index(name)
        rows = rows.set_column(at, rows.schema.field(at), column)
    erased, blanked = int(found.erased.sum()), int(found.blanked.sum())
    return Forgotten(rows.filter(pa.array(~found.erased)) if erased else rows, erased, blanked)


def _find(rows: pa.Table, whose: Whose, subjects: Subjects) -> _Found:
    """What `forget` would take from these rows, and blank in them."""
    none = np.zeros(len(rows), bool)
    if not subjects or not len(rows):
        return _Found(none, none, {})
    if whose.payload is not None:
        return _Found(_quarantined(rows, whose.payload, subjects), none, {})
    times = _integers(rows["timestamp"])
    if not subjects.everywhere_until_us and times.min() > subjects.latest_us:
        return _Found(none, none, {})  # as almost all that is published: it costs nothing
    erased = times <= _owned_until(rows, whose, subjects)
    if not subjects.everywhere_until_us:
        return _Found(erased, none, {})
    blanked, columns = _blank(rows, whose, subjects, times, ~erased)
    return _Found(erased, blanked, columns)


def _owned_until(rows: pa.Table, whose: Whose, subjects: Subjects) -> Rows:
    """Up to when events of each row's owner go."""

    def look(name: str) -> tuple[Rows, Mask]:
        kind = whose.numbers[name]
        of = subjects.consents_until_us if whose.of_consents else subjects.until_us
        until = _by_value(rows[name], partial(subjects.until, kind=kind, of=of))
        return until, np.asarray(pc.fill_null(pc.not_equal(rows[name], ""), False))

    until, somebodys = np.full(len(rows), NEVER), np.zeros(len(rows), bool)
    there = {name for name in whose.numbers if name in rows.column_names}
    if whose.owner in there:
        until, somebodys = look(whose.owner)
    ownerless = ~somebodys
    for side, names in whose.sides.items():
        mine = ownerless & _is_of(rows, whose, side)
        for name in there.intersection(names) if mine.any() else ():
            until_this, is_set = look(name)
            until = np.where(mine, np.maximum(until, until_this), until)
            somebodys |= mine & is_set
    return np.where(somebodys, np.maximum(until, subjects.everyone_until_us), until)


def _is_of(rows: pa.Table, whose: Whose, side: str) -> Mask:
    """Whether the direction names this side, or none."""
    if whose.direction not in rows.column_names:
        return np.ones(len(rows), bool)
    named = pa.array([value for value, of in whose.directions.items() if of != side], pa.string())
    return ~np.asarray(pc.is_in(rows[whose.direction], value_set=named))


def _blank(
    rows: pa.Table, whose: Whose, subjects: Subjects, times: Rows, stays: Mask
) -> tuple[Mask, dict[str, pa.ChunkedArray]]:
    """In rows that stay: numbers become null, digits in other texts are masked; what is masked already, null."""
    blanked = np.zeros(len(rows), bool)
    columns = {}
    for name in whose.numbers.keys() & {*rows.column_names}:
        look = partial(subjects.until, kind=whose.numbers[name], of=subjects.everywhere_until_us)
        goes = stays & (times <= _by_value(rows[name], look))
        masked = _by_value(rows[name], lambda text: int(numbers.is_masked(text or ""))) == 1
        if (goes | masked).any():
            columns[name] = pc.if_else(pa.array(~(goes | masked)), rows[name], None)
            blanked |= goes
    for name in [name for name in whose.texts if name in rows.column_names]:
        column = columns.get(name, rows[name]).combine_chunks()
        mentions = np.asarray(pc.fill_null(pc.match_substring_regex(column, _SOME_DIGITS), False))
        changed = np.zeros(len(rows), bool)
        values = []
        for row in np.flatnonzero(mentions & stays).tolist():
            text = _masked(before := column[row].as_py(), subjects, int(times[row]))
            if text != before:
                changed[row] = True
                values.append(text)
        if values:
            new = pa.array(values, column.type)
            columns[name] = pa.chunked_array([pc.replace_with_mask(column, pa.array(changed), new)])
            blanked |= changed
    return blanked, columns


def _masked(text: Any, subjects: Subjects, time: int) -> Any:
    """A text, or bytes, without the digits of a subject's number."""

    def change(found: re.Match[Any]) -> Any:
        digits = found[0] if isinstance(found[0], str) else found[0].decode()
        goes = time <= subjects.until(digits, "text", subjects.everywhere_until_us)
        masked = numbers.mask(digits) if goes else digits
        return masked if isinstance(text, str) else masked.encode()

    return (_DIGITS if isinstance(text, str) else _DIGIT_BYTES).sub(change, text)


def _quarantined(rows: pa.Table, payload: str, subjects: Subjects) -> Mask:
    """Which quarantined deliveries hold a subject's number; nobody can tell whose they are, so each of these goes.

    One that does not say when it happened may have happened at any time that the service still kept it.
    """
    received = _integers(rows["received_at"]) - HISTORY // _MICROSECOND
    known = np.asarray(rows["timestamp"].is_valid())
    times = np.where(known, _integers(pc.fill_null(rows["timestamp"].cast(pa.int64()), 0)), received)
    both = dict(subjects.everywhere_until_us)
    for token, owned_until in subjects.until_us.items():
        both[token] = max(owned_until, both.get(token, NEVER))
    said = [
        [subjects.until(text.decode(), "text", both) for text in numbers.in_bytes(data)]
        for data in rows[payload].to_pylist()
    ]
    until = np.array([max(found, default=NEVER) for found in said])
    goes: Mask = times <= np.maximum(until, subjects.everyone_until_us)
    return goes


def _by_value(column: pa.ChunkedArray, function: Callable[[str | None], int]) -> Rows:
    """The integer of each value of a column of texts, found once for each distinct one; NEVER where it is null."""
    encoded = column.combine_chunks().dictionary_encode()
    found = np.array([*(function(text) for text in encoded.dictionary.to_pylist()), NEVER], np.int64)
    of_rows: Rows = found[np.asarray(pc.fill_null(encoded.indices, -1))]
    return of_rows


def _integers(times: pa.ChunkedArray) -> Rows:
    return np.asarray(times.cast(pa.int64()))


@dataclass(frozen=True)
class Suppressed:
    """Deliveries without what is erased, their rows, and how many went (`erased`) or changed, by table."""

    deliveries: pa.RecordBatch
    decoded: Decoded | None = None
    """None where nobody had to be forgotten, and so nothing to be decoded."""
    erased: Mapping[str, int] = field(default_factory=dict)
    blanked: Mapping[str, int] = field(default_factory=dict)


def suppress(
    deliveries: pa.RecordBatch,
    subjects: Subjects,
    *,
    api: str,
    method: str,
    descriptors: bytes,
) -> Suppressed:
    """Decodes deliveries of one stream and forgets the subjects in their rows and in their bytes.

    The deliveries that stay have the same identity as before, and as many bytes: a number that is blanked in a row is
    masked in its delivery, so decoding what stays gives the rows that stay. Pure. Raises what `decode` raises.
    """

    def read(of: pa.RecordBatch) -> Decoded:
        return decode(of, api=api, method=method, descriptors=descriptors)

    decoded = read(deliveries)
    if not subjects:
        return Suppressed(deliveries, decoded)
    rules = {**owners(descriptors), QUARANTINE: QUARANTINED}
    erased: dict[str, int] = {}
    blanked: dict[str, int] = {}
    gone = np.zeros(len(deliveries), bool)
    masked: dict[int, bytes] = {}
    left: dict[str, pa.Table] = {}
    for name, rows in [*decoded.tables.items(), (QUARANTINE, decoded.quarantine)]:
        found, at = _find(rows, rules[name], subjects), decoded.positions[name]
        gone[at[found.erased]] = True
        for row in np.flatnonzero(found.blanked).tolist():
            payload = deliveries["payload"][int(at[row])].as_py()
            masked[int(at[row])] = _mask_payload(payload, rows, found, row)
        left[name], erased[name], blanked[name] = _without(rows, found)
    if masked or gone.any():
        deliveries = _replaced(deliveries, masked).filter(pa.array(~gone))
    if masked:  # so that the rows are what these bytes say, to whoever decodes them again
        again = read(deliveries)
        left = {name: forget(rows, rules[name], subjects).rows for name, rows in again.tables.items()}
        left[QUARANTINE] = again.quarantine
    quarantine = left.pop(QUARANTINE)
    return Suppressed(
        deliveries,
        Decoded({name: rows for name, rows in left.items() if len(rows)}, quarantine),
        {name: count for name, count in erased.items() if count},
        {name: count for name, count in blanked.items() if count},
    )


def _mask_payload(payload: bytes, rows: pa.Table, found: _Found, row: int) -> bytes:
    for name, column in found.columns.items():
        before, after = rows[name][row].as_py(), column[row].as_py()
        if before != after:
            old = before if isinstance(before, bytes) else before.encode()
            new = numbers.mask(before).encode() if after is None else after
            payload = payload.replace(old, new if isinstance(new, bytes) else new.encode())
    return payload


def _replaced(deliveries: pa.RecordBatch, masked: Mapping[int, bytes]) -> pa.RecordBatch:
    if not masked:
        return deliveries
    chosen = np.zeros(len(deliveries), bool)
    chosen[list(masked)] = True
    new = pa.array([masked[at] for at in sorted(masked)], pa.binary())
    payloads = pc.replace_with_mask(deliveries["payload"], pa.array(chosen), new)
    at = deliveries.schema.get_field_index("payload")
    return deliveries.set_column(at, deliveries.schema.field(at), payloads)
