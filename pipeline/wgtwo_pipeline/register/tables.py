"""What a registered table looks like: its columns, its partition, its properties, and how a file is described."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import date
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import (
    CommitFailedException,
    CommitStateUnknownException,
    NoSuchTableError,
    ValidationException,
)
from pyiceberg.io.pyarrow import (
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import assign_fresh_schema_ids
from pyiceberg.table import Table
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import IdentityTransform
from pyiceberg.typedef import Identifier, Record

PARTITION: Final = "date"
ATTEMPTS: Final = 100
"""So often a table may be changed by others between reading and committing it."""

OVERTAKEN: Final = (CommitFailedException, CommitStateUnknownException, ValidationException)
"""Whoever meets one of these reads the table again.

The last one comes before anything is committed, also where nobody else is at work: pyiceberg 0.12 looks for the files
that an overwrite deletes in several threads, which share what they compare a manifest with, and may pass over one.
"""

_WITHOUT_ROWS: Final[dict[str, Any]] = {"record_count": 0, "column_sizes": {}, "split_offsets": []}
_EPOCH: Final = date(1970, 1, 1).toordinal()
_BOUNDED: Final = ("timestamp", "date", "sequence")
_PROPERTIES: Final = {
    "format-version": "2",
    # Whoever commits reads the log again first: a retry by pyiceberg would append what another has appended.
    "commit.retry.num-retries": "0",
    "commit.manifest-merge.enabled": "true",
    # No engine may delete our files.
    "gc.enabled": "false",
    # Bounds of text columns would be phone numbers in the metadata.
    "write.metadata.metrics.default": "none",
}


def load(catalog: Catalog, identifier: Identifier) -> Table | None:
    """The table as it is now; None where it does not exist."""
    try:
        return catalog.load_table(identifier)
    except NoSuchTableError:
        return None


def create(catalog: Catalog, identifier: Identifier, columns: pa.Schema, extra: Mapping[str, str]) -> Table:
    """Creates an empty table of these columns, or returns the one that another has created meanwhile."""
    schema = assign_fresh_schema_ids(Catalog._convert_schema_if_needed(columns))
    source = schema.find_field(PARTITION).field_id
    properties = {
        **_PROPERTIES,
        "schema.name-mapping.default": schema.name_mapping.model_dump_json(),
        **extra,
    }
    for name in _BOUNDED:
        if name in columns.names:  # Spark refuses a table whose properties name a column that it has not
            properties[f"write.metadata.metrics.column.{name}"] = "full"
    return catalog.create_table_if_not_exists(
        identifier,
        schema,
        partition_spec=PartitionSpec(PartitionField(source, 1000, IdentityTransform(), PARTITION)),
        properties=properties,
    )


def entries(table: Table) -> Iterator[DataFile]:
    """The files that the table shows."""
    snapshot = table.current_snapshot()
    for manifest in snapshot.manifests(table.io) if snapshot else ():
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True):
            yield entry.data_file


def ever_shown(table: Table) -> set[str]:
    """The locations of the files that any of its snapshots shows."""
    manifests = {
        manifest.manifest_path: manifest
        for snapshot in table.snapshots()
        for manifest in snapshot.manifests(table.io)
    }
    return {
        entry.data_file.file_path
        for manifest in manifests.values()
        for entry in manifest.fetch_manifest_entry(table.io, discard_deleted=True)
    }


def columns(footers: Iterable[pq.FileMetaData], known: Iterable[str] = ()) -> pa.Schema:
    """The columns of these files that are not `known`, in the order in which they first occur."""
    names, found = set(known), []
    for footer in footers:
        for field in footer.schema.to_arrow_schema():
            if field.name not in names:
                names.add(field.name)
                found.append(pa.field(field.name, field.type))
    return pa.schema(found)


class Describer:
    """Describes Parquet files as a table's metadata does: by what their footers say, without bounds of text."""

    def __init__(self, metadata: TableMetadata) -> None:
        self._schema, self._spec = metadata.schema(), metadata.spec()
        self._plan = compute_statistics_plan(self._schema, metadata.properties)
        self._ids = parquet_path_to_id_mapping(self._schema)

    def describe(self, location: str, day: date, size: int, footer: pq.FileMetaData) -> DataFile:
        """The entry of one file of `size` bytes, with rows of one day; or with none, where all were erased."""
        described = _WITHOUT_ROWS
        if footer.num_rows:
            statistics = data_file_statistics_from_parquet_metadata(footer, self._plan, self._ids)
            described = statistics.to_serialized_dict()
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=location,
            file_format=FileFormat.PARQUET,
            partition=Record(day.toordinal() - _EPOCH),
            file_size_in_bytes=size,
            sort_order_id=None,
            spec_id=self._spec.spec_id,
            equality_ids=None,
            key_metadata=None,
            **described,
        )
