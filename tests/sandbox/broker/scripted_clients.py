"""An engine with a clock that stands still, and clients that remember what they were sent."""

from wgtwo_pipeline.sandbox.broker.engine import Engine
from wgtwo_pipeline.sandbox.broker.subscription import Start, Subscription

SECOND = 1_000_000
MINUTE = 60 * SECOND
T0 = 1_800_000_000 * SECOND


class World:
    """An engine with a clock, and clients that remember what they were sent."""

    def __init__(self, channels=("a", "b")):
        self.now = T0
        self.engine = Engine(channels, 30 * MINUTE, lambda _: 60 * MINUTE)

    def publish(self, channel="a", count=1):
        for _ in range(count):
            self.engine.publish(channel, self.engine.timestamp_us(channel, self.now), b"body")

    def join(self, **asked):
        asked = {"channels": ("a", "b"), "start": Start("oldest"), **asked}
        return self.engine.join(Subscription(**asked), self.now, lambda: None)

    def take(self, member):
        """All that was put into the member's outbox, as (channel, sequence, redelivered)."""
        taken = []
        while member.outbox:
            delivery = member.outbox.popleft()
            if delivery.member is not None:
                taken.append((*delivery.event.key, delivery.attempt > 1))
                self.engine.sent(delivery, self.now)
        return taken

    def ack(self, member, channel, sequence):
        return self.engine.ack(member.group.number, channel, sequence, self.now)

    def leave(self, member):
        self.engine.leave(member, self.now)

    def wait(self, microseconds):
        self.now += microseconds
        self.engine.tick(self.now)


QUEUE = {"group": ("queue",), "durable": True}
