"""A member's session: reconnects with backoff, waits for the lake, leaves word of silence, notices gaps."""

import itertools
import threading
from datetime import UTC, datetime, timedelta

import pytest
from memory_store import MemoryStore
from patience import PATIENCE_SECONDS, wait_until
from scripted_transport import Clock, ScriptedStream, ScriptedTransport, Stopping
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.errors import LakeError, ServiceError
from wgtwo_pipeline.events import api
from wgtwo_pipeline.ingest import ack
from wgtwo_pipeline.ingest import session as rooms
from wgtwo_pipeline.ingest.counters import Counters
from wgtwo_pipeline.ingest.session import Session
from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.lake import journal, positions
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import CallResult, StreamEndedError

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
MEMBER = Member(api.V0, "v0.test", 0)
SETTINGS = IngestSettings(
    Service("localhost:1", plaintext=True),
    LakeLocation("memory"),
    api.Terms(("sms",), "queue", "durable", max_in_flight=4, ack_timeout_seconds=30),
    api.Start("oldest"),
)
CUT = StreamEndedError("UNAVAILABLE", "cut")


class World:
    """One lake and one clock; sessions come and go."""

    def __init__(self, monkeypatch):
        self.clock, self.store = Clock(), MemoryStore()
        self.stopping, self.transport = Stopping(self.clock), None

        class Scripted(datetime):
            @classmethod
            def now(cls, tz=None):
                return self.now().astimezone(tz)

        monkeypatch.setattr(rooms, "time", self.clock)
        monkeypatch.setattr(ack, "time", self.clock)
        monkeypatch.setattr(rooms, "datetime", Scripted)
        monkeypatch.setattr(journal, "datetime", Scripted)
        monkeypatch.setattr(rooms.random, "uniform", lambda low, high: 1.0)
        monkeypatch.setattr(rooms, "open_store", lambda location: self.store)
        monkeypatch.setattr(rooms, "open_transport", lambda service: self.transport)
        self.opened = []

    def now(self):
        return START + timedelta(seconds=self.clock.now - 1000)

    def session(self, *streams, settings=SETTINGS):
        self.transport = ScriptedTransport(self.clock, *streams)
        self.opened.append(Session(settings, MEMBER, Counters(), self.stopping))
        return self.opened[-1]

    def segments(self):
        return [segment for _, segment in journal.read(self.store, self.store.keys("journal/"))]

    def gaps(self):
        return list(positions.gaps(self.store))


@pytest.fixture
def world(monkeypatch):
    made = World(monkeypatch)
    yield made
    for session in made.opened:
        session.close()


def payloads(received):
    return [each.payload for each in received]


def asked(request):
    return v0.SubscribeEventsRequest.FromString(request)


# Receiving


def test_deliveries_come_group_by_group(world):
    """No group is larger than half of what may be in flight, so that the server goes on sending."""
    session = world.session([[b"1", b"2", b"3"]])
    assert payloads(session.receive(0.5)) == [b"1", b"2"]
    assert payloads(session.receive(0.5)) == [b"3"]
    assert session.receive(0.5) == []


def test_a_stream_that_ends_is_opened_again_ever_later(world):
    """Twice as long each time, up to a bound; the waits are spent in steps that can be interrupted."""
    session = world.session(*[[CUT]] * 12)
    opened_at = []
    while len(opened_at) < 12:
        before = len(world.transport.opened)
        assert session.receive(0.5) == []
        if len(world.transport.opened) > before:
            opened_at.append(world.clock.now)
    waits = [later - earlier for earlier, later in itertools.pairwise(opened_at)]
    assert waits == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 12.8, 15, 15, 15, 15])
    assert max(world.stopping.waits) <= 0.5


def test_a_stream_that_brought_something_was_healthy(world):
    """After it the waits begin anew."""
    session = world.session([CUT], [CUT], [CUT], [[b"1"], CUT], [CUT])
    while len(world.transport.opened) < 4:
        session.receive(60)
    assert payloads(session.receive(60)) in ([b"1"], [])
    while len(world.transport.opened) < 5:
        before = world.clock.now
        session.receive(60)
    assert world.clock.now - before == pytest.approx(0.2)


def test_a_service_out_of_reach_is_warned_of(world, caplog):
    """Not at once, for streams end every day; then at powers of two, until one lives."""
    session = world.session(*[[CUT]] * 9, [[b"1"], CUT], [CUT])
    with caplog.at_level("INFO"):
        while len(world.transport.opened) < 11:
            session.receive(60)
    told = [record.levelname for record in caplog.records if "subscribing again" in record.getMessage()]
    assert [number for number, level in enumerate(told, 1) if level == "WARNING"] == [4, 8]
    assert len(told) >= 10


