"""A world that runs the real rooms step by step, and can be stopped at any of them.

Every operation on the lake or the service is one numbered step. A plan says what goes wrong at which step: the
process dies before or after it, an answer is lost, or the process freezes and goes on later, as a zombie, while a
second copy has taken over. After the story the world lets fresh processes finish, then asks the checker.
"""

import contextlib
import itertools
import queue
from collections import defaultdict
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from checker import Checker
from scripted_lake import Bucket, ScriptedStore
from scripted_service import ScriptedService, ScriptedTransport
from scripted_time import Clock, Coroutine, Immediate, Queue, Thread, datetime_of
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.events import api
from wgtwo_pipeline.ingest import ack, session, subscribe, worker
from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.lake import deduplicate, epochs, history, journal
from wgtwo_pipeline.lake.manifest import Parameters
from wgtwo_pipeline.publish import rooms
from wgtwo_pipeline.run import jobs
from wgtwo_pipeline.service.settings import Service

ACK_TIMEOUT_SECONDS = 30.0
LATE_STEPS = 9
ZIGZAG = "zigzag"
V0 = Member(api.V0, "v0.queue", 0)
V1 = Member(next(m for m in api.V1 if m.name == "StreamHandsetChangeEvents"), "v1.handsets.queue", 0)

FAULTS = {
    "put": ("kill before", "kill after", "lose before", "lose after", "late"),
    "delete": ("kill before", "kill after", "lose before", "lose after", "late"),
    "ack": ("kill before", "kill after", "lose before", "lose after", "refuse"),
    "receive": ("cut",),
}
"""What can go wrong at a step of each kind, besides freezing."""
ZOMBIE_FAULTS = {"put": ("again",)}
"""What takes until others have gone on: a put that took place, and that its store repeats after a while."""
MOST_STEPS = 6_000
QUIET_TURNS = 8
PATIENCE = 8
"""So often something may fail, or be begun anew, before it counts as stuck."""


class KilledError(BaseException):
    """The process is dead: nothing of it may run on."""


@dataclass(frozen=True)
class Choice:
    """What an operator has configured for publishing."""

    rows_per_group: int = 3
    rows_per_file: int = 3
    row_group_rows: int = 2
    partition_by: str = "date"
    epoch_rows: int = 100
    retention_seconds: float = 0.0


@dataclass(frozen=True)
class Story:
    """What happens, as words: a channel (`voice`, `sms:utf8`) emits an event; `ingest` and `publish` run for a
    while; `wait:31` passes seconds; `restart` asks ingest to stop, in order, `crash:publish` kills; between `deaf`
    and `hears` the service gets no ack, between `mute` and `unmute` nothing that it sends arrives; `down:90` takes
    the lake away for 90 seconds."""

    name: str
    script: str
    choices: tuple[Choice, ...] = (Choice(),)  # each start of a publisher takes the next
    members: tuple[Member, ...] = (V0,)
    starts: datetime = datetime(2026, 11, 23, 23, 59, 58, tzinfo=UTC)
    max_in_flight: int = 6
    repeat: int = 0  # so many times more the service sends each delivery
    checkpoint_every: int = 2


@dataclass(frozen=True)
class Fault:
    """What happens at a step. `resume`: a frozen process goes on after so many further steps (None: at the end);
    `way`: at once until it ends, or in turns with the others; `all`: a kill takes every process with it;
    `pause`: so many seconds pass before anyone starts again."""

    what: str
    resume: int | None = None
    way: str = ""
    all: bool = True
    pause: float = 0.0


@dataclass(frozen=True)
class Step:
    """One operation that took place."""

    role: str
    kind: str
    key: str


