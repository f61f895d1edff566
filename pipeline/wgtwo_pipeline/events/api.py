"""How the two versions of the event API are spoken: requests, acks and the envelope of a delivery.

Ingest reads no more of a delivery than this file does: the fields that its ack must name, and of some their time.
Everything else stays bytes until publish. Source: the wire contract (package names, field numbers, behaviour).

It is over 300 lines because how the two versions differ is to be read in one place.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, cast

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from google.protobuf.message import DecodeError, Message
from wgtwo.consents.v1 import consent_events_pb2
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.events.v1 import events_pb2 as v1
from wgtwo.subscription.v1 import subscription_events_pb2

from wgtwo_pipeline.events import wire

HISTORY: Final = timedelta(minutes=30)
"""How long the service keeps events."""


@dataclass(frozen=True)
class Method:
    """One server-streaming method, the unary method that acks its deliveries, and the tables it feeds."""

    api: str
    name: str
    stream: str
    ack: str
    tables: tuple[str, ...]


V0_TYPES: Final = {
    name.removesuffix("_EVENT").lower(): number
    for name, number in v0.EventType.items()
    if name != "UNSPECIFIED"
}
"""Table name to the number of v0's EventType."""


def _v1_methods() -> tuple[Method, ...]:
    consents = consent_events_pb2.DESCRIPTOR.services_by_name["ConsentEventService"]
    subscription = subscription_events_pb2.DESCRIPTOR.services_by_name["SubscriptionEventService"]
    methods = []
    for service in (subscription, consents):
        for stream in service.methods:
            if not stream.name.startswith("Stream"):
                continue
            ack = "Ack" + stream.name.removeprefix("Stream").removesuffix("s")
            table = stream.output_type.fields[1].name.removesuffix("_event") + "_v1"
            path = f"/{service.full_name}/"
            methods.append(Method("v1", stream.name, path + stream.name, path + ack, (table,)))
    return tuple(methods)


_EVENTS_SERVICE = f"/{v0.DESCRIPTOR.services_by_name['EventsService'].full_name}/"
V0: Final = Method("v0", "Subscribe", _EVENTS_SERVICE + "Subscribe", _EVENTS_SERVICE + "Ack", tuple(V0_TYPES))
V1: Final = _v1_methods()
CONSENT_TABLES: Final = {"v0": "consent_revoke", "v1": "consent_change_v1"}
V0_CONSENT_FIELD: Final = v0.Event.DESCRIPTOR.fields_by_name["consent_revoke_event"].number
"""The number of v0's revocation among the fields of an event."""
TABLES: Final = {"v0": V0.tables, "v1": tuple(table for method in V1 for table in method.tables)}
"""The tables of each version of the API, in the order of the contract."""
SCOPES: Final = {
    "voice": "events.voice.subscribe",
    "voicemail": "events.voicemail.subscribe",
    "sms": "events.sms.subscribe",
    "sms_delivery_report": "events.sms_delivery_report.subscribe",
    "location_update": "events.location.subscribe",
    "country_change": "events.roaming.subscribe",
    "handset_update": "events.handset_update.subscribe",
    "handset_change_v1": "subscription.handset_details:read",
    "first_attachment_v1": "subscription.first_attachment:read",
    "country_change_v1": "subscription.country_change:read",
    "periodic_country_v1": "subscription.periodic_country:read",
}
"""The OAuth scope that a table's events need; those not named need none. Source: the wire contract."""


def methods(api: str, tables: Iterable[str]) -> tuple[Method, ...]:
    """The methods to stream from for these tables: one on v0, one a table on v1."""
    if api == "v0":
        return (V0,)
    wanted = set(tables)
    return tuple(method for method in V1 if wanted & set(method.tables))


@dataclass(frozen=True)
class Start:
    """Where a subscription begins if the server holds no position for it.

    `kind`: oldest, new, last (received), sequence, timestamp or delta; the last three use the field named so.
    """

    kind: str = "oldest"
    sequence: int = 0
    timestamp: datetime | None = None
    delta: timedelta = timedelta()


@dataclass(frozen=True)
class Terms:
    """What a member asks of the server for its stream."""

    tables: tuple[str, ...]
    queue_name: str
    durable_name: str
    max_in_flight: int
    ack_timeout_seconds: float


def subscribe_request(method: Method, terms: Terms, start: Start, client_id: str) -> bytes:
    """The request that opens a stream. `client_id` names this member; it is new with each stream."""
    if method.api == "v0":
        return _subscribe_v0(terms, start, client_id).SerializeToString()
    return _stream_v1(method, terms, start)