def test_each_stream_is_asked_for_by_another_client(world):
    """So that the server never takes the new one for the old one; and reconnects are counted."""
    session = world.session([CUT], [CUT], [CUT])
    while len(world.transport.opened) < 3:
        session.receive(60)
    assert len({asked(request).client_id for request in world.transport.requests}) == 3
    counts = session.counters.snapshot()
    assert (counts["streams"], counts["reconnects"]) == (3, 2)


def test_what_cannot_be_mended_is_raised(world):
    """The sentence that says what to change reaches whoever runs this, at once."""
    session = world.session([ServiceError("change --endpoint")])
    with pytest.raises(ServiceError, match="change --endpoint"):
        session.receive(0.5)


def test_a_stop_interrupts_the_wait(world):
    """No stream is opened once the process is to stop."""
    session = world.session([CUT])
    session.receive(0.5)
    world.stopping.set()
    assert session.receive(60) == []
    assert len(world.transport.opened) == 1


# The journal


def test_a_segment_is_durable_when_journal_returns(world):
    """With the payloads, the times of receipt, and up to when nothing is missing."""
    session = world.session([[b"1", b"2"]])
    received = session.receive(0.5)
    session.journal(received)
    (segment,) = world.segments()
    assert segment.deliveries["payload"].to_pylist() == [b"1", b"2"]
    assert segment.covered_until == world.now()
    assert session.counters.snapshot()["journaled"] == 2


def test_a_lake_that_fails_is_tried_until_it_works(world, caplog):
    """Nothing is lost or acked meanwhile; the log says so at powers of two, not at each try."""
    caplog.set_level("INFO")
    session = world.session([[b"1"]])
    received = session.receive(0.5)
    world.store.broken = True

    def mend():
        world.store.broken = len(world.stopping.waits) < 20

    world.stopping.on_wait = mend
    session.journal(received)
    assert len(world.segments()) == 1
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert [line.split("(try ")[1].split(")")[0] for line in errors] == ["1", "2", "4", "8", "16"]
    assert all("mend it" in line for line in errors)
    assert "can be written again" in caplog.text


def test_a_stop_ends_the_waiting_for_the_lake(world):
    """With the lake's error: what is not journaled stays with the server."""
    session = world.session([[b"1"]])
    received = session.receive(0.5)
    world.store.broken = True
    world.stopping.set()
    with pytest.raises(LakeError, match="mend it"):
        session.journal(received)
    world.store.broken = False
    assert not world.segments()


def test_a_lake_that_fails_at_the_start_is_waited_for(world):
    """Where to start is read from the lake: no reason to give up when that has to wait."""
    session = world.session([[b"1"]])
    world.store.broken = True
    world.stopping.on_wait = lambda: setattr(world.store, "broken", False)
    assert payloads(session.receive(0.5)) == [b"1"]


def test_a_corrupt_history_does_not_keep_events_from_being_stored(world, caplog):
    """The service forgets in half an hour; a manifest may be mended later."""
    world.store.create("epochs/0000000002/manifest.json", b"torn")
    session = world.session([[b"1"]])
    assert payloads(session.receive(0.5)) == [b"1"]
    assert "a gap before now would go unnoticed" in caplog.text
    assert asked(world.transport.requests[0]).WhichOneof("start_position") == "start_at_oldest_possible"


# Silence


def quiet(session, world, seconds, step=0.5):
    """Asks for so long; leaves word as `Subscribe` does. Returns when it left word."""
    beats, ends = [], world.clock.now + seconds
    while world.clock.now < ends:
        if not session.receive(step) and session.heartbeat_due:
            session.journal([])
            beats.append(world.clock.now)
    return beats


def test_silence_leaves_word_in_the_journal(world):
    """At once when the stream is known to live, and each minute: so that an outage later has a beginning."""
    session = world.session([])
    beats = quiet(session, world, 200)
    assert beats[0] - 1000 == pytest.approx(5.5, abs=0.6)
    assert [later - earlier for earlier, later in itertools.pairwise(beats)] == pytest.approx(
        [60.5] * (len(beats) - 1), abs=0.6
    )
    assert [len(segment.deliveries) for segment in world.segments()] == [0] * len(beats)
    assert world.segments()[-1].covered_until > world.now() - timedelta(seconds=62)


def test_a_stream_that_reaches_nobody_is_no_silence(world):
    """While it still tries to connect nothing is known, however long that takes."""
    session = world.session(ScriptedStream(world.clock, [], connected=False))
    assert quiet(session, world, 300) == []
    assert not world.segments()


def test_deliveries_are_word_enough(world):
    """Where something was journaled in the last minute, nothing else is."""
    session = world.session([[b"%d" % number] for number in range(100)])
    session.journal(session.receive(0.5))
    assert not session.heartbeat_due


# Positions and gaps


