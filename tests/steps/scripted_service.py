"""The event service as a script: the sandbox's pure engine, an inbox per delivery, answers that get lost.

Knows what it emitted, by a number that stands in each event's bytes whatever else is wrong with them.
"""

from collections import deque
from dataclasses import dataclass

from wgtwo.consents.v1 import consent_events_pb2 as consents_v1
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.events.v1 import events_pb2 as v1
from wgtwo.subscription.v1 import subscription_events_pb2 as subscription_v1
from wgtwo_pipeline.sandbox.broker.engine import Engine
from wgtwo_pipeline.sandbox.broker.subscription import Start, Subscription
from wgtwo_pipeline.service.transport import CallResult, Received, StreamEndedError

HISTORY_US = 30 * 60 * 1_000_000
POSITION_US = 2 * HISTORY_US
CHANNELS = ("voice", "sms", "consent_revoke", "handset_change_v1", "consent_change_v1")
BROKEN = ("unknown", "utf8", "unset", "truncated")
SUBSCRIBE = "/wgtwo.events.v0.EventsService/Subscribe"


@dataclass(frozen=True)
class Emitted:
    """What the checker may know of an event."""

    number: int
    table: str  # or "quarantine"
    sequence: int
    timestamp_us: int
    owner: str = ""


class ScriptedService:
    """Channels `voice`, `sms`, `consent_revoke` (v0), and two of v1 with a method each; one engine for both APIs."""

    def __init__(self, world):
        self._world, self._clock = world, world.clock
        self.engine = Engine(CHANNELS, HISTORY_US, lambda _: POSITION_US)
        self.deaf = False  # no ack arrives
        self.mute = False  # nothing that it sends arrives, and nobody notices
        self.emitted: dict[int, Emitted] = {}
        self._kinds: dict[tuple[str, int], tuple[int, str]] = {}
        self._owners: dict[tuple[str, int], str] = {}
        self._gone: set[int] = set()  # before a group was there to lose it

    def emit(self, channel, kind=""):
        """One event; `kind` is "" or one of BROKEN, and behind an @ the letter of whose it is."""
        kind, _, letter = kind.partition("@")
        owner = f"+47900000{ord(letter)}" if letter else ""
        timestamp_us = self.engine.timestamp_us(channel, self._clock.us)
        event = self.engine.publish(channel, timestamp_us, b"")
        table = "quarantine" if kind else channel
        self.emitted[event.number] = Emitted(event.number, table, event.sequence, timestamp_us, owner)
        self._kinds[event.key] = event.number, kind
        self._owners[event.key] = owner

    def lost(self):
        """Numbers of the events that the service dropped before they were acked."""
        return self._gone | {
            self._kinds[channel, sequence][0]
            for group in self.engine.groups.values()
            for channel, ranges in group.lost.items()
            for sequences in ranges
            for sequence in sequences
        }

    @property
    def settled(self):
        """Whether every event is acked, or lost."""
        self.engine.tick(self._clock.us)
        groups = list(self.engine.groups.values())
        reached = {name for group in groups for name in group.positions if not self._waiting(group, name)}
        return not any(group.unacked for group in groups) and all(
            name in reached for name, channel in self.engine.channels.items() if channel.last
        )

    def _waiting(self, group, name):
        return group.positions[name] <= self.engine.channels[name].last

    def join(self, method, request):
        if method == SUBSCRIBE:
            asked = v0.SubscribeEventsRequest.FromString(request)
            channels = CHANNELS[:3]
            timeout = asked.manual_ack.timeout.ToMicroseconds()
            name = (asked.queue_name, asked.durable_name)
            configuration = asked
        else:
            # Every method of v1 is asked alike, field by field.
            configuration = subscription_v1.StreamHandsetChangeEventsRequest.FromString(
                request
            ).stream_configuration
            channels = CHANNELS[4:] if method.endswith("/StreamConsentChangeEvents") else CHANNELS[3:4]
            timeout = configuration.custom_ack_timeout.ToMicroseconds()
            name = ("v1", configuration.durable_queue.custom_name)
        position = configuration.WhichOneof("start_position")
        start = Start("oldest")
        if position == "start_at_timestamp":
            start = Start("timestamp", configuration.start_at_timestamp.ToMicroseconds())
        subscription = Subscription(channels, name, True, start, configuration.max_in_flight, timeout)
        before = set(self.engine.groups)  # of which joining forgets those that nobody has come back to
        member = self.engine.join(subscription, self._clock.us, lambda: None)
        if member.group.number not in before:
            self._gone |= {
                number
                for (channel, sequence), (number, _) in self._kinds.items()
                if channel in channels and sequence < self.engine.channels[channel].first
            }
        return member

    def take(self, member):
        """All that is to be sent to a member now, as (payload, number)."""
        self.engine.tick(self._clock.us)
        taken = []
        while member.outbox:
            delivery = member.outbox.popleft()
            if delivery.member is not None and not self.mute:
                taken.append(self.encode(delivery.event, member.group.number, delivery.attempt))
        return taken

    def encode(self, event, group, attempt):
        number, kind = self._kinds[event.key]
        marker = f"ev-{number:06d}"
        inbox = f"{group}/{event.channel}/{event.sequence}/{attempt}"
        if event.channel == "handset_change_v1":
            response = subscription_v1.StreamHandsetChangeEventsResponse()
            response.metadata.timestamp.FromMicroseconds(event.timestamp_us)
            response.metadata.identifier.subscription_identifier.wg2rn = "wg2:1"
            response.metadata.ack_info.value = inbox
            response.metadata.is_redelivered = attempt > 1
            response.handset_change_event.imsi.value = marker
            return response.SerializeToString()
        if event.channel == "consent_change_v1":
            granted = consents_v1.StreamConsentChangeEventsResponse()
            granted.metadata.timestamp.FromMicroseconds(event.timestamp_us)
            granted.metadata.ack_info.value = inbox
            granted.metadata.is_redelivered = attempt > 1
            granted.consent_change_event.number.e164 = self._owners[event.key]
            granted.consent_change_event.added.scopes.append(marker)
            return granted.SerializeToString()
        response = v0.SubscribeEventsResponse()
        metadata = response.event.metadata
        metadata.sequence, metadata.is_redelivered, metadata.ack_inbox = event.sequence, attempt > 1, inbox
        response.event.timestamp.FromMicroseconds(event.timestamp_us)
        response.event.service_id = marker
        owner = self._owners[event.key]
        if owner:
            response.event.owner.phone_number.e164 = owner
        if kind == "unset":
            return response.SerializeToString()
        if kind == "unknown":
            # Field 99 of Event, a message: an event kind of the future.
            inner = response.event.SerializeToString() + b"\x9a\x06\x03new"
            return b"\x0a" + _varint(len(inner)) + inner
        if event.channel == "voice":
            response.event.voice_event.call_id = f"{marker}~~" if kind == "utf8" else marker
        elif event.channel == "consent_revoke":
            response.event.consent_revoke_event.msisdn.e164 = owner
        else:
            response.event.sms_event.id = f"{marker}~~" if kind == "utf8" else marker
        payload = response.SerializeToString()
        if kind == "utf8":
            return payload.replace(b"~~", b"\xff\xfe")
        return payload[:-1] if kind == "truncated" else payload

    def ack(self, method, request):
        """What the server does with an ack, and its answer."""
        if method.endswith("/Ack"):
            inbox = v0.AckRequest.FromString(request).inbox
            answer = b""
        else:
            # And its acks are alike, too.
            inbox = subscription_v1.AckHandsetChangeEventRequest.FromString(request).ack_info.value
            answer = subscription_v1.AckHandsetChangeEventResponse(
                ack_status=v1.AckStatus(status_code=v1.AckStatus.STATUS_CODE_SUCCESS)
            ).SerializeToString()
        group, channel, sequence, _ = inbox.split("/")
        self._world.checker.acked(self._kinds[channel, int(sequence)][0])
        self.engine.tick(self._clock.us)
        self.engine.ack(int(group), channel, int(sequence), self._clock.us)
        return CallResult("OK", "", answer)


