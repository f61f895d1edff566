"""The lake as its own catalog: a commit is the put-if-absent of the next version's metadata, and nothing else.

No server and no lock: of several who commit the same version one creates it, the others get a
CommitFailedException and begin again from what is there. A put whose outcome is unknown is a
CommitStateUnknownException, upon which pyiceberg deletes nothing of what it may have committed.
"""

import contextlib
import logging
from typing import Any

import pyarrow as pa
from pyiceberg.catalog.noop import NoopCatalog
from pyiceberg.exceptions import CommitFailedException, CommitStateUnknownException, NoSuchTableError
from pyiceberg.partitioning import UNPARTITIONED_PARTITION_SPEC, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.serializers import FromInputFile
from pyiceberg.table import CommitTableResponse, Table
from pyiceberg.table.metadata import TableMetadata, new_table_metadata
from pyiceberg.table.sorting import UNSORTED_SORT_ORDER, SortOrder
from pyiceberg.table.update import TableRequirement, TableUpdate, update_table_metadata
from pyiceberg.typedef import EMPTY_DICT, Identifier, Properties

from wgtwo_pipeline.errors import AlreadyExistsError, LakeError
from wgtwo_pipeline.lake import iceberg
from wgtwo_pipeline.lake.iceberg import location
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.register.store_io import StoreIO

_LOG = logging.getLogger(__name__)


class LakeCatalog(NoopCatalog):
    """The tables under `iceberg/` of one lake. Only what registering needs; the rest raises NotImplementedError."""

    def __init__(self, store: Store) -> None:
        super().__init__("lake")
        self._store, self._io = store, StoreIO(store)

    def load_table(self, identifier: str | Identifier) -> Table:
        """The newest version of a table, or NoSuchTableError."""
        name = _name(identifier)
        newest = max((version.number for version in iceberg.versions(self._store, name)), default=0)
        if not newest:
            raise NoSuchTableError(name)
        return self._table(name, newest)

    def create_table(
        self,
        identifier: str | Identifier,
        schema: Schema | pa.Schema,
        location: str | None = None,
        partition_spec: PartitionSpec = UNPARTITIONED_PARTITION_SPEC,
        sort_order: SortOrder = UNSORTED_SORT_ORDER,
        properties: Properties = EMPTY_DICT,
    ) -> Table:
        """Creates the first version, unless another was faster; returns the newest that is there."""
        name = _name(identifier)
        assert isinstance(schema, Schema)
        metadata = new_table_metadata(
            schema, partition_spec, sort_order, location or self.location(name), dict(properties)
        )
        with contextlib.suppress(AlreadyExistsError):
            self._create(name, 1, metadata)
        return self.load_table(name)

    def commit_table(
        self, table: Table, requirements: tuple[TableRequirement, ...], updates: tuple[TableUpdate, ...]
    ) -> CommitTableResponse:
        """Commits on top of the version that `table` was loaded from, or not at all: stricter than requirements."""
        name = _name(table.name())
        for requirement in requirements:
            requirement.validate(table.metadata)
        metadata = update_table_metadata(table.metadata, updates, metadata_location=table.metadata_location)
        number = version_of(table) + 1
        try:
            self._create(name, number, metadata)
        except AlreadyExistsError as error:
            raise CommitFailedException(f"{name}: version {number} was committed by another") from error
        except LakeError as error:
            raise CommitStateUnknownException(str(error)) from error
        return CommitTableResponse(
            metadata=metadata,
            metadata_location=self._version_location(name, number),  # type: ignore[call-arg]  # its alias has a "-"
        )

    def location(self, name: str) -> str:
        """Where a table is."""
        return location(self._store, iceberg.table_key(name))

    def _table(self, name: str, number: int) -> Table:
        place = self._version_location(name, number)
        metadata = FromInputFile.table_metadata(self._io.new_input(place))
        return Table((name,), metadata, place, self._io, self)

    def _create(self, name: str, number: int, metadata: TableMetadata) -> None:
        self._store.create(iceberg.version_key(name, number), metadata.model_dump_json().encode())
        # Only a hint: whoever is killed here leaves readers at the version before, which is as exact.
        with contextlib.suppress(LakeError):
            iceberg.point(self._store, name, number)

    def _version_location(self, name: str, number: int) -> str:
        return location(self._store, iceberg.version_key(name, number))


def version_of(table: Table) -> int:
    """The number of the version that this is."""
    return int(table.metadata_location.rpartition("/v")[2].partition(".")[0])


def _name(identifier: Any) -> str:
    return identifier if isinstance(identifier, str) else str(identifier[-1])
