"""Shows how ingest and publish get on: one living line on a terminal, log lines elsewhere and as JSON."""

import logging
import shutil
import sys
import time
from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any, TextIO

from wgtwo_pipeline.logs import ERASE_LINE, is_json

_LOG = logging.getLogger(__name__)

_LINE_SECONDS, _LOG_SECONDS = 0.5, 10.0
_RATE_LINES = 10
"""A rate since the last update of the living line would jump with each segment."""
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
        self._terminal = stream.isatty() and not is_json()
        self._every_seconds = _LINE_SECONDS if self._terminal else _LOG_SECONDS
        self._started_at = time.monotonic()
        self._shown = deque([(self._started_at, 0.0)], maxlen=_RATE_LINES if self._terminal else 1)
        self._line = ""

    def show(self, counts: Mapping[str, float]) -> None:
        """Shows the counts, if it is time to."""
        now = time.monotonic()
        if now - self._shown[-1][0] < self._every_seconds:
            return
        done = counts["journaled" if self._remote else "acked"]
        then, before = self._shown[0]
        rate = (done - before) / (now - then)
        self._shown.append((now, done))
        text = f"journaled {counts['journaled']:,.0f}"
        if not self._remote:
            text = f"received {counts['received']:,.0f}  {text}  acked {counts['acked']:,.0f}"
            if counts["acks_failed"]:  # those events come again
                text += f"  failed acks {counts['acks_failed']:,.0f}"
        if self._publishes:
            text += f"  published {counts['published']:,.0f}"
        text += f"  {rate:,.0f}/s"
        if not self._remote:
            text += f"  oldest unacked {counts['oldest_unacked_seconds']:.1f} s"
        if self._terminal:
            elapsed = int(now - self._started_at)
            line = f"{elapsed // 60:02d}:{elapsed % 60:02d}  {text}"
            room = shutil.get_terminal_size().columns - 1  # a line that wraps would be left behind each time
            self._line = line[:room]
            self._write(self._line)
        else:
            _LOG.info("%s", text)

    def end(self) -> None:
        """Leaves the line as it was last, whatever has been logged over it."""
        if self._terminal:
            self._write(f"{self._line}\n")

    def _write(self, text: str) -> None:
        self._stream.write(f"{ERASE_LINE}{text}")
        self._stream.flush()
