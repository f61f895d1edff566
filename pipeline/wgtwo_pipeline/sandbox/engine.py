"""The sandbox's state: channels with their history, groups that hold positions, members that are sent events.

The rules are those of NATS Streaming, as the wire contract tells them. Pure and single-threaded: no grpc, no
protobuf, no clock of its own (every call that needs the time is given it, in microseconds UTC).

Where the contract is silent, this is what happens:
- What a leaving member had not acked waits for its ack timeout and then goes to another member; when the group is
  empty, the next member that joins gets it at once. Either way it is a redelivery.
- An unacked event that has left the history cannot be sent again: it is lost, and listed as such.
- A timed-out event goes to the member with the fewest in flight, before anything new.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Literal

EventKey = tuple[str, int]  # channel, sequence


@dataclass(frozen=True, slots=True)
class Event:
    """One emitted event; `head` and `body` are its bytes as `encode.py` joins them with a delivery's own."""

    number: int  # from 1, in order of emission over all channels
    channel: str
    sequence: int
    timestamp_us: int
    body: bytes
    head: bytes = b""
    malformed: str = ""

    @property
    def key(self) -> EventKey:
        """What an ack names."""
        return self.channel, self.sequence


@dataclass(frozen=True, slots=True)
class Start:
    """Where a group begins in each channel in which it holds no position."""

    at: Literal["new", "sequence", "timestamp", "last", "oldest"] = "new"
    value: int = 0  # a sequence, or microseconds UTC


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a stream asks for. `group` None: a group of its own, gone with the stream."""

    channels: tuple[str, ...]
    group: Hashable | None = None
    durable: bool = False
    start: Start = Start()
    max_in_flight: int = 50
    ack_timeout_us: int | None = 30_000_000  # None: acked once sent


@dataclass(slots=True)
class Delivery:
    """An event on its way. `member` is who has it now: None once it is acked or waits to be sent again."""

    event: Event
    attempt: int = 0
    deadline_us: int = 0
    member: "Member | None" = None


class Channel:
    """One event kind's numbered events, as far back as the history reaches."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.first = 1
        self.last = 0
        self.last_timestamp_us = 0
        self.events: dict[int, Event] = {}

    def append(self, event: Event) -> None:
        """Adds the next event; its sequence is `last + 1`."""
        self.last = event.sequence
        self.last_timestamp_us = event.timestamp_us
        self.events[event.sequence] = event

    def trim(self, before_us: int) -> None:
        """Forgets what is older."""
        while self.first <= self.last and self.events[self.first].timestamp_us < before_us:
            del self.events[self.first]
            self.first += 1

    def position(self, start: Start) -> int:
        """The first sequence that a subscription starting there is sent, always within first .. last + 1."""
        match start.at:
            case "new":
                return self.last + 1
            case "oldest":
                return self.first
            case "last":
                return max(self.first, self.last)
            case "sequence":
                return min(max(self.first, start.value), self.last + 1)
            case "timestamp":
                held = range(self.first, self.last + 1)
                return self.first + bisect_left(held, start.value, key=lambda s: self.events[s].timestamp_us)


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
