"""Small lakes for tests of what reads them: journaled and published by the real rooms, without a runner."""

from collections import defaultdict
from datetime import UTC, datetime, timedelta

from google.protobuf.timestamp_pb2 import Timestamp
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.subscription.v1 import subscription_events_pb2 as v1
from wgtwo_pipeline.lake import epochs
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.manifest import Parameters
from wgtwo_pipeline.publish import rooms

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
SOURCE = Source("v0.test", "v0", "Subscribe")
HANDSETS = Source("v1.StreamHandsetChangeEvents.test", "v1", "StreamHandsetChangeEvents")
BROKEN = b"\xff\xff broken"
"""A delivery that goes to the quarantine."""


def at(seconds=0.0, day=0):
    """A moment of the test's days."""
    return NOON + timedelta(seconds=seconds) + day * DAY


def sms(sequence, moment=NOON, text="hello", redelivered=False):
    """A delivery of an SMS; a redelivery differs in what concerns the delivery."""
    response = _v0(sequence, moment, redelivered)
    response.event.sms_event.id = f"sms-{sequence}"
    response.event.sms_event.text = text
    return response.SerializeToString()


def voice(sequence, moment=NOON, redelivered=False):
    """A delivery of a call's event."""
    response = _v0(sequence, moment, redelivered)
    response.event.voice_event.call_id = f"call-{sequence}"
    return response.SerializeToString()


def handset_change(number, moment=NOON, inbox="a"):
    """A delivery of the v1 API."""
    response = v1.StreamHandsetChangeEventsResponse()
    response.metadata.timestamp.CopyFrom(_timestamp(moment))
    response.metadata.identifier.subscription_identifier.value = "subscription"
    response.metadata.ack_info.value = inbox
    response.handset_change_event.number.e164 = f"+4700000{number:03d}"
    return response.SerializeToString()


def journal(store, *payloads, source=SOURCE, received_at=NOON):
    """Journals deliveries as one segment; returns its key."""
    microseconds = int(received_at.timestamp() * 1_000_000)
    return SegmentWriter(store).write(source, payloads, [microseconds + n for n in range(len(payloads))])


def publish(store, *, commits=True, writes=None, retention_seconds=3600, **parameters):
    """Publishes one epoch; returns its manifest, or None where nothing waits.

    `commits=False` leaves it open, as a killed publisher does, after writing the files of the tables in
    `writes` (all if None).
    """
    settings = rooms.PublishSettings(
        lake=store.location,
        writer="test",
        parameters=Parameters("", **parameters),
        limits=epochs.Limits(),
        retention_seconds=retention_seconds,
    )
    parts, outcomes, epoch = defaultdict(list), [], None
    for group in rooms.Seal(settings).process(None):
        for element in rooms.Decode(settings).process(group):
            if hasattr(element, "tag"):
                epoch, outcome = element.value
                outcomes.append(outcome)
            else:
                key, part = element
                parts[key].append(part)
    for key, values in parts.items():
        if commits or writes is None or key[1] in writes:
            outcomes += [outcome for _, outcome in rooms.Write(settings).process((key, values))]
    if epoch is None or not commits:
        return None
    (manifest,) = rooms.Commit(settings).process((epoch, outcomes))
    return manifest


def lake_of_two_days(store):
    """Two epochs: SMS and calls of two days, handsets, a duplicate within and between epochs, one broken."""
    journal(store, *(sms(n, at(n)) for n in range(10)), *(voice(n, at(n)) for n in range(5)), sms(3, at(3)))
    journal(store, handset_change(1, at(1)), handset_change(2, at(2)), source=HANDSETS)
    publish(store)
    journal(store, sms(4, at(4), redelivered=True), *(sms(n, at(n, day=1)) for n in range(10, 30)), BROKEN)
    publish(store)


def _v0(sequence, moment, redelivered):
    response = v0.SubscribeEventsResponse()
    response.event.metadata.sequence = sequence
    response.event.metadata.is_redelivered = redelivered
    response.event.metadata.ack_inbox = "again" if redelivered else "first"
    response.event.timestamp.CopyFrom(_timestamp(moment))
    response.event.service_id = "test"
    return response


def _timestamp(moment):
    timestamp = Timestamp()
    timestamp.FromDatetime(moment.astimezone(UTC))
    return timestamp
