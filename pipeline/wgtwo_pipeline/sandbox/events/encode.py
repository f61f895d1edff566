"""Joins an event's bytes with a delivery's own fields into the response message, without a protobuf library.

An event's bytes are made once and sent as they are however often it is delivered: only so can malformed ones be
sent at all. Field numbers from the wire contract.
"""

from wgtwo_pipeline.sandbox.events.event import Event


def varint(value: int) -> bytes:
    """Protobuf's base-128 encoding."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def message(number: int, content: bytes) -> bytes:
    """A length-delimited field: a message, a string or bytes."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def v0_response(event: Event, inbox: str, is_redelivered: bool) -> bytes:
    """SubscribeEventsResponse: `body` is the Event without its metadata."""
    metadata = b"\x08" + varint(event.sequence)
    if is_redelivered:
        metadata += b"\x10\x01"
    if inbox:
        metadata += message(3, inbox.encode())
    return message(1, message(1, metadata) + event.body)


def v1_response(event: Event, ack_info: str, is_redelivered: bool) -> bytes:
    """A v1 stream's response: `head` is the metadata's lasting part, `body` everything but the metadata."""
    metadata = event.head
    if ack_info:
        metadata += message(3, message(1, ack_info.encode()))
    if is_redelivered:
        metadata += b"\x20\x01"
    return message(1, metadata) + event.body