def probe_request(method: Method, terms: Terms) -> bytes:
    """The request of a stream that only shows whether one may be opened: new events, of these tables, to itself.

    A regular subscription, in no queue and under no name: it takes no event from anybody, and the service keeps
    nothing of it when it ends.
    """
    if method.api == "v0":
        request = _subscribe_v0(
            replace(terms, queue_name="", durable_name="", max_in_flight=1), Start("new"), ""
        )
        request.client_id = "wgtwo-pipeline-check"
        return request.SerializeToString()
    configuration = v1.StreamConfiguration(max_in_flight=1)
    configuration.regular.SetInParent()
    configuration.start_at_new.SetInParent()
    return cast(bytes, _MESSAGES["RequestV1"](value=configuration.SerializeToString()).SerializeToString())


def _subscribe_v0(terms: Terms, start: Start, client_id: str) -> v0.SubscribeEventsRequest:
    request = v0.SubscribeEventsRequest(
        type=[V0_TYPES[table] for table in terms.tables],  # type: ignore[misc]  # numbers, as descriptors give them
        client_id=client_id,
        queue_name=terms.queue_name,
        durable_name=terms.durable_name,
        max_in_flight=terms.max_in_flight,
    )
    request.manual_ack.enable = True
    request.manual_ack.timeout.FromTimedelta(timedelta(seconds=terms.ack_timeout_seconds))
    if start.kind == "oldest":
        request.start_at_oldest_possible.SetInParent()
    elif start.kind == "last":
        request.start_with_last_received.SetInParent()
    elif start.kind == "sequence":
        request.start_at_sequence = start.sequence
    elif start.kind == "timestamp" and start.timestamp is not None:
        request.start_at_timestamp.FromDatetime(start.timestamp)
    elif start.kind == "delta":
        request.start_at_time_delta.FromTimedelta(start.delta)
    return request


def _stream_v1(method: Method, terms: Terms, start: Start) -> bytes:
    configuration = v1.StreamConfiguration(max_in_flight=terms.max_in_flight)
    configuration.durable_queue.custom_name = terms.durable_name
    configuration.custom_ack_timeout.FromTimedelta(timedelta(seconds=terms.ack_timeout_seconds))
    if start.kind == "oldest":
        configuration.start_at_oldest_possible.SetInParent()
    elif start.kind == "sequence":
        configuration.start_at_id = start.sequence
    elif start.kind == "timestamp" and start.timestamp is not None:
        configuration.start_at_timestamp.FromDatetime(start.timestamp)
    elif start.kind == "delta":
        configuration.start_at_timestamp.GetCurrentTime()
        configuration.start_at_timestamp.FromDatetime(
            configuration.start_at_timestamp.ToDatetime() - start.delta
        )
    else:
        configuration.start_at_new.SetInParent()
    # Every v1 request is a message whose only field, number 1, is the configuration.
    return cast(bytes, _MESSAGES["RequestV1"](value=configuration.SerializeToString()).SerializeToString())


def _messages() -> dict[str, type[Message]]:
    """Messages that hold nothing but the path to the fields that ingest reads; all others are skipped as unknown.

    Strings are declared as bytes, so that invalid UTF-8 cannot fail them. A pool of their own keeps them apart
    from the contract's descriptors.
    """
    kind = descriptor_pb2.FieldDescriptorProto
    shapes: dict[str, dict[str, tuple[int, int | str]]] = {
        "MetadataV0": {
            "sequence": (1, kind.TYPE_UINT64),
            "is_redelivered": (2, kind.TYPE_BOOL),
            "ack_inbox": (3, kind.TYPE_BYTES),
        },
        "EventV0": {"metadata": (1, "MetadataV0")},
        "ResponseV0": {"event": (1, "EventV0")},
        "AckV0": {"inbox": (1, kind.TYPE_BYTES), "sequence": (2, kind.TYPE_UINT64)},
        "AckInfo": {"value": (1, kind.TYPE_BYTES)},
        "MetadataV1": {"ack_info": (3, "AckInfo"), "is_redelivered": (4, kind.TYPE_BOOL)},
        "ResponseV1": {"metadata": (1, "MetadataV1")},
        "Time": {"seconds": (1, kind.TYPE_INT64), "nanos": (2, kind.TYPE_INT32)},
        "TimedEventV0": {"timestamp": (2, "Time")},
        "TimedV0": {"event": (1, "TimedEventV0")},
        "TimedMetadataV1": {"timestamp": (1, "Time")},
        "TimedV1": {"metadata": (1, "TimedMetadataV1")},
        "AckV1": {"ack_info": (1, "AckInfo")},
        "RequestV1": {"value": (1, kind.TYPE_BYTES)},
    }
    file = descriptor_pb2.FileDescriptorProto(name="envelope.proto", package="envelope", syntax="proto3")
    for name, members in shapes.items():
        message = file.message_type.add(name=name)
        for member, (number, shape) in members.items():
            added = message.field.add(name=member, number=number, label=kind.LABEL_OPTIONAL)
            if isinstance(shape, str):
                added.type, added.type_name = kind.TYPE_MESSAGE, f".envelope.{shape}"
            else:
                added.type = shape  # type: ignore[assignment]  # the enum's number
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"envelope.{name}"))
        for name in shapes
    }


