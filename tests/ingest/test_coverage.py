"""What a session takes for covered: where it starts, what it asks for again, and which gaps it records."""

import threading
from datetime import UTC, datetime, timedelta

from one_member import CUT, SETTINGS, asked, payloads, quiet
from patience import PATIENCE_SECONDS, wait_until
from scripted_transport import ScriptedStream
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.service.transport import CallResult


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


def test_sleep_before_a_stream_is_known_to_live_is_a_gap(world):
    """The service sent what it had when it was reached: not what another member held and gave back meanwhile."""
    _, session = outage(world, 45 * 60, [])
    reached = world.now()
    assert session.receive(0.5) == []
    world.clock.now += 45 * 60
    session.receive(0.5)
    before, slept = world.gaps()
    assert abs(before.end - (reached - timedelta(minutes=30))) < timedelta(seconds=1)
    assert (slept.start, slept.end) == (before.end, world.now() - timedelta(minutes=30))


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
    minutes = [world.now() - timedelta(minutes=back) for back in (20, 19, 18, 17, 10, 9)]
    session = world.session([[event(at) for at in minutes]])
    received = session.receive(0.5)
    assert covered_after(world, session) == minutes[0]
    session.ack(1, received)
    received = session.receive(0.5)
    assert covered_after(world, session) == minutes[4]


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
