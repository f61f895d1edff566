"""wgtwo.sms.v0.SmsService: what is sent appears as an SMS event and a delivery report on the v0 stream.

A message that cannot be sent is answered with SEND_REJECT and a description, and makes no event: the contract has a
status for it, so the call itself succeeds.
"""

import re
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
from google.protobuf.message import DecodeError
from wgtwo.events.v0 import events_pb2 as events
from wgtwo.sms.v0 import sms_pb2 as sms

from wgtwo_pipeline.sandbox.broker.authorize import RefusedError
from wgtwo_pipeline.sandbox.broker.core import Core
from wgtwo_pipeline.sandbox.broker.stream import Context
from wgtwo_pipeline.sandbox.events.kinds import KINDS, SMS_SCOPES
from wgtwo_pipeline.sandbox.events.make import Made

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
NATIONAL = re.compile(r"[0-9]{3,15}")  # short numbers, too
TEXT = re.compile(r"(?=.*\S).{1,11}")  # GSM 03.40: an alphanumeric address has up to 11 characters

_REQUESTS: dict[str, Any] = {
    "SendTextFromSubscriber": sms.SendTextFromSubscriberRequest,
    "SendBinaryToSubscriber": sms.SendBinaryToSubscriberRequest,
    "SendTextToSubscriber": sms.SendTextToSubscriberRequest,
    "SendTextToSubscriberAsOperator": sms.SendTextAsOperatorRequest,
    "SendTextToSubscriberAsProduct": sms.SendTextAsProductRequest,
}


def sms_handler(core: Core) -> Any:
    """The service for `Server.add_generic_rpc_handlers`; raw bytes in and out."""
    return grpc.method_handlers_generic_handler(
        "wgtwo.sms.v0.SmsService",
        {
            method: grpc.unary_unary_rpc_method_handler(_send(core, method, request))
            for method, request in _REQUESTS.items()
        },
    )


def _send(core: Core, method: str, request_type: Any) -> Callable[[bytes, Context], Awaitable[bytes]]:
    async def send(request: bytes, context: Context) -> bytes:
        try:
            core.authority.client_of(context.invocation_metadata(), (SMS_SCOPES[method],))
            asked = request_type.FromString(request)
        except DecodeError:
            await context.abort(grpc.StatusCode.INTERNAL, f"the request is no {request_type.DESCRIPTOR.name}")
        except RefusedError as refused:
            await context.abort(refused.code, refused.detail)
        response = sms.SendResponse(request_id=str(uuid.uuid4()))
        try:
            sent, report = _events(asked)
        except ValueError as error:
            response.status, response.description = sms.SendResponse.SEND_REJECT, str(error)
        else:
            response.status = sms.SendResponse.SEND_OK
            core.publish(Made(KINDS["sms"], sent))
            core.publish(Made(KINDS["sms_delivery_report"], report))
        return response.SerializeToString()

    return send


def _events(asked: Any) -> tuple[events.Event, events.Event]:
    """The SMS event and its report. Raises ValueError saying what cannot be sent; without any number."""
    sent, report = (events.Event(service_id="wgtwo-sandbox") for _ in range(2))
    message, delivered = sent.sms_event, report.sms_delivery_report_event
    message.id, message.uuid = str(uuid.uuid4()), str(uuid.uuid4())
    delivered.id, delivered.sms_id = str(uuid.uuid4()), message.id
    delivered.status = events.SmsDeliveryReportEvent.DELIVERED
    if not asked.content:
        raise ValueError("content is empty")
    if isinstance(asked.content, bytes):
        message.bytes = asked.content
    else:
        message.text = asked.content
    outgoing = isinstance(asked, sms.SendTextFromSubscriberRequest)
    subscriber = "from_subscriber" if outgoing else "to_subscriber"
    for event in (message, delivered):
        event.direction = event.FROM_SUBSCRIBER if outgoing else event.TO_SUBSCRIBER
        _address(event, "from" if outgoing else "to", asked, subscriber)
        _address(event, "to" if outgoing else "from", asked, _other_end(asked, outgoing))
    for owned in (sent, report):
        owned.owner.phone_number.e164 = getattr(asked, subscriber).e164
        owned.owner.sub = str(uuid.uuid5(uuid.NAMESPACE_URL, owned.owner.phone_number.e164))
    return sent, report


def _other_end(asked: Any, outgoing: bool) -> str:
    """The name of the field that holds the address that is not the subscriber's."""
    match asked:
        case sms.SendTextAsOperatorRequest():
            return "from_operator_address"
        case sms.SendTextAsProductRequest():
            return "from_product_address"
    end = "to_address" if outgoing else "from_address"
    chosen = asked.WhichOneof(end)
    if chosen is None:
        raise ValueError(f"{end} is missing")
    return str(chosen)


def _address(event: Any, end: str, asked: Any, field: str) -> None:
    """Writes an address of the request into the event's `from` or `to`. Raises ValueError if it is none."""
    address = getattr(asked, field)
    match address.DESCRIPTOR.name:
        case "PhoneNumber":
            valid, kind, text = E164, "e164", address.e164
        case "NationalPhoneNumber":
            valid, kind, text = NATIONAL, "national_phone_number", address.national_phone_number
        case _:
            valid, kind, text = TEXT, "text_address", address.text_address
    if not valid.fullmatch(text):
        raise ValueError(f"{field} is not a valid {kind}")
    getattr(event, f"{end}_{kind}").MergeFrom(address)
