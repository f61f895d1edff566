"""What a stream asks for."""

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Start:
    """Where a group begins in each channel in which it holds no position."""

    at: Literal["new", "sequence", "timestamp", "last", "oldest"] = "new"
    value: int = 0  # a sequence, or microseconds UTC


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a stream asks for. `group` None: a group of its own, gone with the stream."""

    channels: tuple[str, ...]
    group: Hashable | None = None
    durable: bool = False
    start: Start = Start()
    max_in_flight: int = 50
    ack_timeout_us: int | None = 30_000_000  # None: acked once sent