def test_the_first_start_is_as_configured(world):
    """A lake that holds nothing of the subscription."""
    world.session([]).receive(0.5)
    assert asked(world.transport.requests[0]).WhichOneof("start_position") == "start_at_oldest_possible"


def test_later_starts_overlap_what_was_journaled(world):
    """A new process asks from before it, so that an expired position costs nothing; and so does each new stream."""
    first = world.session([[b"1"]])
    first.journal(first.receive(0.5))
    covered = world.segments()[-1].covered_until
    world.clock.now += 600
    second = world.session([CUT], [])
    second.receive(0.5)
    second.receive(60)
    for request in world.transport.requests:
        at = asked(request).start_at_timestamp.ToDatetime(UTC)
        assert covered - at == SETTINGS.overlap
    assert SETTINGS.overlap >= timedelta(seconds=60)


def outage(world, seconds, *streams):
    """A process that journaled, died, and another one that comes so much later; returns the last coverage."""
    first = world.session([[b"1"]])
    first.journal(first.receive(0.5))
    covered = world.segments()[-1].covered_until
    world.clock.now += seconds
    return covered, world.session(*streams)


def test_a_short_outage_is_no_gap(world):
    """What the service's history covers was not lost."""
    _, session = outage(world, 20 * 60, [[b"2"]])
    session.receive(0.5)
    assert not world.gaps()


def test_a_long_outage_is_a_gap_with_its_bounds(world):
    """From what was surely journaled to the oldest that the service still had when it was reached; once."""
    covered, session = outage(world, 45 * 60, [[b"2"], [b"3"]])
    reached = world.now()
    session.receive(0.5)
    session.receive(0.5)
    (gap,) = world.gaps()
    assert (gap.start, gap.end) == (covered - SETTINGS.overlap, reached - timedelta(minutes=30))


def test_a_gap_is_noticed_on_a_quiet_stream_too(world):
    """Its end is when the service was reached, not when it was sure to be."""
    covered, session = outage(world, 45 * 60, [])
    reached = world.now()
    quiet(session, world, 20, step=0.7)
    (gap,) = world.gaps()
    assert gap.start == covered - SETTINGS.overlap, "and no second one"
    assert timedelta() <= gap.end - (reached - timedelta(minutes=30)) <= timedelta(seconds=0.7)


def test_an_outage_of_the_network_is_a_gap(world):
    """Of one process: the stream is cut, new ones reach nobody for long, then one does."""
    nobody = [ScriptedStream(world.clock, [[]] * 40 + [CUT], connected=False) for _ in range(80)]
    session = world.session([[b"1"], CUT], *nobody, [[b"2"]])
    session.journal(session.receive(0.5))
    covered = world.segments()[-1].covered_until
    while not (received := session.receive(0.5)):
        assert not session.heartbeat_due
    assert payloads(received) == [b"2"]
    (gap,) = world.gaps()
    assert gap.start == covered - SETTINGS.overlap
    assert abs(gap.end - (world.now() - timedelta(minutes=30))) < timedelta(seconds=1)


def test_an_outage_of_the_lake_is_a_gap(world):
    """While it could not be written the service dropped what it had for too long."""
    session = world.session([[b"1"], [b"2"]])
    session.journal(session.receive(0.5))
    covered = world.now()
    received = session.receive(0.5)
    world.store.broken = True

    def mend():
        world.store.broken = len(world.stopping.waits) < 3000

    world.stopping.on_wait = mend
    session.journal(received)
    session.receive(0.5)
    (gap,) = world.gaps()
    assert gap.start == covered - SETTINGS.overlap
    assert abs(gap.end - (world.now() - timedelta(minutes=30))) < timedelta(seconds=1)


def event(at):
    """A delivery of an event of this moment."""
    response = v0.SubscribeEventsResponse()
    response.event.metadata.sequence = 1
    response.event.metadata.ack_inbox = "inbox"
    response.event.timestamp.FromDatetime(at)
    return response.SerializeToString()


def covered_after(world, session):
    """What a segment that is written now says."""
    session.journal([])
    return world.segments()[-1].covered_until


def test_what_still_waits_at_the_service_is_not_covered(world):
    """It sends in order: nothing after the oldest of a group is known to have come."""
    minutes = [world.now() - timedelta(minutes=back) for back in (20, 19, 10, 9)]
    session = world.session([[event(at) for at in minutes]])
    received = session.receive(0.5)
    assert covered_after(world, session) == minutes[0]
    session.ack(1, received)
    received = session.receive(0.5)
    assert covered_after(world, session) == minutes[2]


def test_times_that_no_history_holds_say_nothing(world):
    """Of a service whose events are of the distant past, what came last is as new as can be."""
    session = world.session(
        [[event(datetime(2001, 1, 1, tzinfo=UTC)), event(world.now() + timedelta(days=1))]]
    )
    session.receive(0.5)
    assert covered_after(world, session) == world.now()


