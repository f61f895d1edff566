"""The unbounded source on Beam's in-process runner, and step by step: what is claimed, deferred, drained, raised."""

import dataclasses
import pickle
import threading
import time

import apache_beam as beam
import pytest
from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.options.pipeline_options import PipelineOptions
from hypothesis import given
from hypothesis import strategies as st
from memory_store import MemoryStore
from patience import PATIENCE_SECONDS
from scripted_transport import ScriptedStream, ScriptedTransport
from wgtwo_pipeline import flows
from wgtwo_pipeline.errors import ServiceError
from wgtwo_pipeline.events import api
from wgtwo_pipeline.ingest import session, subscribe, worker
from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.ingest.subscribe import Groups, Subscribe
from wgtwo_pipeline.lake import journal
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.ranges import RangeCoder, RangeTracker
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import CallResult, StreamEndedError

TERMS = api.Terms(("sms",), "queue", "durable", 4, 30)
SETTINGS = IngestSettings(Service("localhost:1", True), LakeLocation("memory"), TERMS, api.Start())
MEMBER = Member(api.V0, "v0.test", 0)
RUNNER = PipelineOptions(["--runner=FnApiRunner"], streaming=True)


class World:
    def __init__(self):
        self.store, self.transport = MemoryStore(), ScriptedTransport()

    @property
    def process(self):
        return worker.worker()

    def run(self):
        pipeline = beam.Pipeline(options=RUNNER)
        flows.ingest(pipeline, SETTINGS, [MEMBER])
        result = pipeline.run()
        result.wait_until_finish()
        return result

    def stop_when(self, condition):
        def wait():
            deadline = time.monotonic() + PATIENCE_SECONDS
            while not condition() and time.monotonic() < deadline:
                time.sleep(0.005)
            self.process.stopping.set()

        threading.Thread(target=wait, daemon=True).start()

    def payloads(self):
        keys = self.store.keys("journal/")
        found = [segment.deliveries["payload"].to_pylist() for _, segment in journal.read(self.store, keys)]
        return [payload for payloads in found for payload in payloads]


@pytest.fixture
def world(monkeypatch):
    made = World()
    monkeypatch.setattr(worker, "_workers", {})
    monkeypatch.setattr(session, "open_store", lambda location: made.store)
    monkeypatch.setattr(session, "open_transport", lambda service: made.transport)
    monkeypatch.setattr(session, "_FIRST_BACKOFF_SECONDS", 0.01)
    monkeypatch.setattr(subscribe, "POLL_SECONDS", 0.02)
    yield made
    made.process.stopping.set()
    made.process.close()


def delivery(number):
    return b"\x0a\x04\x0a\x02\x08" + bytes((number,))


class RealTime:
    """A scripted stream that takes as long as it says."""

    monotonic = staticmethod(time.monotonic)

    @property
    def now(self):
        return time.time()

    @now.setter
    def now(self, value):
        time.sleep(0.01)


def stream(*script):
    return ScriptedStream(RealTime(), script)


# On a runner


def test_deliveries_are_journaled_and_acked_on_a_runner(world, monkeypatch):
    """Over several bundles and streams, everything once and in order; a stop ends the job and loses nothing."""
    monkeypatch.setattr(subscribe, "BUNDLE_SECONDS", 0.05)
    numbers = range(1, 31)
    groups = [[delivery(number)] for number in numbers]
    world.transport.streams.extend(
        [stream(*groups[:10], StreamEndedError("OK", "")), stream(*groups[10:20], [], []), stream()]
    )
    world.transport.streams[1]._script.extend([*groups[20:]])
    world.stop_when(lambda: len(world.payloads()) == 30)
    result = world.run()
    world.process.close()
    assert world.payloads() == [delivery(number) for number in numbers]
    assert world.process.counters.snapshot()["acked"] == 30
    counted = {metric.key.metric.name: metric.result for metric in result.metrics().query()["counters"]}
    assert counted["received"] == counted["journaled"] == 30


def test_what_had_come_is_stored_when_asked_to_stop(world):
    """The stop comes first, then what waits in the buffer is journaled and acked all the same."""
    waiting = stream([delivery(number) for number in range(1, 6)], [delivery(6)])
    world.transport.streams.append(waiting)
    world.process.session(SETTINGS, MEMBER).receive(0.1)
    world.process.stopping.set()
    world.run()
    world.process.close()
    assert world.payloads() == [delivery(5), delivery(6)]  # the first four were received before
    assert waiting.cancelled
    assert world.process.counters.snapshot()["acked"] == 2


def test_an_error_of_ours_comes_out_of_the_runner_as_it_went_in(world):
    """One clear sentence, of our own class: who runs this shows it and ends with its exit code."""
    world.transport.streams.append(stream(ServiceError("change --endpoint")))
    with pytest.raises(ServiceError) as raised:
        world.run()
    assert str(raised.value) == "change --endpoint"


