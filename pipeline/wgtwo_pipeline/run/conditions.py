"""When ingest has done what it was started for."""

import time

from wgtwo_pipeline.run.config import Stopping

_START_SECONDS = 30.0


class Conditions:
    """Whether ingest has done what it was started for."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._started_at = self._changed_at = time.monotonic()
        self._begun_by = self._started_at + _START_SECONDS
        self._listened = False
        self._received = 0.0

    def reached(self, journaled: float, received: float, busy: bool, listening: bool) -> bool:
        """Call it with the newest counts; who does not listen yet, or has something unacked in hand, is busy.

        The time to run counts from when all listened first, or half a minute after the start.
        """
        now = time.monotonic()
        if not self._listened and now < self._begun_by:
            self._listened, self._started_at = listening, now
        if received != self._received or busy:
            self._received, self._changed_at = received, now
        wanted = self._stopping
        return (
            (wanted.run_for_seconds is not None and now - self._started_at >= wanted.run_for_seconds)
            or (wanted.max_events is not None and journaled >= wanted.max_events)
            or (wanted.until_idle_seconds is not None and now - self._changed_at >= wanted.until_idle_seconds)
        )
