"""DDL by which other engines find the tables: generated from what the tables are, a statement for each.

Each engine declares every column and the folder's key (`day`, of an hourly lake also `hour`), so a column that came
later is null in older files, and a condition on `day` leaves other folders unread. Names are created in whatever
database or dataset is current. Nothing is read from the lake but, for DuckDB and Spark, which tables have a file.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

import pyarrow as pa

from wgtwo_pipeline.events.tables import MICROSECONDS
from wgtwo_pipeline.lake import layout
from wgtwo_pipeline.lake.store import LakeLocation, Store

FIRST_DAY: Final = "2020-01-01"
"""Where projected partitions begin: an engine looks into a folder for each day of a query without a condition."""
BUCKET: Final = "s3://BUCKET/PREFIX"
"""Stands where an engine needs a bucket and the lake is a folder."""


@dataclass(frozen=True)
class Described:
    """A table, or the quarantine: its columns without the folder's keys, and whether it has folders for hours."""

    name: str
    schema: pa.Schema
    hourly: bool

    @property
    def keys(self) -> tuple[tuple[str, pa.DataType], ...]:
        """The folder's keys, with their types."""
        return (("day", pa.date32()), *([("hour", pa.int32())] if self.hourly else []))

    @property
    def glob(self) -> str:
        """Its files below its folder."""
        return "/".join([*(f"{name}=*" for name, _ in self.keys), "*.parquet"])


@dataclass(frozen=True)
class Engine:
    """How an engine writes types; `{}` in `list_of` is the type of the elements."""

    types: Mapping[pa.DataType, str]
    list_of: str
    quote: str
    """What stands around a name in DDL."""
    statement: "Callable[[Engine, Described, LakeLocation, Store], str]"
    note: str

    def type(self, kind: pa.DataType) -> str:
        """A column's type."""
        return self.list_of.format(self.type(kind.value_type)) if pa.types.is_list(kind) else self.types[kind]

    def columns(self, of: Iterator[tuple[str, pa.DataType]], indent: str = "  ") -> str:
        """Declared columns, a line each."""
        return ",\n".join(f"{indent}{self.quote}{name}{self.quote} {self.type(kind)}" for name, kind in of)


def statements(engine: str, tables: list[Described], lake: LakeLocation, store: Store) -> Iterator[str]:
    """The text of a script: what to know of it, then a statement for each table."""
    of = ENGINES[engine]
    yield "\n".join(f"-- {line}" for line in of.note.splitlines())
    for table in tables:
        yield of.statement(of, table, lake, store) + ";"


def _text(value: str) -> str:
    """A text in SQL, which all of them write alike."""
    return "'" + value.replace("'", "''") + "'"


def _fields(table: Described) -> Iterator[tuple[str, pa.DataType]]:
    yield from ((field.name, field.type) for field in table.schema)


def _all(table: Described) -> Iterator[tuple[str, pa.DataType]]:
    yield from (*_fields(table), *table.keys)


def _bucket_folder(table: Described, lake: LakeLocation, scheme: str) -> str:
    """The table's folder in a bucket."""
    root = lake.url if lake.url.lower().startswith("s3://") else BUCKET
    return f"{scheme}{root[len('s3') :].rstrip('/')}/{layout.folder(table.name)}"


def _athena(engine: Engine, table: Described, lake: LakeLocation, _: Store) -> str:
    folder = _bucket_folder(table, lake, "s3")
    properties = {
        "projection.enabled": "true",
        "projection.day.type": "date",
        "projection.day.format": "yyyy-MM-dd",
        "projection.day.range": f"{FIRST_DAY},NOW+1DAYS",
        **(_HOURS if table.hourly else {}),
        "storage.location.template": folder + "/".join(f"{name}=${{{name}}}" for name, _ in table.keys) + "/",
    }
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS `{table.name}` (\n{engine.columns(_fields(table))}\n)\n"
        f"PARTITIONED BY (\n{engine.columns(iter(table.keys))}\n)\n"
        f"STORED AS PARQUET\nLOCATION {_text(folder)}\nTBLPROPERTIES (\n"
        + ",\n".join(f"  {_text(name)} = {_text(value)}" for name, value in properties.items())
        + "\n)"
    )


