"""The one configuration: every value that the work depends on, frozen, with units in its names.

Rooms receive the group they need, never the command line. `pipeline.configure` builds and checks it. It can be
pickled; the pickle holds no secret.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pipeline import logs
from pipeline.api import Start, Terms
from pipeline.errors import ConfigurationError
from pipeline.store import LakeLocation


class Secret:
    """The OAuth client secret. Shows itself as `***`; pickled or copied, it only says where to find the value.

    A process that unpickled it finds the value in the file, or in its own environment.
    """

    VARIABLES: Final = ("WGTWO_CLIENT_SECRET", "CLIENT_SECRET")

    def __init__(self, value: str | None = None, file: str | None = None) -> None:
        self._value, self._file = value, file

    @property
    def file(self) -> str | None:
        """The file that holds it, if that is where it comes from."""
        return self._file

    def reveal(self) -> str:
        """The value, which from now on no log line shows. ConfigurationError if this process cannot find it."""
        value = self._value
        if value is None and self._file is not None:
            value = _secret_file(self._file)
        if value is None:
            value = next((os.environ[name] for name in self.VARIABLES if os.environ.get(name)), None)
        if value is None:
            raise ConfigurationError(
                "the OAuth client secret did not reach this process: set CLIENT_SECRET in its environment, "
                "or use --client-secret-file with a file that is there"
            )
        logs.hide(value)
        return value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __reduce__(self) -> tuple[type["Secret"], tuple[None, str | None]]:
        return Secret, (None, self._file)


def _secret_file(path: str) -> str:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(
            f"--client-secret-file {path} cannot be read: put the secret there"
        ) from None
    if not text:
        raise ConfigurationError(f"--client-secret-file {path} is empty: put the secret there")
    return text


@dataclass(frozen=True)
class OAuth:
    """OAuth 2.0 client credentials, and the scopes to ask for."""

    token_url: str
    client_id: str
    client_secret: Secret
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Service:
    """The event service: where it is, how to trust it and how to be let in. `target` is `host:port`."""

    target: str
    plaintext: bool = False
    ca_file: str | None = None
    oauth: OAuth | None = None


@dataclass(frozen=True)
class Subscription:
    """What to subscribe to and how. `types` are tables, always with the consent revocations of the API.

    `history_seconds`: how long the service keeps events, and so how long an outage may last without a gap.
    """

    api: str
    types: tuple[str, ...]
    queue_name: str
    durable_name: str
    members: int
    max_in_flight: int
    ack_timeout_seconds: float
    linger_seconds: float
    start: Start
    history_seconds: float

    @property
    def terms(self) -> Terms:
        """What each member asks of the server."""
        return Terms(
            self.types, self.queue_name, self.durable_name, self.max_in_flight, self.ack_timeout_seconds
        )


@dataclass(frozen=True)
class Stopping:
    """When ingest stops by itself; None means never for this reason."""

    run_for_seconds: float | None
    max_events: int | None
    until_idle_seconds: float | None


@dataclass(frozen=True)
class Publishing:
    """How often to publish, how long to keep what is published, and how fine partitions are (`date` or `hour`)."""

    publish_every_seconds: float
    journal_retention_seconds: float
    partition_by: str


@dataclass(frozen=True)
class Reading:
    """What `query`, `status` and `audit` are asked for. `sql` None means an overview, `output` None stdout."""

    sql: str | None
    fresh: bool
    format: str
    output: str | None
    json: bool
    deep: bool


@dataclass(frozen=True)
class Config:
    """Everything a command needs. A group that the command has no options for holds the defaults.

    `service` is None where there is nothing to connect to; `run` starts a sandbox inside then. `beam_args` are
    what Beam's PipelineOptions take, always with `--runner`.
    """

    command: str
    lake: LakeLocation
    service: Service | None
    subscription: Subscription
    stopping: Stopping
    publishing: Publishing
    reading: Reading
    beam_args: tuple[str, ...]
    log_format: str
    log_level: str

    def child_environment(self) -> dict[str, str]:
        """The variables that a child process needs besides the configuration: the secret, if there is one."""
        oauth = self.service.oauth if self.service else None
        if oauth is None or oauth.client_secret.file is not None:
            return {}
        return {Secret.VARIABLES[0]: oauth.client_secret.reveal()}
