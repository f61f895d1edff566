"""What `report` is asked for."""

from dataclasses import dataclass

from wgtwo_pipeline.lake.store import LakeLocation


@dataclass(frozen=True)
class Reporting:
    """Which lake, which file to write, and of how long ago the oldest day is that it shows."""

    lake: LakeLocation
    output: str
    since_seconds: float
