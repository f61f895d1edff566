"""What `serve` is asked for."""

from dataclasses import dataclass

from wgtwo_pipeline.lake.store import LakeLocation


@dataclass(frozen=True)
class Serving:
    """What `serve` was asked for: which lake, where to listen, how long the service keeps events."""

    lake: LakeLocation
    address: str
    history_seconds: float
    erases: bool
