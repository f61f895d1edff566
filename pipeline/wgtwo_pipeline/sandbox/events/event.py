"""An emitted event: what the broker keeps, and what `encode.py` makes a response of."""

from dataclasses import dataclass

EventKey = tuple[str, int]  # channel, sequence


@dataclass(frozen=True, slots=True)
class Event:
    """One emitted event; `head` and `body` are its bytes as `encode.py` joins them with a delivery's own."""

    number: int  # from 1, in order of emission over all channels
    channel: str
    sequence: int
    timestamp_us: int
    body: bytes
    head: bytes = b""
    malformed: str = ""

    @property
    def key(self) -> EventKey:
        """What an ack names."""
        return self.channel, self.sequence
