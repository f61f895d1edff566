"""Groups: members that share positions; who is sent an event, who acked it, who gets it again. Pure."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field

from wgtwo_pipeline.sandbox.broker.channel import Channel
from wgtwo_pipeline.sandbox.broker.subscription import Start, Subscription
from wgtwo_pipeline.sandbox.events.event import Event, EventKey


@dataclass(slots=True)
class Delivery:
    """An event on its way. `member` is who has it now: None once it is acked or waits to be sent again."""

    event: Event
    attempt: int = 0
    deadline_us: int = 0
    member: "Member | None" = None


class Member:
    """One stream of a group: what it has been handed to send, and what of that is unacked."""

    def __init__(
        self, group: "Group", subscription: Subscription, number: int, wake: Callable[[], None]
    ) -> None:
        self.group = group
        self.subscription = subscription
        self.number = number
        self.wake = wake
        self.outbox: deque[Delivery] = deque()
        self.in_flight: dict[EventKey, Delivery] = {}  # in order of deadline: the timeout is one for all
        self.delivered = 0
        self.redelivered = 0
        self.most_in_flight = 0
        self.served = 0

    @property
    def has_room(self) -> bool:
        """Whether it may be sent one more."""
        return len(self.in_flight) < self.subscription.max_in_flight


@dataclass
class Group:
    """Members that share positions and events. Not durable: gone with its last member."""

    number: int
    name: Hashable | None
    durable: bool
    channels: dict[str, Channel]
    positions: dict[str, int] = field(default_factory=dict)  # the next new sequence
    starts: dict[str, int] = field(default_factory=dict)  # the first position, for the books
    members: list[Member] = field(default_factory=list)
    unacked: dict[EventKey, Delivery] = field(default_factory=dict)
    due: dict[EventKey, Delivery] = field(default_factory=dict)  # to be sent again, longest waiting first
    orphans: dict[EventKey, Delivery] = field(default_factory=dict)  # of members that left, not yet due
    lost: dict[str, list[range]] = field(default_factory=dict)  # sequences never acked and out of the history
    left_at_us: int = 0
    acked: int = 0
    delivered: int = 0
    redelivered: int = 0
    most_in_flight: int = 0

    def hold(self, names: Iterable[str], start: Start) -> None:
        """Takes a position in each channel in which the group has none."""
        for name in names:
            if name not in self.positions:
                self.starts[name] = self.positions[name] = self.channels[name].position(start)

    def dispatch(self, now_us: int) -> None:
        """Hands out what can be handed out, member by member in fairness, until none has room or work."""
        while True:
            ready = [member for member in self.members if member.has_room]
            if len(ready) > 1:
                ready.sort(key=lambda member: (len(member.in_flight), member.served))
            for member in ready:
                delivery = self._next_for(member)
                if delivery is not None:
                    self._hand(delivery, member, now_us)
                    break
            else:
                return

    def _next_for(self, member: Member) -> Delivery | None:
        for key, delivery in self.due.items():
            if key[0] in member.subscription.channels:
                del self.due[key]
                return delivery
        oldest: Event | None = None
        for name in member.subscription.channels:
            channel = self.channels[name]
            position = self.positions[name]
            if position <= channel.last:
                event = channel.events[position]
                if oldest is None or event.number < oldest.number:
                    oldest = event
        if oldest is None:
            return None
        self.positions[oldest.channel] = oldest.sequence + 1
        return Delivery(oldest)

    def _hand(self, delivery: Delivery, member: Member, now_us: int) -> None:
        timeout_us = member.subscription.ack_timeout_us
        again = delivery.attempt > 0
        # A copy: what still waits in another member's outbox or has been sent keeps its attempt.
        delivery = Delivery(delivery.event, delivery.attempt + 1, now_us + (timeout_us or 0), member)
        key = delivery.event.key
        self.unacked[key] = member.in_flight[key] = delivery
        member.outbox.append(delivery)
        member.delivered += 1
        member.redelivered += again
        member.served = self.delivered = self.delivered + 1
        self.redelivered += again
        member.most_in_flight = max(member.most_in_flight, len(member.in_flight))
        self.most_in_flight = max(self.most_in_flight, member.most_in_flight)
        member.wake()

    def ack(self, key: EventKey) -> bool:
        """Counts the event as acked, whoever holds it now; False where it was not waiting for an ack."""
        delivery = self.unacked.pop(key, None)
        if delivery is None:
            return False
        if delivery.member is not None:
            del delivery.member.in_flight[key]
            delivery.member = None
        else:
            self.due.pop(key, None)
            self.orphans.pop(key, None)
        self.acked += 1
        return True

    def leave(self, member: Member, now_us: int) -> None:
        """Takes a member out; what it had not acked waits for its deadline."""
        self.members.remove(member)
        for key, delivery in member.in_flight.items():
            delivery.member = None
            self.orphans[key] = delivery
        member.in_flight.clear()
        member.outbox.clear()
        self.left_at_us = now_us

    def expire(self, now_us: int) -> None:
        """Makes due again what was not acked in time, and drops what the history no longer holds."""
        for member in self.members:
            if member.subscription.ack_timeout_us is None:
                continue
            while member.in_flight:
                key, delivery = next(iter(member.in_flight.items()))
                if delivery.deadline_us > now_us:
                    break
                del member.in_flight[key]
                delivery.member = None
                self.due[key] = delivery
        for key in [key for key, delivery in self.orphans.items() if delivery.deadline_us <= now_us]:
            self.due[key] = self.orphans.pop(key)
        for name, position in self.positions.items():
            first = self.channels[name].first
            if position < first:
                self._lose(name, range(position, first))
                self.positions[name] = first
        for name, sequence in [key for key in self.due if key[1] < self.channels[key[0]].first]:
            del self.due[name, sequence], self.unacked[name, sequence]
            self._lose(name, range(sequence, sequence + 1))

    def _lose(self, name: str, sequences: range) -> None:
        lost = self.lost.setdefault(name, [])
        if (
            lost and lost[-1].stop == sequences.start
        ):  # a slow group's losses stay one range however long it is slow
            lost[-1] = range(lost[-1].start, sequences.stop)
        else:
            lost.append(sequences)