class Process:
    """What one process holds in memory; gone when it is killed."""

    def __init__(self, world, role, number):
        self.world, self.role, self.name = world, role, f"{role}-{number}"
        self.number = number
        self.dead = False
        self.parked = False
        self.credit: int | None = None  # so many steps before it parks again
        self.resume_at: int | None = None
        self.way = ""
        self.caches = {}
        self.threads = []
        self.transports = []
        self.store = ScriptedStore(world, self, world.bucket)
        self.worker = None
        self._running: Coroutine | None = None

    def run(self, function):
        """Runs it in this process. Returns whether it ended; False where it froze. Raises what it raises."""
        self._running = Coroutine(function)
        return self.go_on()

    def go_on(self, credit=None):
        self.credit, self.parked = credit, False
        before, self.world.current = self.world.current, self
        self._running.go_on()
        self.world.current = before
        if self.parked:
            return False
        if self._running.error is not None:
            raise self._running.error
        return True

    def park(self):
        self.parked = True
        self._running.park()
        if self.dead:
            raise KilledError

    def background(self):
        """Gives each thread of this process a turn."""
        for thread in self.threads:
            thread.turn()


class World:
    """Runs one story under one plan. `mutate(patches)` plants a bug; `on_beam`: publish on Beam's own runner."""

    def __init__(self, story, plan=None, mutate=None, on_beam=False):
        self.story, self.plan, self._mutate, self._on_beam = story, dict(plan or {}), mutate, on_beam
        self.clock = Clock(story.starts)
        self.lake_down_until_us = 0
        self.steps: list[Step] = []
        self.hit: set[int] = set()  # steps at which the plan struck
        self.current: Process | None = None
        self.zombies: list[Process] = []
        self._later = []
        self._numbers = itertools.count(1)
        self._names = itertools.count(1)
        self._publishers = 0
        self._pause_seconds = 0.0
        self._processes: dict[str, Process] = {}
        self._known: dict[str, Process] = {}
        self.last_error: LakeError | None = None
        retention = timedelta(seconds=min(choice.retention_seconds for choice in story.choices))
        self.checker = Checker(lambda: self.service.emitted, retention)
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
            self._install(patches)
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
        self._known[process.store.location.url] = self._processes[role] = process
        before, self.current = self.current, process
        if role == "ingest":
            process.worker = worker.Worker()
        else:
            process.publisher = self._publisher(process)
        self.current = before
        return process

    def _publisher(self, process):
        choice = self.story.choices[min(self._publishers, len(self.story.choices) - 1)]
        self._publishers += 1
        publishing = SimpleNamespace(
            partition_by=choice.partition_by, journal_retention_seconds=choice.retention_seconds
        )
        publisher = jobs.Publisher(SimpleNamespace(lake=process.store.location, publishing=publishing))
        publisher._settings = replace(
            publisher._settings,
            parameters=Parameters(
                descriptors="",
                rows_per_group=choice.rows_per_group,
                rows_per_file=choice.rows_per_file,
                row_group_rows=choice.row_group_rows,
                partition_by=choice.partition_by,
            ),
            limits=epochs.Limits(rows=choice.epoch_rows),
        )
        return publisher

    def _drop(self, role):
        process = self._processes.pop(role, None)
        if process:
            process.dead = True
            for transport in process.transports:
                transport.close()

    def _ingest(self, process):
        settings = IngestSettings(
            service=Service(process.store.location.url, plaintext=True),
            lake=process.store.location,
            terms=api.Terms(
                ("voice", "sms"), "queue", "durable", self.story.max_in_flight, ACK_TIMEOUT_SECONDS
            ),
            start=api.Start("oldest"),
        )
        rooms = subscribe.Subscribe(settings), subscribe.Journal(settings), subscribe.Ack(settings)
        for member in self.story.members:
            for group in rooms[0].process(member, Tracker()):
                process.background()  # the acks of the group before, while this one waits
                for journaled in rooms[1].process(group):
                    rooms[2].process(journaled)
        process.background()

    def _ingest_and_stop(self, process):
        process.worker.stopping.set()
        self._ingest(process)
        process.worker.close()

    def _publish(self, process):
        for _ in process.publisher.publish_all():
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

    def _install(self, patches):
        clock = self.clock
        secrets = SimpleNamespace(token_hex=lambda _bytes: f"{next(self._names):08x}")

        class Event:
            def __init__(self):
                self._is_set = False

            def set(self):
                self._is_set = True

            def is_set(self):
                return self._is_set

            def wait(self, seconds):
                clock.advance(0 if self._is_set else seconds)
                return self._is_set

        def thread(target, **_):
            made = Thread(target)
            if target.__name__ == "_run":  # not the watcher of sessions that nobody asks
                self.current.threads.append(made)
            return made

        def open_transport(service):
            process = self._known[service.target]
            process.transports.append(ScriptedTransport(self, process, self.service))
            return process.transports[-1]

        without_beam = {
            "beam": SimpleNamespace(Pipeline=lambda options: None),
            "flows": SimpleNamespace(
                publish=lambda _, settings: publish_directly(settings, self.current.number % 2)
            ),
            "_finish": lambda _: None,
            "memory": SimpleNamespace(release=lambda: None),  # half of the time otherwise
        }
        real = worker.threading
        threading = SimpleNamespace(Thread=thread, Event=Event, Lock=real.Lock)
        fakes = {
            session: {
                "time": clock,
                "datetime": datetime_of(clock),
                "secrets": secrets,
                "random": SimpleNamespace(uniform=lambda low, high: (low + high) / 2),
                "open_store": lambda location: self._known[location.url].store,
                "open_transport": open_transport,
                "_LAKE_RETRY_SECONDS": 20.0,  # the lake is away for half an hour
            },
            subscribe: {"time": clock, "worker": lambda: self.current.worker, "BUNDLE_SECONDS": 1.0},
            journal: {"datetime": datetime_of(clock), "secrets": secrets},
            ack: {
                "time": clock,
                "threading": threading,
                "queue": SimpleNamespace(SimpleQueue=Queue, Empty=queue.Empty),
            },
            worker: {"threading": threading},
            deduplicate: {"ThreadPoolExecutor": Immediate},
            rooms: {"open_store": lambda location: self._known[location.url].store},
            jobs: {
                "datetime": datetime_of(clock),
                "secrets": secrets,
                "open_store": lambda location: self._known[location.url].store,
                "options": lambda *_, **__: (
                    PipelineOptions(["--runner=FnApiRunner"]) if self._on_beam else None
                ),
                **({} if self._on_beam else without_beam),
            },
            epochs: {
                "datetime": datetime_of(clock),
                "CHECKPOINT_EVERY_EPOCHS": self.story.checkpoint_every,
                "_MANY_HEARTBEATS": 3,
                **{name: PerProcess(self, getattr(epochs, name)) for name in ("sealed", "descriptors")},
            },
            history: {"_load_newer": PerProcess(self, history._load_newer)},
        }
        for module, names in fakes.items():
            for name, fake in names.items():
                patches.setattr(module, name, fake)


