"""How rows become the bytes of a table's file: as they are published, and anew without what was erased."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_CODECS = ("zstd", "gzip", "snappy")
"""What every Parquet reader knows, and none takes for another. Files are published with the first."""

_PADDING = b"wgtwo.padding"
"""The key-value metadata that makes a file longer where it would be as long as the one that it replaces."""
_MAGIC_BYTES = 4
"""Where the first column chunk begins, in every file."""

_SAMPLE_ROWS, _SAMPLE_DISTINCT = 4096, 1024
_ATTEMPTS = 64


def encode(
    rows: pa.Table,
    row_group_rows: int,
    codecs: str | Mapping[str, str] = _CODECS[0],
    level: int = 1,
) -> pa.Buffer:
    """Parquet with the encodings that measured smallest: dictionaries only where values recur.

    `codecs` is one for all columns, or one by each leaf column's path.
    """
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, row_group_size=row_group_rows, **options(rows, codecs, level))
    return sink.getvalue()


def options(rows: pa.Table, codecs: str | Mapping[str, str] = _CODECS[0], level: int = 1) -> dict[str, Any]:
    """How `encode` tells pyarrow to write such rows, for who writes them piece by piece."""
    repeating = [name for name in rows.column_names if _repeats(rows[name])]
    plain = [name for name in rows.column_names if name not in repeating]
    deltas = {name: "DELTA_BINARY_PACKED" for name in plain if pa.types.is_temporal(rows[name].type)}
    deltas |= {name: "DELTA_BINARY_PACKED" for name in plain if pa.types.is_integer(rows[name].type)}
    deltas |= {name: "DELTA_LENGTH_BYTE_ARRAY" for name in plain if is_text(rows[name].type)}
    levels: Any = level
    if not isinstance(codecs, str):
        levels = {path: level for path, codec in codecs.items() if codec != "snappy"}  # which has none
    return {
        "compression": codecs,
        "compression_level": levels,
        "use_dictionary": repeating,
        "column_encoding": deltas,
    }


def reencode(old: Any, rows: pa.Table, metadata: Mapping[str, str]) -> pa.Buffer:
    """The bytes of a file that takes the place of `old` (a Parquet file's) under its key: `rows`, also none.

    `rows` have the columns of `old`, in its order. The new file's key-value metadata are those of the rows' schema,
    which are the old file's if it was read by pyarrow, with `metadata` over them.

    A reader that is in the middle of a scan when the file is replaced may get a footer and some columns of the old
    bytes and the rest of the new ones. Such a scan must fail, never return rows that are in neither: so wherever a
    column chunk of the new file, or the first data page behind its dictionary, begins at an offset where one of
    the old file does, it has another codec, and the two files differ in size. The codec at the beginning, where
    each file has a chunk, changes in turn among three, so that a scan that spans two replacements fails, too.

    Pure: the same arguments give the same bytes, with one version of pyarrow.
    """
    before = _footer(old)
    group_rows = max([1, *(before.row_group(number).num_rows for number in range(before.num_row_groups))])
    taken = {offset: codec for offset, _, codec in _beginnings(before)}
    kept = {name: value for name, value in (rows.schema.metadata or {}).items() if name != _PADDING}
    said = {name.encode(): value.encode() for name, value in metadata.items()}
    rows = rows.replace_schema_metadata({**kept, **said})
    paths = [before.schema.column(number).path for number in range(before.num_columns)]
    codecs = dict.fromkeys(paths, _CODECS[0])
    codecs[paths[0]] = _after(taken.get(_MAGIC_BYTES, _CODECS[0]))
    for attempt in range(_ATTEMPTS):
        # Other levels give other lengths: where no choice of codecs will do, what follows begins elsewhere.
        new = encode(rows, group_rows, codecs, level=1 + attempt // 8)
        clash = next(
            (path for offset, path, codec in _beginnings(_footer(new)) if taken.get(offset) == codec), None
        )
        if clash:
            codecs[clash] = _after(codecs[clash])
        elif len(new) == len(old):
            rows = rows.replace_schema_metadata(
                {**(rows.schema.metadata or {}), _PADDING: b"." * (attempt + 1)}
            )
        else:
            return new
    raise AssertionError("no layout differs from that of the file it replaces")


def is_text(kind: pa.DataType) -> bool:
    """Whether values have a length of their own."""
    return bool(pa.types.is_string(kind) or pa.types.is_binary(kind))


def _repeats(column: pa.ChunkedArray) -> bool:
    if pa.types.is_date(column.type):
        return True
    if not is_text(column.type):
        return False
    distinct = pc.count_distinct(column.slice(0, _SAMPLE_ROWS)).as_py()
    return bool(distinct <= _SAMPLE_DISTINCT and distinct * 4 <= len(column))


def _footer(data: Any) -> pq.FileMetaData:
    return pq.ParquetFile(pa.BufferReader(data)).metadata


def _beginnings(footer: pq.FileMetaData) -> Iterator[tuple[int, str, str]]:
    """Offset, path and codec of every column chunk, and of the data page behind its dictionary; ascending."""
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            chunk = footer.row_group(group).column(number)
            codec = chunk.compression.lower()
            if chunk.has_dictionary_page:
                yield chunk.dictionary_page_offset, chunk.path_in_schema, codec
            yield chunk.data_page_offset, chunk.path_in_schema, codec


def _after(codec: str) -> str:
    return _CODECS[(_CODECS.index(codec) + 1) % len(_CODECS)] if codec in _CODECS else _CODECS[0]
