"""What `audit` is asked for."""

from dataclasses import dataclass

from wgtwo_pipeline.lake.store import LakeLocation


@dataclass(frozen=True)
class Auditing:
    """What `audit` is asked for: which lake, whether to read every row, and in which form to answer."""

    lake: LakeLocation
    deep: bool
    json: bool
