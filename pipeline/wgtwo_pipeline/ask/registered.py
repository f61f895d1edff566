"""How far the lake's own Iceberg catalog is, by the metadata's JSON alone."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from wgtwo_pipeline.lake import iceberg
from wgtwo_pipeline.lake.store import Store


@dataclass(frozen=True)
class Registered:
    """By table, the last epoch that it shows (0: not there yet); of so many that are committed."""

    tables: dict[str, int]
    committed: int

    @property
    def through(self) -> int:
        """Every table shows the epochs up to this one."""
        return min(self.tables.values(), default=0)

    @property
    def behind(self) -> int:
        """So many epochs are committed and not yet shown by every table."""
        return max(0, self.committed - self.through)

    def to_json(self) -> dict[str, Any]:
        """As `status --json` has it."""
        return {"through": self.through, "behind": self.behind, "tables": self.tables}

    def __str__(self) -> str:
        lag = f"{self.behind:,} epochs behind: `wgtwo-pipeline register`" if self.behind else "all of them"
        return f"{len(self.tables):,} tables show the epochs up to {self.through:,}, {lag}"


def collect(store: Store, tables: Iterable[str], committed: int) -> Registered | None:
    """Looks at the catalog; None where the lake has none of its own."""
    names = sorted(tables)
    found = iceberg.standings(store, names)
    if found is None:
        return None
    shown = {name: found[name].registered_through if name in found else 0 for name in names}
    return Registered(shown, committed)
