"""What `audit` is asked for."""

from dataclasses import dataclass

from wgtwo_pipeline.lake.store import LakeLocation


@dataclass(frozen=True)
class Auditing:
    """What `audit` is asked for: which lake, whether to read every row, and in which form to answer."""

    lake: LakeLocation
    deep: bool
    json: bool
    erase_within_seconds: float = 7 * 24 * 3600.0
    """A request that is open for longer is a finding."""
    metrics_file: str | None = None
    """Where to leave the verdict as figures."""
