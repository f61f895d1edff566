"""What `query`, `status` and `schema` are asked for."""

from dataclasses import dataclass

from wgtwo_pipeline.lake.store import LakeLocation


@dataclass(frozen=True)
class Reading:
    """What `query` and `status` are asked for. `sql` None means an overview, `output` None stdout."""

    lake: LakeLocation
    sql: str | None
    fresh: bool
    format: str
    output: str | None
    json: bool
    erases: bool = True
    """Whether `run` looks for revocations, as far as this command's configuration says."""
    watch: bool = False
    """Whether `status` is shown again and again."""
    history_seconds: float = 1800.0
    """How long the service keeps events."""


@dataclass(frozen=True)
class Describing:
    """What `schema` is asked for: `table` None means all, `partition_by` is `date` or `hour`."""

    lake: LakeLocation
    table: str | None
    format: str
    partition_by: str
