"""Spoils an event's bytes in the ways a client must survive."""

from typing import Any

from wgtwo_pipeline.sandbox.events.encode import message as field
from wgtwo_pipeline.sandbox.events.kinds import Kind

MARK = "@@@@@@@@"  # ASCII of the length of what replaces it, so that every length stays right
BAD_UTF8 = b"\xff\xfe\xc0\x80\xed\xa0\x80\xf8"
UNKNOWN_NUMBER = 98  # of a field that no version of the contract has
UNKNOWN_ENUM = 77

_ENUMS = {
    "voice": "type",
    "voicemail": "type",
    "token_audit": "operation",
    "sms": "direction",
    "sms_delivery_report": "status",
}


def malformed(kind: Kind, message: Any, way: str) -> bytes | None:
    """The bytes of the event, malformed; None where this kind of event cannot be malformed so.

    `unset_oneof`: no payload. `unknown_member`: a payload of a type newer than the client. `unknown_enum`: an enum
    value newer than the client. `unknown_fields`: fields newer than the client. `invalid_utf8`: a string that is
    none. `truncated`: the bytes end in the middle of a field. May change `message`.
    """
    match way:
        case "unset_oneof":
            message.ClearField(kind.payload)
            return bytes(message.SerializeToString())
        case "unknown_member":
            payload = getattr(message, kind.payload).SerializeToString()
            message.ClearField(kind.payload)
            return bytes(message.SerializeToString() + field(UNKNOWN_NUMBER, payload))
        case "unknown_enum":
            if kind.name not in _ENUMS:
                return None
            setattr(getattr(message, kind.payload), _ENUMS[kind.name], UNKNOWN_ENUM)
            return bytes(message.SerializeToString())
        case "unknown_fields":
            return bytes(message.SerializeToString() + field(UNKNOWN_NUMBER, b"newer than you"))
        case "invalid_utf8":
            if kind.api == "v0":
                message.service_id = MARK
            else:
                getattr(message, kind.payload).number.e164 = MARK
            return bytes(message.SerializeToString().replace(MARK.encode(), BAD_UTF8))
        case "truncated":
            return bytes(message.SerializeToString()[:-3])
    raise ValueError(f"no such malformation: {way}")
