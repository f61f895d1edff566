"""The index of subjects: which epochs hold something of whom, by token, so that an erasure looks into few files.

An object for each block of epochs that are all committed. Derived from the tables: it may be deleted, and is made
anew by the next erasure. Its tokens are those of requests, so it is personal data like the tables themselves.
"""

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from wgtwo_pipeline.errors import AlreadyExistsError, ChangedError, NotFoundError
from wgtwo_pipeline.events import numbers
from wgtwo_pipeline.lake.holds import Item, rule
from wgtwo_pipeline.lake.reading import while_unchanged
from wgtwo_pipeline.lake.store import Store

ROOT = "subjects/"
BLOCK_EPOCHS = 256
READ_AT_ONCE = 8
INDEX = pa.schema({"token": pa.binary(8), "epoch": pa.int64()})
"""One row for each subject and epoch that has an event with its number; sorted by token."""


@dataclass(frozen=True)
class Block:
    """The epochs from `first` to `last`, both included."""

    first: int
    last: int

    @property
    def key(self) -> str:
        """Where its part of the index is."""
        return f"{ROOT}{self.first:010d}-{self.last:010d}.parquet"


def blocks(before: int) -> list[Block]:
    """The blocks whose epochs are all before this one."""
    return [
        Block(first, first + BLOCK_EPOCHS - 1) for first in range(1, before - BLOCK_EPOCHS + 1, BLOCK_EPOCHS)
    ]


def epochs_of(
    store: Store, block: Block, files: Sequence[Item], key: bytes, tokens: Iterable[bytes]
) -> set[int]:
    """The epochs of a block that hold something of these; makes its index if it is not there."""
    try:
        found = pq.read_table(pa.BufferReader(store.read(block.key)))
    except NotFoundError:
        found = _index(store, files, key)
        with contextlib.suppress(AlreadyExistsError):
            store.create(block.key, _to_parquet(found))
    wanted = pa.array(list(tokens), pa.binary(8))
    return {*found.filter(pc.is_in(found["token"], wanted))["epoch"].to_pylist()}


def follow(store: Store, block: Block, files: Sequence[Item], epochs: Iterable[int], key: bytes) -> None:
    """After an erasure: says anew of some epochs who is in their `files`, which must be all that they have."""
    touched = pa.array(sorted(epochs), pa.int64())
    while True:
        try:
            data, tag = store.read_tagged(block.key)
        except NotFoundError:
            return
        before = pq.read_table(pa.BufferReader(data))
        others = before.filter(pc.invert(pc.is_in(before["epoch"], touched)))
        now = pa.concat_tables([others, _index(store, files, key)]).sort_by("token")
        with contextlib.suppress(ChangedError):
            store.replace(block.key, _to_parquet(now), tag)
            return


def _index(store: Store, files: Sequence[Item], key: bytes) -> pa.Table:
    of_epochs: dict[int, set[bytes]] = {}
    with ThreadPoolExecutor(READ_AT_ONCE) as threads:
        for item, tokens in zip(
            files, threads.map(lambda item: _tokens(store, item, key), files), strict=True
        ):
            of_epochs.setdefault(item.epoch, set()).update(tokens)
    rows = [(token, epoch) for epoch, tokens in of_epochs.items() for token in tokens]
    columns: Mapping[str, list[object]] = {
        "token": [token for token, _ in rows],
        "epoch": [epoch for _, epoch in rows],
    }
    return pa.table(columns, INDEX).sort_by("token")


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


def _to_parquet(rows: pa.Table) -> pa.Buffer:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, compression="zstd")
    return sink.getvalue()
