"""The index of subjects: which epochs hold something of whom, by token, so that an erasure looks into few files.

A few parts, each for the epochs from the one in its name on. Each erasure brings the index up to all that is
committed: the last part grows, in place and on condition that it is the one that was read, until it is full; then
another one begins. None is deleted or renamed, so nobody who comes late can bring back what has gone from it since.

Derived from the tables: it may be deleted, and is made anew by the next erasure. Its tokens are those of requests,
so it is personal data like the tables themselves.
"""

import contextlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wgtwo_pipeline.errors import AlreadyExistsError, ChangedError, CorruptError, NotFoundError
from wgtwo_pipeline.events import numbers
from wgtwo_pipeline.lake.holds import Item, rule
from wgtwo_pipeline.lake.reading import while_unchanged
from wgtwo_pipeline.lake.store import Store, Tag

ROOT = "subjects/"
PART_ROWS = 1 << 21
"""A part with so many rows is full: some 20 MB, and ten times as much memory for whoever brings it up."""
READ_TOGETHER, READ_AT_ONCE = 64, 8
INDEX = pa.schema({"token": pa.binary(8), "epoch": pa.int64()})
"""One row for each subject and epoch that has an event with its number; sorted by token."""
_KEY = re.compile(rf"{ROOT}(\d{{10}})\.parquet")
_SAYS = b"wgtwo.index"


@dataclass(frozen=True)
class Part:
    """The index of the epochs from `first` to `through`, both included; a full one speaks of no more epochs, ever."""

    first: int
    through: int
    is_full: bool
    rows: pa.Table

    def to_parquet(self) -> pa.Buffer:
        """As stored; its name says `first`."""
        says = json.dumps({"through": self.through, "full": self.is_full})
        sink = pa.BufferOutputStream()
        rows = self.rows.sort_by("token").replace_schema_metadata({_SAYS: says})
        pq.write_table(rows, sink, compression="zstd")
        return sink.getvalue()


def key_of(first: int) -> str:
    """Where the part is whose first epoch this is."""
    return f"{ROOT}{first:010d}.parquet"


def epochs_of(
    store: Store, files: Sequence[Item], before: int, key: bytes, tokens: Iterable[bytes]
) -> set[int]:
    """The epochs before `before`, all committed, that hold something of these. Brings the index up to them.

    `files` are those of all tables. Reads, beside the index, only the files of epochs that it does not know yet.
    """
    wanted = pa.array(list(tokens), pa.binary(8))
    found: set[int] = set()
    begun, first = _begun(store), 1
    while first < before:
        end = _next(begun, first)
        part = _up_to(store, first, before, end, files, key)
        found |= {*part.rows.filter(pc.is_in(part.rows["token"], wanted))["epoch"].to_pylist()}
        first = part.through + 1
    return found


def follow(store: Store, files: Sequence[Item], epochs: Iterable[int], key: bytes) -> None:
    """After an erasure: says anew of some epochs who is in their `files`, which must be all that they have."""
    begun = _begun(store)
    for first in begun:
        end = _next(begun, first)
        touched = {epoch for epoch in epochs if first <= epoch and (end is None or epoch < end)}
        if touched:
            _say_anew(store, first, files, touched, key)


def _begun(store: Store) -> list[int]:
    """The first epochs of all parts, in order."""
    return [int(found[1]) for info in store.list(ROOT) if (found := _KEY.fullmatch(info.key))]


def _next(begun: Sequence[int], first: int) -> int | None:
    return next((other for other in begun if other > first), None)


def _read(store: Store, first: int) -> tuple[Part, Tag]:
    data, tag = store.read_tagged(key_of(first))
    try:
        rows = pq.read_table(pa.BufferReader(data))
        says = json.loads(rows.schema.metadata[_SAYS])
        return Part(first, says["through"], says["full"], rows.replace_schema_metadata(None)), tag
    except (pa.ArrowException, ValueError, KeyError, TypeError) as error:
        raise CorruptError(
            f"{key_of(first)} is no index that can be read ({error!r}); delete it, the next erasure makes it anew"
        ) from None


