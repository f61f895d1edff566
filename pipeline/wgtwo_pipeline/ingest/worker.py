"""The one place with global mutable state: what a worker process keeps between Beam's calls.

A runner may create, drop and recreate DoFns at will and call them from changing threads; streams and
connections must outlive that. Nothing here is ever pickled, and correctness never rests on it: a process
that forgets it all only causes redeliveries.
"""

import atexit
import logging
import os
import threading
from typing import Any

from wgtwo_pipeline.ingest.counters import Counters
from wgtwo_pipeline.ingest.session import Session
from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.lake.store import LakeLocation

_LOG = logging.getLogger(__name__)

_WATCH_SECONDS = 1.0


class Worker:
    """The sessions of one process, its counters, and whether it is to stop."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.stopping = threading.Event()
        self._sessions: dict[tuple[LakeLocation, Member], Session] = {}
        self._lock = threading.Lock()
        self._watcher: threading.Thread | None = None

    def session(self, settings: IngestSettings, member: Member) -> Session:
        """The session of this member, opened at the first call and again after it was closed."""
        with self._lock:
            key = (settings.lake, member)
            if key not in self._sessions:
                self._sessions[key] = Session(settings, member, self.counters, self.stopping)
            if self._watcher is None:
                self._watcher = threading.Thread(target=self._watch, name="session-watcher", daemon=True)
                self._watcher.start()
            self._sessions[key].asked()  # under the lock, so that it is not closed at this moment
            return self._sessions[key]

    def facts(self) -> dict[str, Any]:
        """What is told of this process outside, with `subscription` and what else its one member says of itself."""
        with self._lock:
            sessions = list(self._sessions.values())
        facts = self.counters.facts()
        for session in sessions:
            facts |= session.facts()
        return facts

    def close(self) -> None:
        """Closes all sessions; blocks until the acks under way were answered, a few seconds at most."""
        with self._lock:
            sessions, self._sessions = self._sessions, {}
        for session in sessions.values():
            session.close()

    def _watch(self) -> None:
        """Closes sessions that the runner has abandoned, so that their events can go to another member."""
        while not self.stopping.wait(_WATCH_SECONDS):
            with self._lock:
                abandoned = [key for key, session in self._sessions.items() if session.abandoned]
                closing = [self._sessions.pop(key) for key in abandoned]
            for session in closing:
                _LOG.warning("the runner no longer asks for events; closing member %d", session.member.index)
                session.close()


_workers: dict[int, Worker] = {}
_lock = threading.Lock()


def worker() -> Worker:
    """This process's worker; a forked child gets its own."""
    process = os.getpid()
    with _lock:
        if process not in _workers:
            # A parent's stays where it is: to let go of it would end the connections that the parent goes on using.
            _workers[process] = Worker()
            atexit.register(_close, _workers[process], process)
        return _workers[process]


def _close(worker: Worker, process: int) -> None:
    if os.getpid() == process:  # a forked child inherits what its parent has registered
        worker.close()
