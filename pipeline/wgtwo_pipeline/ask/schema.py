"""Says what the tables are: their columns for people and programs, or DDL for another engine. Needs no lake."""

import json
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from wgtwo_pipeline.ask import ddl
from wgtwo_pipeline.ask.ddl import Described
from wgtwo_pipeline.ask.render import text_table
from wgtwo_pipeline.ask.settings import Describing
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.events.tables import QUARANTINE, catalog, current_descriptors
from wgtwo_pipeline.lake import layout
from wgtwo_pipeline.lake.open import open_store

_NAMES = {pa.date32(): "date", pa.bool_(): "bool", pa.float32(): "float32", pa.float64(): "float64"}


def schema(describing: Describing) -> int:
    """Prints it. Raises ConfigurationError for a table that there is not, LakeError where DDL needs to look."""
    tables = described(describing)
    if describing.format == "json":
        parts = iter([json.dumps([_json(table) for table in tables], indent=1)])
    elif describing.format == "text":
        parts = map(_lines, tables)
    else:
        store = open_store(describing.lake)
        parts = ddl.statements(describing.format, tables, describing.lake, store)
    for number, part in enumerate(parts):
        sys.stdout.write(("\n" if number else "") + part + "\n")
    return 0


def schemas() -> Mapping[str, pa.Schema]:
    """Every table's columns by its name, and those of the quarantine."""
    tables = {name: table.schema for name, table in catalog(current_descriptors()).items()}
    return tables | {layout.QUARANTINE: QUARANTINE}


def described(describing: Describing) -> list[Described]:
    """The tables that are asked for: one, or all and the quarantine."""
    tables = schemas()
    names = [describing.table] if describing.table else list(tables)
    if unknown := set(names) - set(tables):
        raise ConfigurationError(f"there is no table {unknown.pop()!r}: choose one of {', '.join(tables)}")
    by_hour = describing.partition_by == "hour"
    return [Described(name, tables[name], by_hour and name != layout.QUARANTINE) for name in names]


def _lines(table: Described) -> str:
    keys = [(name, f"{type_name(kind)}, the folder's key") for name, kind in table.keys]
    rows = [(field.name, type_name(field.type)) for field in table.schema]
    lines = [f"{layout.folder(table.name)}{table.glob}", *text_table(("column", "type"), [*rows, *keys])]
    return "\n".join(lines)


def _json(table: Described) -> dict[str, Any]:
    return {
        "table": table.name,
        "files": f"{layout.folder(table.name)}{table.glob}",
        "columns": list(_columns((field.name, field.type) for field in table.schema)),
        "folder_keys": list(_columns(iter(table.keys))),
    }


def _columns(of: Iterator[tuple[str, pa.DataType]]) -> Iterator[dict[str, str]]:
    return ({"name": name, "type": type_name(kind)} for name, kind in of)


def type_name(kind: pa.DataType) -> str:
    """A type for people: `list<string>`, `timestamp` (microseconds, UTC), `date`."""
    if pa.types.is_list(kind):
        return f"list<{type_name(kind.value_type)}>"
    return "timestamp" if pa.types.is_timestamp(kind) else _NAMES.get(kind, str(kind))
