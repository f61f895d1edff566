"""A world that runs the real rooms step by step, and can be stopped at any of them.

Every operation on the lake or the service is one numbered step. A plan says what goes wrong at which step: the
process dies before or after it, an answer is lost, or the process freezes and goes on later, as a zombie, while a
second copy has taken over. After the story the world lets fresh processes finish, then asks the checker.

It is over 300 lines because a step, and all that can go wrong at it, is to be read in one place.
"""

import contextlib
import itertools
from datetime import timedelta

import pytest
from checker import Checker
from plan import (
    ACK_TIMEOUT_SECONDS,
    FAULTS,
    LATE_STEPS,
    MOST_STEPS,
    PATIENCE,
    QUIET_TURNS,
    ZIGZAG,
    ZOMBIE_FAULTS,
    Step,
)
from process import KilledError, Process
from scripted_lake import Bucket
from scripted_rooms import eraser, ingest, install, publisher
from scripted_service import ScriptedService
from scripted_time import Clock
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.ingest import worker
from wgtwo_pipeline.lake import lake_format


class World:
    """Runs one story under one plan. `mutate(patches)` plants a bug; `on_beam`: publish on Beam's own runner."""

    def __init__(self, story, plan=None, mutate=None, on_beam=False):
        self.story, self.plan, self._mutate, self.on_beam = story, dict(plan or {}), mutate, on_beam
        self.clock = Clock(story.starts)
        self.lake_down_until_us = 0
        self.steps: list[Step] = []
        self.hit: set[int] = set()  # steps at which the plan struck
        self.current: Process | None = None
        self.zombies: list[Process] = []
        self._later = []
        self._numbers = itertools.count(1)
        self.names = itertools.count(1)
        self._publishers = 0
        self._pause_seconds = 0.0
        self._processes: dict[str, Process] = {}
        self.known: dict[str, Process] = {}
        self.last_error: LakeError | None = None
        retention = timedelta(seconds=min(choice.retention_seconds for choice in story.choices))
        self.checker = Checker(lambda: self.service.emitted, retention)
        self.checker.erasures.suppress_seconds = story.suppress_seconds
        self.bucket = Bucket(self.clock, self.checker)
        self.service = ScriptedService(self)

    # What the scripted lake and service call.

    def step(self, process, kind, key):
        """One operation begins; returns the fault to play. Raises KilledError, or blocks while frozen."""
        if process.dead or self.checker.violations:
            raise KilledError
        if process.credit is not None:
            if process.credit == 0:
                process.park()
            if process.credit is not None:
                process.credit -= 1
        number = len(self.steps)
        self.steps.append(Step(process.role, kind, key))
        self.clock.advance(0.001)
        self._others(process)
        if number > MOST_STEPS:
            self.checker.violation(f"stuck: {kind} {key} goes on for ever")
            self.kill(process)
        fault = self.plan.get(number)
        if fault is None or fault.what not in ("freeze", *FAULTS.get(kind, ()), *ZOMBIE_FAULTS.get(kind, ())):
            return None
        self.hit.add(number)
        if fault.what in ("freeze", "again"):
            process.resume_at = None if fault.resume is None else number + fault.resume
            process.way = fault.way
        if fault.what == "freeze":
            process.park()
            return None
        if fault.what.startswith("kill"):
            for role in [role for role, each in self._processes.items() if each is not process and fault.all]:
                self._drop(role)
            self._pause_seconds = fault.pause
        if fault.what == "kill before":
            self.kill(process)
        return fault.what

    def kill(self, process):
        process.dead = True
        for transport in process.transports:
            transport.close()
        raise KilledError

    def later(self, effect):
        """Something the network holds back for a while."""
        self._later.append((len(self.steps) + LATE_STEPS, effect))

    # The run.

    def run(self):
        """Plays the story, lets zombies and fresh processes finish, returns what the checker found."""
        with pytest.MonkeyPatch.context() as patches:
            install(self, patches)
            if self._mutate:
                self._mutate(patches)
            try:
                self._tell()
            finally:
                self._bury()
            if not self.checker.violations:
                self.checker.finish(self.service.lost())
            return self.checker.violations

    def _tell(self):
        for word in self.story.script.split():
            self._play(word)
            if self.checker.violations:
                return
        self._settle()
        if self.zombies or self._later:
            self._happen(everything=True)
            for zombie in self.zombies:
                self._resume(zombie)
            self._settle()

    def _play(self, word):
        verb, _, detail = word.partition(":")
        if verb == "ingest":
            self._do("ingest", self._ingest)
        elif verb == "publish":
            self._do("publish", self._publish)
        elif verb == "due":
            began = self.clock.now()
            self.checker.must_be_due = not self.plan
            self._do("publish", self._publish_due)
            self.checker.must_be_due = False
            self.checker.none_is_due(began, self.clock.now())
        elif verb == "restore":
            self.bucket.restore("journal/")
        elif verb == "erase":
            self._do("erase", self._erase)
        elif verb == "restart":
            self._do("ingest", self._ingest_and_stop)
            self._processes.pop("ingest", None)
        elif verb == "crash":
            self._drop(detail)
        elif verb == "wait":
            self.clock.advance(float(detail))
        elif verb in ("deaf", "hears"):
            self.service.deaf = verb == "deaf"
        elif verb in ("mute", "unmute"):
            self.service.mute = verb == "mute"
        elif verb == "down":
            self.lake_down_until_us = self.clock.us + int(float(detail) * 1e6)
        else:
            self.service.emit(verb, detail)

    def _do(self, role, function):
        for _ in range(PATIENCE):
            process = self._processes.get(role) or self._start(role)
            try:
                if process.run(lambda process=process: function(process)):
                    return
                self.zombies.append(process)
                self._processes.pop(role, None)
            except KilledError:
                if self.checker.violations:
                    return
                self._drop(role)
                self.clock.advance(self._pause_seconds)
                self._pause_seconds = 0.0
            except LakeError as error:
                self.last_error = error
                self.clock.advance(max(1.0, (self.lake_down_until_us - self.clock.us) / 1e6))
            except Exception as error:
                self.checker.violation(f"{role} raised {error!r}")
                return
        self.checker.violation(f"stuck: {role} fails again and again: {self.last_error}")

    def _settle(self):
        """Fresh starts run to the end: all events acked, all segments published."""
        for _ in range(PATIENCE):
            self._do("ingest", self._ingest)
            self._do("publish", self._publish)
            if self.story.erases:
                self._do("erase", self._erase)
            if self.service.settled and not self.checker.waiting():
                for _ in range(QUIET_TURNS if self.service.lost() else 0):
                    self._do("ingest", self._ingest)  # until it is sure that the stream lives
                return
            self.clock.advance(ACK_TIMEOUT_SECONDS + 1)
        self.checker.violation(
            f"stuck: after {PATIENCE} rounds {self.checker.waiting()} wait, settled: {self.service.settled}"
        )

    def _start(self, role):
        process = Process(self, role, next(self._numbers))
        self.known[process.store.location.url] = self._processes[role] = process
        before, self.current = self.current, process
        if role == "ingest":
            process.worker = worker.Worker()
        elif role == "erase":
            process.eraser = eraser(process.store.location, self.story.choices[0], self.story)
        else:
            process.publisher = self._publisher(process)
        self.current = before
        return process

    def _publisher(self, process):
        choice = self.story.choices[min(self._publishers, len(self.story.choices) - 1)]
        self._publishers += 1
        return publisher(process.store.location, choice, self.story)

    def _drop(self, role):
        process = self._processes.pop(role, None)
        if process:
            process.dead = True
            for transport in process.transports:
                transport.close()

    def _check(self, process):
        """What a command looks at before it works."""
        if not process.is_checked:
            lake_format.check(process.store)
            process.is_checked = True

    def _ingest(self, process):
        self._check(process)
        ingest(process, self.story)

    def _ingest_and_stop(self, process):
        process.worker.stopping.set()
        self._ingest(process)
        process.worker.close()

    def _publish(self, process):
        self._check(process)
        for _ in process.publisher.publish_all():
            pass

    def _erase(self, process):
        self._check(process)
        for _ in process.eraser.erase():
            pass

    def _publish_due(self, process):
        self._check(process)
        for _ in process.publisher.publish_due():
            pass

    def _others(self, process):
        """What else happens at this moment: late effects, and zombies that go on."""
        self._happen()
        for zombie in self.zombies:
            due = zombie.resume_at is not None and zombie.resume_at <= len(self.steps)
            if zombie.parked and due and zombie is not process:
                self._resume(zombie, 1 if zombie.way == ZIGZAG else None)

    def _resume(self, zombie, credit=None):
        if not zombie.parked:
            return
        with contextlib.suppress(KilledError):
            try:
                zombie.go_on(credit)
            except LakeError:
                pass  # its runner would start it again: that is what the others are
            except Exception as error:
                self.checker.violation(f"a zombie raised {error!r}")

    def _happen(self, everything=False):
        due = [item for item in self._later if everything or item[0] <= len(self.steps)]
        for item in due:
            self._later.remove(item)
            with contextlib.suppress(LakeError):
                item[1]()

    def _bury(self):
        for process in [*self.zombies, *self._processes.values()]:
            process.dead = True
            if process.parked:
                self._resume(process)