def test_silence_covers_only_where_there_was_room(world):
    """With `max_in_flight` unacked the service may have much to send: silence means nothing then."""
    at = world.now() - timedelta(minutes=20)
    session = world.session([[event(at)] * 4])
    world.transport.answer = lambda request: CallResult("UNAVAILABLE", "", None)
    for group in (1, 2):
        session.ack(group, session.receive(0.5))
    wait_until(lambda: session.counters.snapshot()["acks_failed"] == 4, what="acks fail")
    session.receive(0.5)
    assert covered_after(world, session) == at
    world.clock.now += SETTINGS.terms.ack_timeout_seconds + 1  # they would have come again by now
    session.receive(0.5)
    assert covered_after(world, session) == world.now()


def test_a_backlog_that_the_service_drops_meanwhile_is_a_gap(world):
    """A member that was connected all the time, but whose acks were not answered, so that it got no more."""
    at, answered = world.now(), threading.Event()
    session = world.session([[event(at)] * 2, [event(at)] * 2, [], [event(at + timedelta(minutes=40))]])
    world.transport.answer = lambda request: (
        CallResult("OK", "", b"") if answered.wait(PATIENCE_SECONDS) else None
    )
    for group in (1, 2):
        session.ack(group, session.receive(0.5))
    world.clock.now += 45 * 60
    assert session.receive(0.5) == []
    assert not world.gaps()
    answered.set()
    wait_until(lambda: session.counters.snapshot()["acked"] == 4, what="acks")
    session.receive(0.5)
    (gap,) = world.gaps()
    assert (gap.start, gap.end) == (at - SETTINGS.overlap, world.now() - timedelta(minutes=30))


def test_what_another_member_got_is_no_gap(world):
    """A member that was held up for long is behind the others of its queue; nothing was missed."""
    session = world.session([[event(world.now())]])
    session.receive(0.5)
    world.clock.now += 45 * 60
    other = world.session([[event(world.now())]])
    other._covered_until = world.now()
    other.journal(other.receive(0.5))
    session.receive(0.5)
    assert not world.gaps()


def test_a_gap_that_cannot_be_recorded_is_not_forgotten(world):
    """The lake fails at that very moment: coverage does not move on before it is recorded."""
    _, session = outage(world, 45 * 60, [[b"2"]])
    create, tries = world.store.create, []

    def failing(key, data):
        if key.startswith("gaps/"):
            tries.append(key)
            if len(tries) < 3:
                raise LakeError("mend it")
        create(key, data)

    world.store.create = failing
    assert payloads(session.receive(0.5)) == [b"2"]
    assert len(tries) == 3
    assert len(world.gaps()) == 1


# The end


def test_draining_gives_what_had_come_and_then_nothing(world):
    """First the stream ends; what is in the buffer is still journaled and acked."""
    session = world.session([[b"1"], [b"2", b"3", b"4"]])
    session.receive(0.5)
    assert payloads(session.drain()) == [b"2", b"3"]
    assert world.transport.opened[0].cancelled
    assert payloads(session.drain()) == [b"4"]
    assert session.drain() == []
    assert session.drain() == []


def test_draining_what_was_never_opened_gives_nothing(world):
    """A stop before the first stream."""
    assert world.session().drain() == []


def test_a_session_that_nobody_asks_is_abandoned(world):
    """After the ack timeout its events had better go to another member."""
    session = world.session([])
    session.receive(0.5)
    world.clock.now += SETTINGS.abandon_seconds - 1
    assert not session.abandoned
    world.clock.now += 2
    assert session.abandoned
    session.asked()
    assert not session.abandoned


def test_a_session_that_the_lake_holds_up_is_not_abandoned(world):
    """However long the segment takes, and right after it."""
    session = world.session([[b"1"]])
    received = session.receive(0.5)
    seen = []

    def slow(key):
        world.clock.now += 1000
        seen.append(session.abandoned)

    world.store.before_create = slow
    session.journal(received)
    assert seen  # the segment's, and whatever else a first write creates
    assert not any([*seen, session.abandoned])


def test_closing_ends_the_connection(world):
    """After the acks under way."""
    session = world.session([[b"1"]])
    received = session.receive(0.5)
    session.ack(1, received)
    session.close()
    assert world.transport.closed


@pytest.mark.parametrize(("in_flight", "size"), [(1, 1), (2, 1), (50, 25), (1000, 500)])
def test_groups_are_half_of_what_is_in_flight(in_flight, size):
    """At least one."""
    terms = api.Terms((), "", "", in_flight, 30)
    assert IngestSettings(SETTINGS.service, SETTINGS.lake, terms, SETTINGS.start).group_size == size
