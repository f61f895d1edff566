"""What ingest subscribes to, and how: as it was configured, and as its workers are told."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final
from urllib.parse import quote

from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.events.api import HISTORY, Method, Start, Terms
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import SILENT_SECONDS

_MOST_NAME_BYTES: Final = 200
"""File systems take names of 255 bytes; the API, the method and the separators stand before it."""

_WORTH_WAITING_FOR: Final = 64
"""Up to so many deliveries the commit of a segment costs more than the pause of a server that may send no more."""


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

    def __post_init__(self) -> None:
        name = self.durable_name or self.queue_name
        if len(quote(name, safe="")) > _MOST_NAME_BYTES:
            option = "--durable-name" if self.durable_name else "--queue-name"
            raise ConfigurationError(
                f"{option} {name[:20]}… is too long to name a folder of the lake by: use at most "
                f"{_MOST_NAME_BYTES} ASCII letters and digits; each byte of any other character counts as three"
            )

    @property
    def terms(self) -> Terms:
        """What each member asks of the server."""
        return Terms(
            self.types, self.queue_name, self.durable_name, self.max_in_flight, self.ack_timeout_seconds
        )


@dataclass(frozen=True)
class IngestSettings:
    """All that ingest needs to know; picklable, without secrets."""

    service: Service
    lake: LakeLocation
    terms: Terms
    start: Start
    linger_seconds: float = 0.2
    history_seconds: float = HISTORY.total_seconds()
    """How long the service keeps events."""

    @property
    def enough(self) -> int:
        """So many waiting deliveries make a segment, with those that come right behind them: half of what may come.

        All of `max_in_flight` would wait in vain for as long as one of them is lost or another member's.
        """
        return max(1, self.terms.max_in_flight // 2)

    @property
    def most(self) -> int:
        """No segment has more deliveries. Halves of a large window are large enough, and the next comes meanwhile."""
        return max(self.enough, min(self.terms.max_in_flight, _WORTH_WAITING_FOR))

    @property
    def heartbeat_seconds(self) -> float:
        """After so long without a delivery, an empty segment says that none was missed."""
        return min(60.0, self.history_seconds / 10)

    @property
    def overlap(self) -> timedelta:
        """So much older than `covered_until` an event can be that a member had received and not journaled.

        Or that never came, because the connection was lost before that was noticed.
        """
        return timedelta(seconds=2 * self.terms.ack_timeout_seconds + SILENT_SECONDS)

    @property
    def abandon_seconds(self) -> float:
        """Without a call of `receive` for so long, the stream is closed: its events can go to another member."""
        return max(10.0, self.terms.ack_timeout_seconds)


@dataclass(frozen=True)
class Member:
    """One stream: a subscription may have several."""

    method: Method
    subscription: str
    index: int
