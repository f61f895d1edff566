"""The sandbox's state keeps the rules of the event service, by an injected clock and without any server."""

import pytest
from scripted_clients import MINUTE, QUEUE, SECOND, T0, World
from wgtwo_pipeline.sandbox.broker.subscription import Start


def sequences(taken):
    return [sequence for _, sequence, _ in taken]


def test_channels_number_their_own_events():
    """Each channel counts from 1; a member gets all channels in order of emission."""
    world = World()
    world.publish("a", 2)
    world.publish("b")
    world.publish("a")
    assert world.take(world.join()) == [("a", 1, False), ("a", 2, False), ("b", 1, False), ("a", 3, False)]


def test_timestamps_of_a_channel_never_repeat():
    """Timestamps grow strictly within a channel even where the clock stands still."""
    world = World()
    world.publish(count=3)
    assert [event.timestamp_us - T0 for event in world.engine.channels["a"].events.values()] == [0, 1, 2]


@pytest.mark.parametrize(
    ("start", "expected"),
    [
        (Start("new"), []),
        (Start("oldest"), [3, 4, 5, 6]),
        (Start("last"), [6]),
        (Start("sequence", 0), [3, 4, 5, 6]),
        (Start("sequence", 5), [5, 6]),
        (Start("sequence", 99), []),
        (Start("timestamp", T0 + 25 * MINUTE), [5, 6]),
        (Start("timestamp", T0 + 25 * MINUTE - 1), [5, 6]),
        (Start("timestamp", T0 + 25 * MINUTE + 1), [6]),
        (Start("timestamp", T0), [3, 4, 5, 6]),
        (Start("timestamp", T0 + 99 * MINUTE), []),
    ],
)
def test_start_positions(start, expected):
    """Every start position begins where the contract says, within the 30 minutes of history."""
    world = World()
    world.publish(count=2)
    world.wait(10 * MINUTE)
    world.publish(count=2)
    world.wait(15 * MINUTE)
    world.publish(count=2)
    world.wait(10 * MINUTE)  # the first two are 35 minutes old by now
    member = world.join(start=start, channels=("a",))
    assert sequences(world.take(member)) == expected
    world.publish()
    assert sequences(world.take(member)) == [7]


def test_no_more_than_max_in_flight():
    """A member is sent as much as it may have unacked, and one more for each ack."""
    world = World()
    world.publish(count=10)
    member = world.join(max_in_flight=3, **QUEUE)
    assert sequences(world.take(member)) == [1, 2, 3]
    assert world.ack(member, "a", 2)
    assert sequences(world.take(member)) == [4]
    assert member.most_in_flight == 3


def test_without_manual_ack_sent_is_acked():
    """Nothing is redelivered, and the next is sent as soon as one has been."""
    world = World()
    world.publish(count=10)
    member = world.join(max_in_flight=2, ack_timeout_us=None, **QUEUE)
    assert sequences(world.take(member)) == list(range(1, 11))
    world.wait(5 * MINUTE)
    assert world.take(member) == []
    assert member.group.unacked == {}


def test_unacked_is_redelivered_after_the_timeout():
    """Again after the timeout, not before, marked, as often as needed, until acked."""
    world = World()
    world.publish(count=2)
    member = world.join(ack_timeout_us=30 * SECOND, **QUEUE)
    world.take(member)
    world.ack(member, "a", 1)
    world.wait(30 * SECOND - 1)
    assert world.take(member) == []
    for _ in range(3):
        world.wait(30 * SECOND)
        assert world.take(member) == [("a", 2, True)]
    assert world.ack(member, "a", 2)
    world.wait(MINUTE)
    assert world.take(member) == []


def test_redelivery_can_go_to_another_member_and_a_late_ack_counts():
    """What one member does not ack another gets; the first one's late ack still spares a third delivery."""
    world = World()
    world.publish()
    slow = world.join(ack_timeout_us=10 * SECOND, channels=("a",), **QUEUE)
    assert world.take(slow) == [("a", 1, False)]
    quick = world.join(ack_timeout_us=10 * SECOND, channels=("a",), **QUEUE)
    world.wait(10 * SECOND)
    assert world.take(slow) + world.take(quick) == [("a", 1, True)]
    assert world.ack(slow, "a", 1)
    assert not world.ack(quick, "a", 1)
    world.wait(MINUTE)
    assert world.take(slow) + world.take(quick) == []
    assert slow.group.acked == 1


def test_redeliveries_come_before_new_events():
    """With its window full of timed-out events a member sees no new one: never more than its maximum unacked."""
    world = World()
    world.publish(count=9)
    member = world.join(max_in_flight=4, ack_timeout_us=10 * SECOND, **QUEUE)
    world.take(member)
    world.wait(10 * SECOND)
    assert sequences(world.take(member)) == [1, 2, 3, 4]


def test_acks_of_nothing_are_harmless():
    """Unknown groups, channels and sequences, and second acks, change nothing."""
    world = World()
    world.publish()
    member = world.join(**QUEUE)
    world.take(member)
    assert not world.engine.ack(99, "a", 1, world.now)
    assert not world.ack(member, "zzz", 1)
    assert not world.ack(member, "a", 7)
    assert world.ack(member, "a", 1)
    assert not world.ack(member, "a", 1)
    assert member.group.acked == 1