class PerProcess:
    """A cached function, with a cache for each process."""

    def __init__(self, world, cached):
        self._world, self._function, self._name = world, cached.__wrapped__, cached.__name__

    def __call__(self, *arguments):
        cache = self._cache()
        if arguments[1:] not in cache:
            cache[arguments[1:]] = self._function(*arguments)
        return cache[arguments[1:]]

    def cache_clear(self):
        self._cache().clear()

    def _cache(self):
        return self._world.current.caches.setdefault(self._name, {})


@dataclass
class Tracker:
    """The part of a restriction tracker that `Subscribe` uses."""

    deferred: bool = field(default=False)

    def current_restriction(self):
        return SimpleNamespace(start=0)

    def try_claim(self, _position):
        return True

    def defer_remainder(self):
        self.deferred = True


def publish_directly(settings, backwards):
    """`flows.publish` without Beam: the same rooms; what a runner may deliver in any order comes in two."""
    decode, write = rooms.Decode(settings), rooms.Write(settings)
    deduplicating, commit = rooms.Deduplicate(settings), rooms.Commit(settings)
    direction = -1 if backwards else 1
    outcomes, parts = defaultdict(list), defaultdict(list)
    for group in list(rooms.Seal(settings).process(None))[::direction]:
        for output in decode.process(group):
            if isinstance(output, beam.pvalue.TaggedOutput):
                epoch, outcome = output.value
                outcomes[epoch].append(outcome)
            else:
                parts[output[0]].append(output[1])
    for key in list(parts)[::direction]:
        for deduplicated in deduplicating.process((key, parts[key])):
            for epoch, outcome in write.process(deduplicated):
                outcomes[epoch].append(outcome)
    for epoch, found in outcomes.items():
        for _ in commit.process((epoch, found[::direction])):
            pass
