"""The real rooms in a scripted world: what of them is replaced, and publishing without Beam's runner."""

from collections import defaultdict
from dataclasses import dataclass, field, replace
from types import SimpleNamespace

import apache_beam as beam
from apache_beam.options.pipeline_options import PipelineOptions
from checker import ENOUGH_ROWS, PUBLISH_EVERY
from lakes_erased import erase_directly
from plan import ACK_TIMEOUT_SECONDS
from scripted_service import ScriptedTransport
from scripted_time import Idler, Immediate, datetime_of
from wgtwo_pipeline.erase import finish
from wgtwo_pipeline.erase import rooms as erase_rooms
from wgtwo_pipeline.erase.settings import Erasing
from wgtwo_pipeline.events import api
from wgtwo_pipeline.ingest import ack, session, subscribe, worker
from wgtwo_pipeline.ingest.settings import IngestSettings
from wgtwo_pipeline.lake import deduplicate, epochs, erasures, history, journal, subjects
from wgtwo_pipeline.lake.manifest import Parameters
from wgtwo_pipeline.publish import rooms
from wgtwo_pipeline.run import erasing, jobs
from wgtwo_pipeline.service.settings import Service


def install(world, patches):
    """Puts the world's clock, chance, threads, lake and service under the real rooms."""
    clock = world.clock
    secrets = SimpleNamespace(token_hex=lambda _bytes: f"{next(world.names):08x}")

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

    class Condition:
        """What waits for acks gives them their turn."""

        def __init__(self, lock):
            self._lock = lock

        def __enter__(self):
            self._lock.acquire()

        def __exit__(self, *_):
            self._lock.release()

        def notify_all(self):
            pass

        def wait_for(self, predicate, _timeout):
            self._lock.release()
            world.current.background()
            self._lock.acquire()
            return predicate()

    def open_transport(service):
        process = world.known[service.target]
        process.transports.append(ScriptedTransport(world, process, world.service))
        return process.transports[-1]

    without_beam = {
        "beam": SimpleNamespace(Pipeline=lambda options: None),
        "flows": SimpleNamespace(
            publish=lambda _, settings: publish_directly(settings, world.current.number % 2),
            erase=lambda _, settings: erase_directly(settings, world.current.number % 2),
        ),
        "_finish": lambda _: None,
        "memory": SimpleNamespace(release=lambda: None),  # half of the time otherwise
    }
    real = worker.threading
    threading = SimpleNamespace(Thread=Idler, Event=Event, Lock=real.Lock, Condition=Condition)
    fakes = {
        session: {
            "time": clock,
            "datetime": datetime_of(clock),
            "secrets": secrets,
            "random": SimpleNamespace(uniform=lambda low, high: (low + high) / 2),
            "open_store": lambda location: world.known[location.url].store,
            "open_transport": open_transport,
            "_LAKE_RETRY_SECONDS": 20.0,  # the lake is away for half an hour
        },
        subscribe: {"time": clock, "worker": lambda: world.current.worker, "BUNDLE_SECONDS": 1.0},
        journal: {"datetime": datetime_of(clock), "secrets": secrets},
        ack: {
            "time": clock,
            "threading": threading,
        },
        worker: {"threading": threading},
        deduplicate: {"ThreadPoolExecutor": Immediate},
        rooms: {"open_store": lambda location: world.known[location.url].store},
        erase_rooms: {
            "open_store": lambda location: world.known[location.url].store,
            "ThreadPoolExecutor": Immediate,
        },
        erasing: {
            "datetime": datetime_of(clock),
            "open_store": lambda location: world.known[location.url].store,
        },
        subjects: {"PART_ROWS": 4, "READ_TOGETHER": 1, "ThreadPoolExecutor": Immediate},
        finish: {"datetime": datetime_of(clock)},
        erasures: {"secrets": SimpleNamespace(token_bytes=lambda size: b"k" * size)},
        jobs: {
            "datetime": datetime_of(clock),
            "secrets": secrets,
            "open_store": lambda location: world.known[location.url].store,
            "options": lambda *_, **__: PipelineOptions(["--runner=FnApiRunner"]),
            **({} if world.on_beam else without_beam),
        },
        epochs: {
            "datetime": datetime_of(clock),
            "CHECKPOINT_EVERY_EPOCHS": world.story.checkpoint_every,
            "RECENT_EVERY_EPOCHS": 1,
            "_MANY_HEARTBEATS": 3,
            **{name: PerProcess(world, getattr(epochs, name)) for name in ("sealed", "descriptors")},
        },
        history: {"_load_newer": PerProcess(world, history._load_newer)},
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
    decode, write, commit = rooms.Decode(settings), rooms.Write(settings), rooms.Commit(settings)
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
        for epoch, outcome in write.process((key, parts[key])):
            outcomes[epoch].append(outcome)
    for epoch, found in outcomes.items():
        for _ in commit.process((epoch, found[::direction])):
            pass


def ingest(process, story):
    """What a bundle does, for each member of the story."""
    settings = IngestSettings(
        service=Service(process.store.location.url, plaintext=True),
        lake=process.store.location,
        terms=api.Terms(("voice", "sms"), "queue", "durable", story.max_in_flight, ACK_TIMEOUT_SECONDS),
        start=api.Start("oldest"),
    )
    steps = subscribe.Subscribe(settings), subscribe.Journal(settings), subscribe.Ack(settings)
    for member in story.members:
        for group in steps[0].process(member, Tracker()):
            process.background()  # the acks of the group before, while this one waits
            for journaled in steps[1].process(group):
                steps[2].process(journaled)
    process.background()


def configured(lake, choice, story):
    """What an operator has configured."""
    publishing = SimpleNamespace(
        partition_by=choice.partition_by,
        journal_retention_seconds=choice.retention_seconds,
        publish_every_seconds=PUBLISH_EVERY.total_seconds(),
    )
    obeying = Erasing(suppress_seconds=story.suppress_seconds)
    return SimpleNamespace(lake=lake, publishing=publishing, erasing=obeying)


def eraser(lake, choice, story):
    """An eraser, which also publishes."""
    made = erasing.Eraser(configured(lake, choice, story))
    made._publisher = publisher(lake, choice, story)
    return made


def publisher(lake, choice, story):
    """A publisher as its operator has configured it."""
    made = jobs.Publisher(configured(lake, choice, story))
    made._settings = replace(
        made._settings,
        parameters=Parameters(
            descriptors="",
            rows_per_group=choice.rows_per_group,
            rows_per_file=choice.rows_per_file,
            row_group_rows=choice.row_group_rows,
            partition_by=choice.partition_by,
        ),
        limits=epochs.Limits(rows=choice.epoch_rows),
    )
    made._enough = replace(made._enough, rows=ENOUGH_ROWS)
    return made
