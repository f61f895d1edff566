"""How rows become the bytes of a table's file: as they are published, and anew without what was erased."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

_CODECS = ("zstd", "gzip", "snappy")
"""What every Parquet reader knows, and none takes for another. Files are published with the first."""

_PADDING = b"wgtwo.padding"
"""The key-value metadata that makes a file longer where it would be as long as the one that it replaces."""

_SAMPLE_ROWS, _SAMPLE_DISTINCT = 4096, 1024


def encode(rows: pa.Table, row_group_rows: int, codec: str = _CODECS[0]) -> pa.Buffer:
    """Parquet with the encodings that measured smallest: dictionaries only where values recur."""
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink, row_group_size=row_group_rows, **options(rows, codec))
    return sink.getvalue()


def options(rows: pa.Table, codec: str = _CODECS[0]) -> dict[str, Any]:
    """How `encode` tells pyarrow to write such rows, for who writes them piece by piece."""
    repeating = [name for name in rows.column_names if _repeats(rows[name])]
    plain = [name for name in rows.column_names if name not in repeating]
    deltas = {name: "DELTA_BINARY_PACKED" for name in plain if pa.types.is_temporal(rows[name].type)}
    deltas |= {name: "DELTA_BINARY_PACKED" for name in plain if pa.types.is_integer(rows[name].type)}
    deltas |= {name: "DELTA_LENGTH_BYTE_ARRAY" for name in plain if is_text(rows[name].type)}
    return {
        "compression": codec,
        "compression_level": None if codec == "snappy" else 1,  # snappy has none
        "use_dictionary": repeating,
        "column_encoding": deltas,
    }


def reencode(old: Any, rows: pa.Table, metadata: Mapping[str, str]) -> pa.Buffer:
    """The bytes of a file that takes the place of `old` (a Parquet file's) under its key: `rows`, also none.

    `rows` have the columns of `old`, in its order. The new file's key-value metadata are those of the rows' schema,
    which are the old file's if it was read by pyarrow, with `metadata` over them.

    A reader that is in the middle of a scan when the file is replaced may get a footer and some columns of the old
    bytes and the rest of the new ones. Such a scan must fail, never return rows that are in neither: so no page of
    the new file has a codec that one of the old file has, and the two differ in size. Three codecs take turns, so
    that a scan that spans two replacements fails, too. (Other codecs only where pages begin at the same offsets would
    be smaller, and would not do: bytes before a page, or the rest of its header, can be read as a header, too.)

    Pure: the same arguments give the same bytes, with one version of pyarrow.
    """
    before = pq.ParquetFile(pa.BufferReader(old)).metadata
    group_rows = max([1, *(before.row_group(number).num_rows for number in range(before.num_row_groups))])
    kept = {name: value for name, value in (rows.schema.metadata or {}).items() if name != _PADDING}
    said = {name.encode(): value.encode() for name, value in metadata.items()}
    rows = rows.replace_schema_metadata({**kept, **said})
    codec = _codec_after(before)
    new = encode(rows, group_rows, codec)
    if len(new) == len(old):
        new = encode(rows.replace_schema_metadata({**kept, **said, _PADDING: b"."}), group_rows, codec)
    return new


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


def _codec_after(footer: pq.FileMetaData) -> str:
    """The one whose turn it is after those of a file; the first is the one of files without a row group."""
    groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
    used = [
        group.column(number).compression.lower() for group in groups for number in range(group.num_columns)
    ]
    last = _CODECS.index(used[0]) if used and used[0] in _CODECS else 0
    turns = _CODECS[last + 1 :] + _CODECS[: last + 1]
    return next((codec for codec in turns if codec not in used), turns[0])
