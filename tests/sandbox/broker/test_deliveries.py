"""The rules of delivery hold whatever members do, in any order."""

from collections import Counter

from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from scripted_clients import QUEUE, SECOND, World
from wgtwo_pipeline.sandbox.broker.subscription import Start


class Deliveries(RuleBasedStateMachine):
    """Members come, go, ack and stay silent in any order; the rules hold at every step and nothing is lost."""

    @initialize(limits=st.lists(st.integers(1, 4), min_size=1, max_size=3))
    def begin(self, limits):
        self.world = World()
        self.limits = limits
        self.members = []
        self.seen = Counter()
        self.acked = set()
        self.published = Counter()
        self.anchor = self.world.join(channels=(), **QUEUE)  # keeps the group
        self.world.engine.groups[self.anchor.group.number].hold(("a", "b"), Start("oldest"))

    @rule(channel=st.sampled_from(("a", "b")), count=st.integers(1, 5))
    def publish(self, channel, count):
        self.world.publish(channel, count)
        self.published[channel] += count
        self.receive()

    @rule(limit=st.integers(0, 2))
    def join(self, limit):
        if len(self.members) < 3:
            allowed = self.limits[limit % len(self.limits)]
            self.members.append(self.world.join(max_in_flight=allowed, ack_timeout_us=10 * SECOND, **QUEUE))
            self.receive()

    @precondition(lambda self: self.members)
    @rule(which=st.integers(0, 2))
    def leave(self, which):
        self.world.leave(self.members.pop(which % len(self.members)))
        self.receive()

    @precondition(lambda self: self.members)
    @rule(which=st.integers(0, 2), nth=st.integers(0, 50))
    def ack(self, which, nth):
        """Acks anything ever delivered: in time, late, or again."""
        keys = sorted(self.seen)
        if keys:
            key = keys[nth % len(keys)]
            counted = self.world.ack(self.members[which % len(self.members)], *key)
            assert counted == (key not in self.acked)
            self.acked.add(key)
            self.receive()

    @rule(seconds=st.integers(1, 15))
    def wait(self, seconds):
        self.world.wait(seconds * SECOND)
        self.receive()

    def receive(self):
        for member in self.members:
            for channel, sequence, redelivered in self.world.take(member):
                key = (channel, sequence)
                assert key not in self.acked, "an acked event was sent again"
                assert redelivered == (self.seen[key] > 0)
                self.seen[key] += 1

    @invariant()
    def bounds_hold(self):
        if not hasattr(self, "world"):
            return
        holders = Counter(key for member in self.members for key in member.in_flight)
        assert all(count == 1 for count in holders.values())
        for member in self.members:
            assert len(member.in_flight) <= member.subscription.max_in_flight
            assert member.most_in_flight <= member.subscription.max_in_flight
        group = self.anchor.group
        assert set(group.unacked) == {
            *holders,
            *group.due,
            *group.orphans,
        }
        assert len(group.unacked) == len(holders) + len(group.due) + len(group.orphans)
        waiting = bool(group.due) or any(
            position <= group.channels[name].last for name, position in group.positions.items()
        )
        assert not (waiting and any(member.has_room for member in self.members)), (
            "room and work, yet nothing sent"
        )

    def teardown(self):
        if not hasattr(self, "world"):
            return
        last = self.world.join(max_in_flight=5, ack_timeout_us=10 * SECOND, **QUEUE)
        for member in self.members:
            self.world.leave(member)
        self.members = [last]
        for _ in range(sum(self.published.values()) + 5):
            self.receive()
            if not last.in_flight:
                self.world.wait(10 * SECOND)
            for key in list(last.in_flight):
                assert self.world.ack(last, *key)
                self.acked.add(key)
        assert self.anchor.group.unacked == {}
        assert self.acked == {
            (channel, sequence)
            for channel, count in self.published.items()
            for sequence in range(1, count + 1)
        }
        assert self.anchor.group.lost == {}


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = hypothesis_settings(max_examples=60, stateful_step_count=40, deadline=None)
