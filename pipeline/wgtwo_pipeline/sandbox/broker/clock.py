"""The sandbox's clock: real time at the start, then as fast as asked; it can be moved ahead."""

import time
from collections.abc import Callable


class Clock:
    """Microseconds UTC. Never goes back."""

    def __init__(
        self,
        speed: float = 1.0,
        elapsed: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.speed = speed
        self._elapsed = elapsed
        self._started = elapsed()
        self._base_us = int(now() * 1_000_000)

    def now_us(self) -> int:
        """The time now."""
        return self._base_us + int((self._elapsed() - self._started) * self.speed * 1_000_000)

    def advance(self, seconds: float) -> None:
        """Moves the clock ahead at once. Raises ValueError for a negative time."""
        if seconds < 0:
            raise ValueError("the clock never goes back: advance by 0 or more seconds")
        self._base_us += int(seconds * 1_000_000)
