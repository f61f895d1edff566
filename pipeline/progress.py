"""Shows how ingest and publish get on: one living line on a terminal, plain log lines elsewhere."""

import logging
import shutil
import sys
import time
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

_LOG = logging.getLogger(__name__)

_LINE_SECONDS, _LOG_SECONDS = 0.5, 10.0
_COUNTS = ("received", "journaled", "acked", "acks_failed", "reconnects", "published")


def total(facts: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """The counts of all children together, and the longest wait of any."""
    sums: dict[str, float] = dict.fromkeys(_COUNTS, 0)
    oldest = 0.0
    for each in facts:
        for name in _COUNTS:
            sums[name] += each.get(name, 0)
        oldest = max(oldest, each.get("oldest_unacked_seconds", 0.0))
    return {**sums, "oldest_unacked_seconds": oldest}


class Progress:
    """Call `show` as often as you like; it writes as often as is useful."""

    def __init__(self, publishes: bool, remote: bool = False, stream: TextIO = sys.stderr) -> None:
        """`remote`: nothing is known of the workers, only what they have journaled."""
        self._publishes, self._remote, self._stream = publishes, remote, stream
        self._terminal = stream.isatty()
        self._every_seconds = _LINE_SECONDS if self._terminal else _LOG_SECONDS
        self._started_at = self._shown_at = time.monotonic()
        self._before = 0.0

    def show(self, counts: Mapping[str, float]) -> None:
        """Shows the counts, if it is time to."""
        now = time.monotonic()
        since = now - self._shown_at
        if since < self._every_seconds:
            return
        done = counts["journaled" if self._remote else "acked"]
        rate = (done - self._before) / since
        self._before, self._shown_at = done, now
        text = f"journaled {counts['journaled']:,.0f}"
        if not self._remote:
            text = f"received {counts['received']:,.0f}  {text}  acked {counts['acked']:,.0f}"
        if self._publishes:
            text += f"  published {counts['published']:,.0f}"
        text += f"  {rate:,.0f}/s"
        if not self._remote:
            text += f"  oldest unacked {counts['oldest_unacked_seconds']:.1f} s"
        if self._terminal:
            elapsed = int(now - self._started_at)
            line = f"{elapsed // 60:02d}:{elapsed % 60:02d}  {text}"
            room = shutil.get_terminal_size().columns - 1  # a line that wraps would be left behind each time
            self._stream.write(f"\r\x1b[2K{line[:room]}")
            self._stream.flush()
        else:
            _LOG.info("%s", text)

    def end(self) -> None:
        """Leaves the line."""
        if self._terminal:
            self._stream.write("\n")
            self._stream.flush()
