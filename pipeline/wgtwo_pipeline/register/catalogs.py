"""Opens the catalog that tables are registered in: the lake's own, or one of pyiceberg's configuration by name."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import pyarrow as pa
from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.exceptions import NamespaceAlreadyExistsError
from pyiceberg.table import Table

from wgtwo_pipeline.errors import CatalogError, PipelineError
from wgtwo_pipeline.lake.iceberg import location
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.register import tables
from wgtwo_pipeline.register.lake_catalog import LakeCatalog
from wgtwo_pipeline.register.settings import LAKE

NAMESPACE = "wgtwo"
OF_LAKE = "wgtwo.lake"
"""The table property that says which lake's files a table shows."""


@dataclass(frozen=True)
class Target:
    """Where the tables of one lake are registered."""

    name: str
    catalog: Catalog
    namespace: tuple[str, ...]
    lake: str

    @property
    def is_lake(self) -> bool:
        """Whether the lake is its own catalog, so that the metadata's objects are ours to delete."""
        return self.name == LAKE

    def load(self, table: str) -> Table | None:
        """The table as it is now; None where it is not registered. CatalogError for one of another lake."""
        found = tables.load(self.catalog, (*self.namespace, table))
        of_lake = found.properties.get(OF_LAKE, self.lake) if found else self.lake
        if of_lake != self.lake:
            raise CatalogError(
                f"catalog {self.name}: its table {'.'.join((*self.namespace, table))} shows the lake {of_lake}, not "
                f"{self.lake}: name another namespace with --catalog {self.name}.NAMESPACE, or drop that table"
            )
        return found

    def create(self, table: str, columns: pa.Schema) -> Table:
        """Creates an empty table, unless another has."""
        extra = {} if self.is_lake else {OF_LAKE: self.lake}
        return tables.create(self.catalog, (*self.namespace, table), columns, extra)


def open_target(name: str, store: Store) -> Target:
    """The catalog of this name: `lake`, or NAME[.NAMESPACE]. Raises CatalogError where there is none."""
    lake = location(store, "").rstrip("/")
    if name == LAKE:
        return Target(LAKE, LakeCatalog(store), (), lake)
    known, _, namespace = name.partition(".")
    with telling(known):
        catalog = load_catalog(known)
        chosen = tuple((namespace or NAMESPACE).split("."))
        with suppress(NamespaceAlreadyExistsError):
            catalog.create_namespace(chosen)
        return Target(known, catalog, chosen, lake)


@contextmanager
def telling(name: str) -> Iterator[None]:
    """Makes CatalogErrors of whatever a catalog's client raises."""
    try:
        yield
    except PipelineError:
        raise
    except Exception as error:
        said = " ".join(str(error).split())[:300]
        raise CatalogError(
            f"catalog {name}: {type(error).__name__}: {said}; pyiceberg finds it in ~/.pyiceberg.yaml or in "
            f"PYICEBERG_CATALOG__{name.upper()}__URI and the like"
        ) from error
