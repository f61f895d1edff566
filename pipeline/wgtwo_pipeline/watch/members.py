"""One member of a subscription, as it is shown."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Member:
    """One member of a subscription, as it was last heard of; None where it has not said so."""

    name: str
    subscription: str
    connected: bool
    received: int
    acked: int
    in_flight: int
    oldest_unacked_seconds: float
    covered_until: float | None