_HOURS: Final = MappingProxyType(
    {"projection.hour.type": "integer", "projection.hour.range": "0,23", "projection.hour.digits": "2"}
)


def _trino(engine: Engine, table: Described, lake: LakeLocation, _: Store) -> str:
    day = (
        "WITH (\n    partition_projection_type = 'DATE',\n    partition_projection_format = 'yyyy-MM-dd',\n"
        f"    partition_projection_range = ARRAY['{FIRST_DAY}', 'NOW+1DAYS']\n  )"
    )
    hour = (
        "WITH (\n    partition_projection_type = 'INTEGER',\n    partition_projection_range = ARRAY['0', '23'],\n"
        "    partition_projection_digits = 2\n  )"
    )
    keys = [f'  "{name}" {engine.type(kind)} {day if name == "day" else hour}' for name, kind in table.keys]
    names = ", ".join(_text(name) for name, _ in table.keys)
    return (
        f'CREATE TABLE IF NOT EXISTS "{table.name}" (\n'
        + ",\n".join([engine.columns(_fields(table)), *keys])
        + f"\n)\nWITH (\n  format = 'PARQUET',\n  external_location = {_text(_bucket_folder(table, lake, 's3'))},\n"
        f"  partitioned_by = ARRAY[{names}],\n  partition_projection_enabled = true\n)"
    )


def _bigquery(engine: Engine, table: Described, lake: LakeLocation, _: Store) -> str:
    folder = _bucket_folder(table, lake, "gs")
    return (
        f"CREATE EXTERNAL TABLE IF NOT EXISTS wgtwo.`{table.name}` (\n{engine.columns(_fields(table))}\n)\n"
        f"WITH PARTITION COLUMNS (\n{engine.columns(iter(table.keys))}\n)\n"
        f"OPTIONS (\n  format = 'PARQUET',\n  enable_list_inference = true,\n"
        f"  uris = [{_text(folder + '*.parquet')}],\n  hive_partition_uri_prefix = {_text(folder)}\n)"
    )


def _spark(engine: Engine, table: Described, lake: LakeLocation, store: Store) -> str:
    is_bucket = lake.url.lower().startswith("s3://")
    folder = _bucket_folder(table, lake, "s3a") if is_bucket else store.uri(layout.folder(table.name))
    keys = ", ".join(name for name, _ in table.keys)
    repair = f"MSCK REPAIR TABLE `{table.name}`"
    if not _has_files(table, store):
        repair = f"-- {table.name} has no file yet: once it has,\n-- {repair}"
    return (
        f"CREATE TABLE IF NOT EXISTS `{table.name}` (\n{engine.columns(_all(table))}\n)\n"
        f"USING parquet\nPARTITIONED BY ({keys})\nLOCATION {_text(folder)};\n\n{repair}"
    )


def _duckdb(engine: Engine, table: Described, _: LakeLocation, store: Store) -> str:
    nulls = ",\n".join(f"  NULL::{engine.type(kind)} AS {name}" for name, kind in _all(table))
    view = f"CREATE OR REPLACE VIEW {table.name} AS\nSELECT\n{nulls}\nWHERE false"
    folder = layout.folder(table.name)
    if not _has_files(table, store):
        return f"-- {table.name} has no file yet: make this view again once it has.\n{view}"
    types = ", ".join(f"'{name}': {engine.type(kind)}" for name, kind in table.keys)
    return (
        f"{view}\nUNION ALL BY NAME\nSELECT * FROM read_parquet(\n  {_text(store.uri(folder + table.glob))},\n"
        f"  hive_partitioning = true, hive_types = {{{types}}}, union_by_name = true\n)"
    )


def _has_files(table: Described, store: Store) -> bool:
    return any(layout.FilePath.parse(info.key) for info in store.list(layout.folder(table.name)))


