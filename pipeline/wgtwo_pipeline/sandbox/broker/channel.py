"""Channels: one event kind's numbered events, as far back as the history reaches. Pure."""

from bisect import bisect_left

from wgtwo_pipeline.sandbox.broker.subscription import Start
from wgtwo_pipeline.sandbox.events.event import Event


class Channel:
    """One event kind's numbered events, from `first` to `last`."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.first = 1
        self.last = 0
        self.last_timestamp_us = 0
        self.events: dict[int, Event] = {}

    def append(self, event: Event) -> None:
        """Adds the next event; its sequence is `last + 1`."""
        self.last = event.sequence
        self.last_timestamp_us = event.timestamp_us
        self.events[event.sequence] = event

    def trim(self, before_us: int) -> None:
        """Forgets what is older."""
        while self.first <= self.last and self.events[self.first].timestamp_us < before_us:
            del self.events[self.first]
            self.first += 1

    def position(self, start: Start) -> int:
        """The first sequence that a subscription starting there is sent, always within first .. last + 1."""
        match start.at:
            case "new":
                return self.last + 1
            case "oldest":
                return self.first
            case "last":
                return max(self.first, self.last)
            case "sequence":
                return min(max(self.first, start.value), self.last + 1)
            case "timestamp":
                held = range(self.first, self.last + 1)
                return self.first + bisect_left(held, start.value, key=lambda s: self.events[s].timestamp_us)
