"""What `register` is asked for."""

from dataclasses import dataclass

from wgtwo_pipeline.lake.store import LakeLocation

LAKE = "lake"
"""The catalog that is the lake itself."""


@dataclass(frozen=True)
class Registering:
    """What `register` is asked for: which lake, in which catalog (`lake`, or NAME[.NAMESPACE] of pyiceberg's), and
    whether to compact closed days, which only the lake's own catalog can."""

    lake: LakeLocation
    catalog: str = LAKE
    compact: bool = False
    metrics_file: str | None = None
    """Where to leave figures."""