def test_a_queue_shares_its_events_fairly():
    """Each event goes to one member; with everyone acking, four members differ by no more than one event."""
    world = World()
    members = [world.join(max_in_flight=2, **QUEUE) for _ in range(4)]
    got = []
    for _ in range(100):
        world.publish()
        for member in members:
            for channel, sequence, _ in world.take(member):
                got.append(sequence)
                world.ack(member, channel, sequence)
    assert sorted(got) == list(range(1, 101))
    shares = [member.delivered for member in members]
    assert max(shares) - min(shares) <= 1


def test_regular_subscriptions_share_nothing():
    """Two streams without names each get every event."""
    world = World()
    first, second = world.join(), world.join()
    world.publish(count=3)
    assert sequences(world.take(first)) == sequences(world.take(second)) == [1, 2, 3]


@pytest.mark.parametrize(("durable", "expected"), [(True, [3, 4]), (False, [])])
def test_only_durable_positions_survive_a_disconnect(durable, expected):
    """A durable goes on where it was, whatever start it names; a queue's position goes with its last member."""
    world = World()
    world.publish(count=2)
    asked = {"group": ("name",), "durable": durable}
    member = world.join(**asked)
    for channel, sequence, _ in world.take(member):
        world.ack(member, channel, sequence)
    world.leave(member)
    world.publish(count=2)
    assert sequences(world.take(world.join(start=Start("new"), **asked))) == expected


@pytest.mark.parametrize(("minutes", "expected"), [(59, [3]), (61, [])])
def test_a_durable_position_expires_an_hour_after_the_last_member_left(minutes, expected):
    """Held for an hour from the last departure, and then forgotten, so that the start position counts."""
    world = World()
    world.publish(count=2)
    first, second = world.join(**QUEUE), world.join(**QUEUE)
    for member in (first, second):
        for channel, sequence, _ in world.take(member):
            world.ack(member, channel, sequence)
    world.leave(first)
    world.wait(50 * MINUTE)
    world.leave(second)
    world.wait((minutes - 1) * MINUTE)
    world.publish()
    world.wait(MINUTE)
    assert sequences(world.take(world.join(start=Start("new"), **QUEUE))) == expected


def test_what_a_leaving_member_held_goes_to_the_others_after_the_timeout():
    """Others get it when its ack timeout is over; not lost, not at once."""
    world = World()
    world.publish(count=4)
    gone = world.join(max_in_flight=4, ack_timeout_us=30 * SECOND, **QUEUE)
    assert len(world.take(gone)) == 4
    stays = world.join(max_in_flight=10, ack_timeout_us=30 * SECOND, **QUEUE)
    world.leave(gone)
    world.wait(29 * SECOND)
    assert world.take(stays) == []
    world.wait(SECOND)
    assert world.take(stays) == [("a", n, True) for n in (1, 2, 3, 4)]


def test_who_comes_back_to_an_empty_durable_gets_its_unacked_at_once():
    """A reconnecting client need not wait for its own ack timeout."""
    world = World()
    world.publish(count=3)
    member = world.join(**QUEUE)
    world.take(member)
    world.ack(member, "a", 2)
    world.leave(member)
    assert world.take(world.join(**QUEUE)) == [("a", 1, True), ("a", 3, True)]


def test_events_leave_the_history_after_30_minutes():
    """What nobody was sent or acked within the history is lost, and the books say so."""
    world = World()
    world.publish(count=5)
    member = world.join(max_in_flight=2, ack_timeout_us=10 * SECOND, **QUEUE)
    world.take(member)
    world.leave(member)
    world.wait(31 * MINUTE)
    world.publish()
    again = world.join(**QUEUE)
    assert world.take(again) == [("a", 6, False)]
    assert sorted(n for lost in again.group.lost["a"] for n in lost) == [1, 2, 3, 4, 5]


def test_the_books_of_a_slow_group_stay_small():
    """What a group that takes nothing loses over hours is one range."""
    world = World(("a",))
    member = world.join(channels=("a",), max_in_flight=1, **QUEUE)
    for _ in range(300):
        world.publish()
        world.wait(MINUTE)
    assert 0 < len(member.group.lost["a"]) <= 2


def test_a_member_gets_only_the_channels_it_asked_for():
    """Also of redeliveries: what another member of the queue did not ack goes to one that wants its channel."""
    world = World()
    everything = world.join(ack_timeout_us=10 * SECOND, **QUEUE)
    only_b = world.join(channels=("b",), ack_timeout_us=10 * SECOND, **QUEUE)
    world.publish("a", 2)
    world.publish("b", 2)
    got = world.take(only_b)
    assert {channel for channel, _, _ in got} == {"b"}
    world.take(everything)
    world.leave(everything)
    world.wait(10 * SECOND)
    assert {channel for channel, _, _ in world.take(only_b)} == {"b"}