class ScriptedTransport:
    """A `Transport` of one process."""

    def __init__(self, world, process, service):
        self._world, self._process, self._service = world, process, service
        self.streams = []
        self._calls = deque()

    def stream(self, method, request):
        self._world.step(self._process, "subscribe", method)
        stream = ScriptedStream(self._world, self._process, self._service, method, request)
        self.streams.append(stream)
        return stream

    def start_many(self, method, requests, timeout_seconds, done):
        self._calls.append((method, requests, timeout_seconds, done))

    def turn(self):
        """Makes the calls that were started, and those that their answers start."""
        while self._calls:
            method, requests, timeout_seconds, done = self._calls.popleft()
            done([self._call(method, request, timeout_seconds) for request in requests])

    def close(self):
        for stream in self.streams:
            stream.leave()

    def _call(self, method, request, timeout_seconds):
        fault = self._world.step(self._process, "ack", method)
        if fault == "lose before" or self._service.deaf:
            self._world.clock.advance(timeout_seconds)
            return CallResult("DEADLINE_EXCEEDED", "scripted", None)
        if fault == "refuse":
            return CallResult("UNAVAILABLE", "scripted", None)
        result = self._service.ack(method, request)
        if fault == "kill after":
            self._world.kill(self._process)
        if fault == "lose after":
            return CallResult("UNAVAILABLE", "scripted", None)
        return result


class ScriptedStream:
    """A `Stream`: what the engine hands to its member arrives at once."""

    def __init__(self, world, process, service, method, request):
        self._world, self._process, self._service = world, process, service
        self._buffer = deque()
        self._ended = False
        self._member = service.join(method, request)

    @property
    def waiting(self):
        return len(self._buffer)

    @property
    def connected(self):
        return not self._ended

    def receive(self, enough, max_count, linger_seconds, timeout_seconds):
        if self._world.step(self._process, "receive", "") == "cut":
            self.leave()
        self._fill()
        if not self._buffer and not self._ended:
            self._world.clock.advance(timeout_seconds)
            self._fill()
        if not self._buffer and self._ended:
            raise StreamEndedError("UNAVAILABLE", "scripted")
        if len(self._buffer) < enough:
            self._world.clock.advance(linger_seconds)
        # Nothing ever comes right behind enough: so there are more, smaller groups to fail between.
        return [self._buffer.popleft() for _ in range(min(enough, max_count, len(self._buffer)))]

    def cancel(self):
        self._fill()
        self.leave()

    def leave(self):
        if not self._ended:
            self._ended = True
            self._service.engine.leave(self._member, self._world.clock.us)

    def _fill(self):
        if not self._ended:
            now = self._world.clock.us
            copies = 1 + self._world.story.repeat
            for payload in self._service.take(self._member):
                self._buffer.extend([Received(payload, now)] * copies)


def _varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes((*out, value))