_MESSAGES: Final[dict[str, Any]] = _messages()
_RESPONSE_V0, _ACK_V0 = _MESSAGES["ResponseV0"], _MESSAGES["AckV0"]
_RESPONSE_V1, _ACK_V1 = _MESSAGES["ResponseV1"], _MESSAGES["AckV1"]


Envelope = tuple[bytes | None, bool]
"""What ingest reads of every delivery: the request that acks it, None where nothing names one, and whether it is
redelivered. A plain tuple: it is made for each delivery."""


def _envelope_v0(payload: bytes) -> Envelope:
    again = False
    try:
        metadata = _RESPONSE_V0.FromString(payload).event.metadata
        inbox, sequence, again = metadata.ack_inbox, metadata.sequence, metadata.is_redelivered
    except DecodeError:
        inbox, sequence = b"", 0
        for number, value in _walk(payload, (1, 1)):
            if number == 1 and isinstance(value, int):
                sequence = value
            elif number == 3 and isinstance(value, bytes):
                inbox = value
    if not inbox and not sequence:
        return None, again
    ack = _ACK_V0()  # fields by keyword cost twice as much
    ack.inbox, ack.sequence = inbox, sequence
    return ack.SerializeToString(), again


def _envelope_v1(payload: bytes) -> Envelope:
    again = False
    try:
        metadata = _RESPONSE_V1.FromString(payload).metadata
        value, again = metadata.ack_info.value, metadata.is_redelivered
    except DecodeError:
        found = [value for number, value in _walk(payload, (1, 3)) if number == 1]
        value = found[-1] if found and isinstance(found[-1], bytes) else b""
    return (_ACK_V1(ack_info={"value": value}).SerializeToString() if value else None), again


def _walk(payload: bytes, path: tuple[int, ...]) -> Iterable[wire.Field]:
    """The readable fields of the messages at `path`, in wire order."""
    messages = [payload]
    for step in path:
        messages = [
            field.value
            for message in messages
            for field in wire.fields(message)
            if field.number == step and isinstance(field.value, bytes)
        ]
    return (field for message in messages for field in wire.fields(message))


_ENVELOPES: Final[dict[str, Callable[[bytes], Envelope]]] = {"v0": _envelope_v0, "v1": _envelope_v1}


def envelope(method: Method, payload: bytes) -> Envelope:
    """What its envelope says; of bytes that cannot be decoded as well, as far as they can be read. Never raises."""
    return _ENVELOPES[method.api](payload)


def ack_request(method: Method, payload: bytes) -> bytes | None:
    """The request that acks this delivery; None where its bytes name nothing to ack. Never raises."""
    return envelope(method, payload)[0]


def event_micros(version: str, payload: bytes) -> int | None:
    """When a delivery's event took place, in µs since the Unix epoch; None where it doesn't say. Never raises."""
    try:
        if version == "v0":
            message = _MESSAGES["TimedV0"].FromString(payload).event
        else:
            message = _MESSAGES["TimedV1"].FromString(payload).metadata
    except DecodeError:
        return None
    time = message.timestamp
    return time.seconds * 1_000_000 + time.nanos // 1_000 if message.HasField("timestamp") else None


def ack_accepted(method: Method, response: bytes) -> bool:
    """Whether an answer with status OK says that the ack counts (v1 answers a status of its own)."""
    if method.api == "v0":
        return True
    try:
        status = v1.AckResponse.FromString(response).ack_status.status_code
    except DecodeError:
        return False
    return status == v1.AckStatus.STATUS_CODE_SUCCESS
