"""What `check` is asked for."""

from dataclasses import dataclass

from wgtwo_pipeline.run.config import Config


@dataclass(frozen=True)
class Checking:
    """The configuration of a run; `offline`: nothing but that is looked at."""

    config: Config
    offline: bool
    json: bool