def _clickhouse(engine: Engine, table: Described, lake: LakeLocation, store: Store) -> str:
    glob = layout.folder(table.name) + table.glob
    structure = ", ".join(f"{name} {engine.type(kind)}" for name, kind in _all(table))
    bucket = urlsplit(lake.url)
    if bucket.scheme.lower() == "s3":
        server = lake.s3_endpoint or f"https://s3.{lake.s3_region or 'us-east-1'}.amazonaws.com"
        path = f"{bucket.netloc}{bucket.path}".rstrip("/")
        source = f"s3({_text(f'{server}/{path}/{glob}')}, 'Parquet', {_text(structure)})"
    else:
        source = f"file({_text(store.uri(glob))}, 'Parquet', {_text(structure)})"
    names = ", ".join(name for name, _ in _all(table))
    return f"CREATE OR REPLACE VIEW {table.name} AS\nSELECT {names}\nFROM {source}"


def _types(*names: str) -> Mapping[pa.DataType, str]:
    """An engine's names of the types that a column can have, in this order."""
    kinds = (
        *(pa.string(), pa.binary(), pa.bool_(), pa.int32(), pa.int64(), pa.float32(), pa.float64()),
        *(pa.date32(), MICROSECONDS),
    )
    return MappingProxyType(dict(zip(kinds, names, strict=True)))


# A table is read by its rows.
# fmt: off
ENGINES: Final = MappingProxyType({
    "athena": Engine(
        _types("string", "binary", "boolean", "int", "bigint", "float", "double", "date", "timestamp"),
        "array<{}>", "`", _athena,
        "Amazon Athena, in the current database. Partitions are projected: new days are found by themselves, but\n"
        f"none before {FIRST_DAY} or more than a day ahead (widen projection.day.range).\n"
        "WHERE day = DATE '2026-11-23' reads one day's folder."),
    "trino": Engine(
        _types("VARCHAR", "VARBINARY", "BOOLEAN", "INTEGER", "BIGINT", "REAL", "DOUBLE", "DATE", "TIMESTAMP(6)"),
        "ARRAY({})", '"', _trino,
        "Trino's Hive connector, in the current schema. It needs hive.timestamp-precision=MICROSECONDS, and shows\n"
        f"timestamps in UTC without a zone. Partitions are projected: no day before {FIRST_DAY} or more than a day\n"
        "ahead is found (widen partition_projection_range). WHERE day = DATE '2026-11-23' reads one day's folder."),
    "bigquery": Engine(
        _types("STRING", "BYTES", "BOOL", "INT64", "INT64", "FLOAT64", "FLOAT64", "DATE", "TIMESTAMP"),
        "ARRAY<{}>", "`", _bigquery,
        "BigQuery, in the dataset wgtwo, of a lake in Cloud Storage (by its S3-compatible endpoint). A lake on AWS\n"
        "needs BigQuery Omni: s3:// for gs://, and WITH CONNECTION. A table without a file is refused: create it\n"
        "later. WHERE day = '2026-11-23' reads one day's folder."),
    "spark": Engine(
        _types("STRING", "BINARY", "BOOLEAN", "INT", "BIGINT", "FLOAT", "DOUBLE", "DATE", "TIMESTAMP"),
        "ARRAY<{}>", "`", _spark,
        "Spark SQL, in the current database. A new day is found once MSCK REPAIR TABLE has run again.\n"
        "WHERE day = DATE'2026-11-23' reads one day's folder."),
    "duckdb": Engine(
        _types("VARCHAR", "BLOB", "BOOLEAN", "INTEGER", "BIGINT", "FLOAT", "DOUBLE", "DATE", "TIMESTAMPTZ"),
        "{}[]", "", _duckdb,
        "DuckDB: views that read the files anew each time. WHERE day = '2026-11-23' reads one day's folder.\n"
        "A bucket needs DuckDB's httpfs extension and a secret."),
    "clickhouse": Engine(
        _types(*(f"Nullable({name})" for name in ("String", "String", "Bool", "Int32", "Int64", "Float32", "Float64",
                                                  "Date32", "DateTime64(6, 'UTC')"))),
        "Array({})", "", _clickhouse,
        "ClickHouse: views that read the files anew each time. Bytes are String there, a list that is null is [].\n"
        "WHERE day = '2026-11-23' reads one day's folder. A server reads folders below its user_files only."),
})
# fmt: on
