"""What the commands that run the flows depend on: every value, frozen, with units in its names.

Rooms receive the group they need, never the command line, which builds and checks it (`cli/build.py`). It can be
pickled; the pickle holds no secret.
"""

from dataclasses import dataclass, field

from wgtwo_pipeline.erase.settings import ByHand, Erasing
from wgtwo_pipeline.ingest.settings import Subscription
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.service.settings import Secret, Service


@dataclass(frozen=True)
class Stopping:
    """When ingest stops by itself; None means never for this reason."""

    run_for_seconds: float | None
    max_events: int | None
    until_idle_seconds: float | None


@dataclass(frozen=True)
class Publishing:
    """How long events wait at most, how long what is published is kept, whether partitions are by date or hour.

    `only_when_due`: `publish` leaves what waits alone while it is neither old nor much, instead of publishing it all.
    """

    publish_every_seconds: float
    journal_retention_seconds: float
    partition_by: str
    only_when_due: bool = False


@dataclass(frozen=True)
class Config:
    """Everything a command needs. A group that the command has no options for holds the defaults.

    `service` is None where there is nothing to connect to; `run` starts a sandbox inside then. `transport` is the
    client that speaks to it, whichever it is (`Service.transport`). `beam_args` are
    what Beam's PipelineOptions take, always with `--runner`.
    """

    command: str
    lake: LakeLocation
    service: Service | None
    transport: str
    subscription: Subscription
    stopping: Stopping
    publishing: Publishing
    beam_args: tuple[str, ...]
    log_format: str
    log_level: str
    erasing: Erasing = field(default_factory=Erasing)
    catalog: str | None = None
    """The Iceberg catalog that `run` keeps up with what is published; None for none."""
    metrics_address: str | None = None
    """Where `run` and `ingest` show their figures and probes; None: nowhere."""
    metrics_file: str | None = None
    """Where `publish` and `erase` leave their figures; None: nowhere."""
    detach: bool = False
    """Whether `ingest` only submits its job, and leaves it to the cluster."""

    def child_environment(self) -> dict[str, str]:
        """The variables that a child process needs besides the configuration: the secret, if there is one."""
        oauth = self.service.oauth if self.service else None
        if oauth is None or oauth.client_secret.file is not None:
            return {}
        return {Secret.VARIABLES[0]: oauth.client_secret.reveal()}


@dataclass(frozen=True)
class Asked:
    """What `erase` was asked for. `by_hand` None: only what revocations ask for."""

    config: Config
    by_hand: ByHand | None
    dry_run: bool
    receipts: bool
    json: bool

    @property
    def lake(self) -> LakeLocation:
        """Where it erases."""
        return self.config.lake
