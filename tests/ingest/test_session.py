"""A member's session: reconnects with backoff, waits for the lake, leaves word of silence, ends."""

import itertools
from datetime import timedelta

import pytest
from one_member import CUT, SETTINGS, asked, payloads, quiet
from scripted_transport import ScriptedStream
from wgtwo_pipeline.errors import LakeError, ServiceError
from wgtwo_pipeline.events import api
from wgtwo_pipeline.ingest.settings import IngestSettings

# Receiving


def test_deliveries_come_group_by_group(world):
    """No group is larger than what may be in flight."""
    session = world.session([[b"1", b"2", b"3", b"4", b"5"]])
    assert payloads(session.receive(0.5)) == [b"1", b"2", b"3", b"4"]
    assert payloads(session.receive(0.5)) == [b"5"]
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


# The end


def test_draining_gives_what_had_come_and_then_nothing(world):
    """First the stream ends; what is in the buffer is still journaled and acked."""
    session = world.session([[b"1"], [b"2", b"3", b"4", b"5", b"6"]])
    session.receive(0.5)
    assert payloads(session.drain()) == [b"2", b"3", b"4", b"5"]
    assert world.transport.opened[0].cancelled
    assert payloads(session.drain()) == [b"6"]
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


@pytest.mark.parametrize(
    ("in_flight", "enough", "most"),
    [(1, 1, 1), (2, 1, 2), (50, 25, 50), (100, 50, 64), (200, 100, 100), (1000, 500, 500)],
)
def test_groups_are_half_of_what_is_in_flight(in_flight, enough, most):
    """At least one; of small windows all, where the rest comes right behind."""
    terms = api.Terms((), "", "", in_flight, 30)
    settings = IngestSettings(SETTINGS.service, SETTINGS.lake, terms, SETTINGS.start)
    assert (settings.enough, settings.most) == (enough, most)
