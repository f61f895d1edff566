"""Something that is done again and again in a thread, until it is closed."""

import threading
import time
from collections.abc import Callable


class Repeated:
    """Calls `work`, which must not raise, at once and then every so often; from construction on."""

    def __init__(self, name: str, work: Callable[[], None], every_seconds: float) -> None:
        self._work, self._every = work, every_seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name=name, daemon=True)
        self._thread.start()

    def is_alive(self) -> bool:
        """Whether it still goes on."""
        return self._thread.is_alive()

    def close(self) -> None:
        """Does it no further time. Returns at once."""
        self._closing.set()

    def _go_on(self) -> None:
        while not self._closing.is_set():
            began_at = time.monotonic()
            self._work()
            took_seconds = time.monotonic() - began_at
            self._closing.wait(max(min(1.0, self._every), self._every - took_seconds))
