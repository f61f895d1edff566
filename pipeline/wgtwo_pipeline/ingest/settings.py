"""What ingest subscribes to, and how."""

from dataclasses import dataclass

from wgtwo_pipeline.events.api import Start, Terms


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