def test_nothing_is_acked_before_it_is_durable(world):
    """At the moment of each ack the journal has it."""
    durable = []

    def answer(request):
        durable.append(bool(world.payloads()))
        return CallResult("OK", "", b"")

    world.transport.answer = answer
    world.transport.streams.append(stream([delivery(1)], [delivery(2)]))
    world.stop_when(lambda: len(durable) == 2)
    world.run()
    assert durable == [True, True]


# Step by step


class Tracker:
    """What `process` does with its restriction."""

    def __init__(self, claims=10**9):
        self.claimed, self.deferred, self._claims = [], False, claims

    def current_restriction(self):
        return OffsetRange(3, 2**62)

    def try_claim(self, position):
        if len(self.claimed) >= self._claims:
            return False
        self.claimed.append(position)
        return True

    def defer_remainder(self):
        self.deferred = True


def test_nothing_is_taken_without_a_claim(world):
    """What is taken from the buffer after a failed claim would be dropped by the runner."""
    waiting = stream([delivery(1)], [delivery(2)])
    world.transport.streams.append(waiting)
    tracker = Tracker(claims=1)
    groups = list(Subscribe(SETTINGS).process(MEMBER, tracker))
    assert [len(group.received) for group in groups] == [1]
    assert waiting.waiting == 1


def test_a_bundle_ends_by_deferring(world, monkeypatch):
    """After its time, with the next position unclaimed."""
    monkeypatch.setattr(subscribe, "BUNDLE_SECONDS", 0.0)
    world.transport.streams.append(stream([delivery(1)], [delivery(2)]))
    tracker = Tracker()
    assert len(list(Subscribe(SETTINGS).process(MEMBER, tracker))) == 1
    assert tracker.deferred
    assert tracker.claimed == [3]


def test_a_stop_claims_the_rest(world):
    """So that the runner knows that nothing is left."""
    world.process.stopping.set()
    tracker = Tracker()
    assert list(Subscribe(SETTINGS).process(MEMBER, tracker)) == []
    assert not tracker.deferred
    assert tracker.claimed == [3, 2**62 - 1]


def test_silence_is_journaled(world, monkeypatch):
    """A heartbeat goes to the journal, not down the pipeline."""
    monkeypatch.setattr(session, "_HEALTHY_AFTER_SECONDS", 0.0)
    monkeypatch.setattr(subscribe, "BUNDLE_SECONDS", 0.1)
    world.transport.streams.append(stream())
    assert list(Subscribe(SETTINGS).process(MEMBER, Tracker())) == []
    assert [key.rsplit("-", 1)[1] for key in world.store.keys("journal/")] == ["0.arrow"]


def test_groups_are_numbered_for_their_acks(world):
    """Each group has a number of its own, and the time of its oldest delivery counts as unacked."""
    world.transport.streams.append(stream([delivery(1)], [delivery(2)]))
    groups = list(Subscribe(SETTINGS).process(MEMBER, Tracker(claims=2)))
    assert [group.number for group in groups] == [1, 2]
    assert world.process.counters.snapshot()["received"] == 2


# Restrictions


@given(start=st.integers(0, 2**63), length=st.integers(0, 2**62))
def test_a_restriction_s_bytes_are_two_integers(start, length):
    """What a checkpoint holds is readable for any later version."""
    restriction = OffsetRange(start, start + length)
    encoded = RangeCoder().encode(restriction)
    assert encoded == start.to_bytes(8, "big") + (start + length).to_bytes(8, "big")
    assert RangeCoder().decode(encoded) == restriction
    assert RangeCoder().is_deterministic()


@pytest.mark.parametrize("fraction", [0.1, 0.5, 0.999])
def test_a_stream_is_not_halved(fraction):
    """A runner may take all that is left (a checkpoint), but not run two bundles of one stream at once."""
    tracker = RangeTracker(OffsetRange(0, 2**62))
    assert tracker.try_claim(0)
    assert tracker.try_split(fraction) is None
    primary, residual = tracker.try_split(0)
    assert (primary, residual) == (OffsetRange(0, 1), OffsetRange(1, 2**62))


def test_the_source_is_unbounded_and_drains_by_stopping():
    """A drain gives up what is left: it is unacked, and stays with the server."""
    groups = Groups()
    restriction = groups.initial_restriction(MEMBER)
    assert not groups.create_tracker(restriction).is_bounded()
    assert groups.truncate(MEMBER, restriction) is None
    assert groups.restriction_size(MEMBER, restriction) > 0


def test_everything_a_runner_ships_can_be_pickled():
    """DoFns and members go to workers; sessions stay where they are."""
    for room in (subscribe.Subscribe, subscribe.Journal, subscribe.Ack):
        pickle.loads(pickle.dumps(room(SETTINGS)))
    assert pickle.loads(pickle.dumps(MEMBER)) == MEMBER
    assert dataclasses.replace(SETTINGS) == pickle.loads(pickle.dumps(SETTINGS))
