"""The broker: channels with their history, groups that hold positions, members that are sent events.

The rules are those of NATS Streaming, as the wire contract tells them. Pure and single-threaded: no grpc, no
protobuf, no clock of its own (every call that needs the time is given it, in microseconds UTC).

Where the contract is silent, this is what happens:
- What a leaving member had not acked waits for its ack timeout and then goes to another member; when the group is
  empty, the next member that joins gets it at once. Either way it is a redelivery.
- An unacked event that has left the history cannot be sent again: it is lost, and listed as such.
- A timed-out event goes to the member with the fewest in flight, before anything new.
"""

from collections.abc import Callable, Hashable, Iterable

from wgtwo_pipeline.sandbox.broker.channel import Channel
from wgtwo_pipeline.sandbox.broker.group import Delivery, Group, Member
from wgtwo_pipeline.sandbox.broker.subscription import Subscription
from wgtwo_pipeline.sandbox.events.event import Event


class Engine:
    """All channels and groups. Not thread-safe: one thread calls it."""

    def __init__(self, channels: Iterable[str], history_us: int, position_us: Callable[[str], int]) -> None:
        self.channels = {name: Channel(name) for name in channels}
        self.history_us = history_us
        self.position_us = position_us  # how long a durable group keeps its position, by a channel's name
        self.groups: dict[int, Group] = {}
        self.emitted = 0
        self._by_name: dict[Hashable, Group] = {}
        self._counter = 0

    def timestamp_us(self, channel: str, now_us: int) -> int:
        """The timestamp of the channel's next event: now, and later than every earlier one."""
        return max(now_us, self.channels[channel].last_timestamp_us + 1)

    def publish(
        self, channel: str, timestamp_us: int, body: bytes, head: bytes = b"", malformed: str = ""
    ) -> Event:
        """Appends an event to its channel and hands it out."""
        self.emitted += 1
        sequence = self.channels[channel].last + 1
        event = Event(self.emitted, channel, sequence, timestamp_us, body, head, malformed)
        self.channels[channel].append(event)
        for group in self.groups.values():
            if channel in group.positions:
                group.dispatch(timestamp_us)
        return event

    def join(self, subscription: Subscription, now_us: int, wake: Callable[[], None]) -> Member:
        """Adds a member to the subscription's group, made if it does not exist (any more).

        `wake` is called whenever something was put into the member's outbox, also before this returns.
        """
        self.tick(now_us)
        group = None if subscription.group is None else self._by_name.get(subscription.group)
        if group is None:
            self._counter += 1
            group = Group(self._counter, subscription.group, subscription.durable, self.channels)
            self.groups[group.number] = group
            if subscription.group is not None:
                self._by_name[subscription.group] = group
        group.hold(subscription.channels, subscription.start)
        self._counter += 1
        member = Member(group, subscription, self._counter, wake)
        if not group.members:
            group.due.update(group.orphans)
            group.orphans.clear()
        group.members.append(member)
        group.dispatch(now_us)
        return member

    def leave(self, member: Member, now_us: int) -> None:
        """Takes a stream's member away; a group that is not durable goes with its last."""
        group = member.group
        group.leave(member, now_us)
        if not group.members and not group.durable:
            self._forget(group)

    def sent(self, delivery: Delivery, now_us: int) -> None:
        """To be called when a delivery has been sent: without manual ack that is its ack."""
        member = delivery.member
        if member is not None and member.subscription.ack_timeout_us is None:
            member.group.ack(delivery.event.key)
            member.group.dispatch(now_us)

    def ack(self, group_number: int, channel: str, sequence: int, now_us: int) -> bool:
        """Counts an ack, however late; False and no harm where nothing waits for it."""
        group = self.groups.get(group_number)
        if group is None or not group.ack((channel, sequence)):
            return False
        group.dispatch(now_us)
        return True

    def tick(self, now_us: int) -> None:
        """Lets time pass: history, ack timeouts, positions. To be called often."""
        for channel in self.channels.values():
            channel.trim(now_us - self.history_us)
        for group in list(self.groups.values()):
            group.expire(now_us)
            group.dispatch(now_us)
            if not group.members and now_us >= group.left_at_us + self._kept_us(group):
                self._forget(group)

    def _kept_us(self, group: Group) -> int:
        return min(self.position_us(name) for name in group.positions)

    def _forget(self, group: Group) -> None:
        del self.groups[group.number]
        if group.name is not None:
            del self._by_name[group.name]
