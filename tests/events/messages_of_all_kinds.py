"""Random responses of every stream, and what a row of each must be: read by upb, by the letter of the rule."""

import datetime

import pyarrow as pa
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import strategies as st
from wgtwo.consents.v1 import consent_events_pb2 as consents
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.subscription.v1 import subscription_events_pb2 as subscriptions

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
RECEIVED_AT = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
STREAMS = {
    ("v0", "Subscribe"): v0.SubscribeEventsResponse,
    ("v1", "StreamHandsetChangeEvents"): subscriptions.StreamHandsetChangeEventsResponse,
    ("v1", "StreamFirstAttachmentEvents"): subscriptions.StreamFirstAttachmentEventsResponse,
    ("v1", "StreamCountryChangeEvents"): subscriptions.StreamCountryChangeEventsResponse,
    ("v1", "StreamPeriodicCountryEvents"): subscriptions.StreamPeriodicCountryEventsResponse,
    ("v1", "StreamConsentChangeEvents"): consents.StreamConsentChangeEventsResponse,
}
INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32: st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_INT64: st.integers(-(2**63), 2**63 - 1),
    FieldDescriptor.CPPTYPE_UINT32: st.integers(0, 2**32 - 1),
    FieldDescriptor.CPPTYPE_UINT64: st.integers(0, 2**63 - 1) | st.integers(2**63 - 2, 2**64 - 1),
    FieldDescriptor.CPPTYPE_ENUM: st.integers(-2, 8) | st.integers(-(2**31), 2**31 - 1),
    FieldDescriptor.CPPTYPE_BOOL: st.booleans(),
}
BOOLEANS = st.booleans()
TIMES = st.builds(Timestamp, seconds=st.integers(-(2 * 10**9), 10**10), nanos=st.integers(0, 10**9 - 1))
ANY_TIMES = st.builds(
    Timestamp,
    seconds=st.integers(-62_135_596_801, -62_135_596_799)
    | st.integers(-2_208_988_801, -2_208_988_800)
    | st.integers(253_402_300_798, 253_402_300_801),
    nanos=st.integers(-1, 1) | st.integers(10**9 - 1, 10**9),
)


def deliveries(payloads):
    payloads = list(payloads)
    received = [RECEIVED_AT + datetime.timedelta(microseconds=i) for i in range(len(payloads))]
    return pa.table(
        {
            "payload": pa.array(payloads, pa.binary()),
            "received_at": pa.array(received, pa.timestamp("us", "UTC")),
        }
    )


@st.composite
def messages(draw, kind, present=BOOLEANS):
    """Any message of a class: each field set or not, numbers over their whole range, times mostly valid."""
    if kind is Timestamp:
        return draw(TIMES | TIMES | TIMES | ANY_TIMES)
    message = kind()
    for field in kind.DESCRIPTOR.fields:
        if not draw(present):
            continue
        if field.message_type:
            inner = Timestamp if field.message_type.full_name == Timestamp.DESCRIPTOR.full_name else None
            inner = inner or type(getattr(message, field.name))
            getattr(message, field.name).CopyFrom(draw(messages(inner)))
            getattr(message, field.name).SetInParent()
        elif field.is_repeated:
            getattr(message, field.name).extend(draw(st.lists(st.text(max_size=3), max_size=3)))
        elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            values = (
                st.binary(max_size=5) if field.type == FieldDescriptor.TYPE_BYTES else st.text(max_size=5)
            )
            setattr(message, field.name, draw(values))
        else:
            setattr(message, field.name, draw(INTEGERS[field.cpp_type]))
    return message


@st.composite
def events(draw, response):
    """A response that mostly has all that a row needs, so that rows are tested and not just the quarantine."""
    message = draw(messages(response))
    if draw(st.integers(0, 9)):
        holder = message.event if response is v0.SubscribeEventsResponse else message
        timed = holder if response is v0.SubscribeEventsResponse else holder.metadata
        holder.metadata.SetInParent()
        timed.timestamp.CopyFrom(draw(TIMES))
        members = [f.name for f in holder.DESCRIPTOR.fields if f.name.endswith("_event")]
        member = getattr(holder, draw(st.sampled_from(members)))
        member.CopyFrom(draw(messages(type(member), st.integers(0, 3).map(bool))))
        member.SetInParent()
    return message


def expected(payload, api, response):
    """(table, row without received_at and event_id), or (None, reason): protobuf's own reading of the bytes."""
    message = response.FromString(payload)
    holder = message.event if api == "v0" else message
    timed = holder if api == "v0" else holder.metadata
    member = holder.WhichOneof("event") if api == "v0" else _v1_member(holder)
    if member is None:
        return None, "no_event"
    if not holder.HasField("metadata"):
        return None, "no_metadata"
    if not timed.HasField("timestamp"):
        return None, "no_timestamp"
    seconds, nanos = timed.timestamp.seconds, timed.timestamp.nanos
    if -62_135_596_800 <= seconds < -2_208_988_800:  # before 1900
        return None, "no_timestamp"
    if not (-62_135_596_800 <= seconds <= 253_402_300_799 and 0 <= nanos < 10**9):
        return None, "bad_timestamp"
    if api == "v0" and holder.metadata.sequence >= 2**63:
        return None, "number_too_large"
    timestamp = EPOCH + datetime.timedelta(seconds=seconds, microseconds=nanos // 1000)
    if api == "v0":
        owner = holder.owner if holder.HasField("owner") else None
        phone = owner.phone_number.e164 if owner and owner.HasField("phone_number") else None
        row = {
            "timestamp": timestamp,
            "sequence": holder.metadata.sequence,
            "service_id": holder.service_id,
            "owner_phone_number": phone,
            "owner_sub": owner.sub if owner else None,
        }
    else:
        identifier = holder.metadata.identifier
        has = holder.metadata.HasField("identifier") and identifier.HasField("subscription_identifier")
        subscription = identifier.subscription_identifier
        row = {
            "timestamp": timestamp,
            "subscription": (subscription.wg2rn or subscription.value) if has else None,
        }
    row |= dict(_flat(getattr(holder, member), ""))
    table = member.removesuffix("_event") + ("" if api == "v0" else "_v1")
    return table, row | {"date": timestamp.date()}


def _v1_member(response):
    (member,) = [f.name for f in response.DESCRIPTOR.fields if f.name.endswith("_event")]
    return member if response.HasField(member) else None


def _flat(message, name, *, unset=False):
    fields = sorted(message.DESCRIPTOR.fields, key=lambda f: f.number)
    for field in fields:
        own = name if name and len(fields) == 1 else f"{name}_{field.name}".lstrip("_")
        value = getattr(message, field.name)
        has = not unset and (not field.has_presence or message.HasField(field.name))
        if field.message_type and field.message_type.fields:
            yield from _flat(value, own, unset=not has)
        elif field.message_type:
            yield own, None if unset else has
        elif not has:
            yield own, None
        elif field.is_repeated:
            yield own, list(value)
        elif field.enum_type:
            known = field.enum_type.values_by_number.get(value)
            yield own, known.name if known else str(value)
        else:
            yield own, value


@st.composite
def broken(draw, response):
    """Bytes that were a message once, or never."""
    payload = bytearray(draw(events(response)).SerializeToString())
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(payload)))
        change = draw(st.sampled_from(["cut", "flip", "insert"]))
        if change == "cut":
            del payload[at:]
        elif change == "insert":
            payload[at:at] = draw(st.binary(max_size=4))
        elif at < len(payload):
            payload[at] ^= 1 << draw(st.integers(0, 7))
    return bytes(payload)