def _up_to(store: Store, first: int, before: int, end: int | None, files: Sequence[Item], key: bytes) -> Part:
    """The part that begins with `first`, made to speak of the epochs before `before`, or until it is full.

    `end` is the first epoch of the next part, where there is one: it must not be spoken of twice.
    """
    before = min(before, end or before)
    while True:
        tag = None
        part = Part(first, first - 1, is_full=False, rows=INDEX.empty_table())
        with contextlib.suppress(NotFoundError):
            part, tag = _read(store, first)
        if part.is_full or part.through >= before - 1:
            return part
        part = _plus(store, part, before, [item for item in files if part.through < item.epoch < before], key)
        with contextlib.suppress(AlreadyExistsError, ChangedError):  # somebody was faster: read it again
            if tag is None:
                store.create(key_of(first), part.to_parquet())
            else:
                store.replace(key_of(first), part.to_parquet(), tag)
            return part


def _plus(store: Store, part: Part, before: int, files: Sequence[Item], key: bytes) -> Part:
    """With the epochs before `before`, of which these are the files; with fewer where it is full before."""
    tables, through, rows = [part.rows], before - 1, len(part.rows)
    for some in _whole_epochs(files):
        tables.append(_index(store, some, key))
        rows += len(tables[-1])
        if rows >= PART_ROWS:
            through = some[-1].epoch
            break
    return Part(part.first, through, rows >= PART_ROWS, pa.concat_tables(tables))


def _whole_epochs(files: Sequence[Item]) -> Iterator[list[Item]]:
    """In order, all files of some epochs."""
    some: list[Item] = []
    for _, mine in groupby(sorted(files, key=_epoch), key=_epoch):
        some += mine
        if len(some) >= READ_TOGETHER:
            yield some
            some = []
    if some:
        yield some


def _epoch(item: Item) -> int:
    return item.epoch


def _say_anew(store: Store, first: int, files: Sequence[Item], epochs: Iterable[int], key: bytes) -> None:
    while True:
        try:
            part, tag = _read(store, first)
        except NotFoundError:
            return
        known = {epoch for epoch in epochs if epoch <= part.through}
        others = part.rows.filter(pc.invert(pc.is_in(part.rows["epoch"], pa.array(known, pa.int64()))))
        # In this order: what is read after the tag has lost all that others had taken out before it.
        anew = _index(store, [item for item in files if item.epoch in known], key)
        with contextlib.suppress(ChangedError):
            store.replace(
                key_of(first), replace(part, rows=pa.concat_tables([others, anew])).to_parquet(), tag
            )
            return


def _index(store: Store, files: Sequence[Item], key: bytes) -> pa.Table:
    found: dict[int, set[bytes]] = {}
    with ThreadPoolExecutor(READ_AT_ONCE) as threads:
        looks = threads.map(lambda item: _tokens(store, item, key), files)
        for item, tokens in zip(files, looks, strict=True):
            found.setdefault(item.epoch, set()).update(tokens)
    parts = [
        pa.table({"token": pa.array(tokens, pa.binary(8)), "epoch": pa.repeat(pa.scalar(epoch), len(tokens))})
        for epoch, tokens in found.items()
    ]
    return pa.concat_tables([INDEX.empty_table(), *parts])


def _tokens(store: Store, item: Item, key: bytes) -> set[bytes]:
    """Of every number in a file: also of those who are no owner."""
    kinds = rule(store, item).numbers

    def read() -> pa.Table:
        with store.open(item.key) as source:
            file = pq.ParquetFile(source)
            return file.read([name for name in file.schema_arrow.names if name in kinds])

    found = set()
    rows = while_unchanged(read)
    for name in rows.column_names:
        for text in rows[name].unique().to_pylist():
            kind: numbers.Kind = "text" if kinds[name] == "text" else "international"
            number = numbers.canonical(text, kind)
            if number:
                found.add(numbers.token(number, key))
    return found
