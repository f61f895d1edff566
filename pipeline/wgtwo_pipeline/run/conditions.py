"""When ingest has done what it was started for."""

import time

from wgtwo_pipeline.run.config import Stopping

_START_SECONDS = 30.0
"""How long members that are there may take to listen."""

_IMPORT_SECONDS = 300.0
"""How long they may take to be there: imports take seconds, and far more where other work has the cores."""


class Conditions:
    """Whether ingest has done what it was started for."""

    def __init__(self, stopping: Stopping) -> None:
        self._stopping = stopping
        self._started_at = self._changed_at = time.monotonic()
        self._there_by = self._started_at + _IMPORT_SECONDS
        self._begun_by = self._started_at + _START_SECONDS
        self._listened = False
        self._received = 0.0

    def reached(
        self, journaled: float, received: float, busy: bool, listening: bool, there: bool = True
    ) -> bool:
        """Call it with the newest counts; who does not listen yet, or has something unacked in hand, is busy.

        The time to run counts from when all listened first, or half a minute after all were `there`: until then they
        import, and have said nothing yet.
        """
        now = time.monotonic()
        if not there and now < self._there_by:
            self._begun_by = now + _START_SECONDS
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
