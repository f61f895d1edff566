"""Each method of the SMS service makes an SMS event and its delivery report, or rejects and makes none."""

import pytest
from sandbox_client import drain, take
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.sms.v0 import sms_pb2 as sms

SUBSCRIBER = {"e164": "+4799990000"}
OTHER = {"e164": "+46724450000"}
OUT, IN = v0.SmsEvent.FROM_SUBSCRIBER, v0.SmsEvent.TO_SUBSCRIBER

SENT = [
    (
        "SendTextFromSubscriber",
        sms.SendTextFromSubscriberRequest(content="hi", from_subscriber=SUBSCRIBER, to_e164=OTHER),
        ("from_e164", "to_e164", OUT, "text"),
    ),
    (
        "SendTextFromSubscriber",
        sms.SendTextFromSubscriberRequest(
            content="hi", from_subscriber=SUBSCRIBER, to_short_number={"national_phone_number": "2000"}
        ),
        ("from_e164", "to_national_phone_number", OUT, "text"),
    ),
    (
        "SendTextToSubscriber",
        sms.SendTextToSubscriberRequest(content="hi", from_e164=OTHER, to_subscriber=SUBSCRIBER),
        ("from_e164", "to_e164", IN, "text"),
    ),
    (
        "SendTextToSubscriber",
        sms.SendTextToSubscriberRequest(
            content="hi", from_text_address={"text_address": "Bank 24"}, to_subscriber=SUBSCRIBER
        ),
        ("from_text_address", "to_e164", IN, "text"),
    ),
    (
        "SendTextToSubscriber",
        sms.SendTextToSubscriberRequest(
            content="hi", from_text_address={"text_address": "Bjørn's/24!"}, to_subscriber=SUBSCRIBER
        ),
        ("from_text_address", "to_e164", IN, "text"),
    ),
    (
        "SendTextToSubscriber",
        sms.SendTextToSubscriberRequest(
            content="hi",
            from_short_number={"national_phone_number": "0724450000"},
            to_subscriber=SUBSCRIBER,
        ),
        ("from_national_phone_number", "to_e164", IN, "text"),
    ),
    (
        "SendBinaryToSubscriber",
        sms.SendBinaryToSubscriberRequest(
            content=b"\x00\xff",
            from_short_number={"national_phone_number": "2000"},
            to_subscriber=SUBSCRIBER,
            message_class=sms.SendBinaryToSubscriberRequest.CLASS1,
            applicationPort={"originatorPort": 1, "destinationPort": 2},
        ),
        ("from_national_phone_number", "to_e164", IN, "bytes"),
    ),
    (
        "SendTextToSubscriberAsOperator",
        sms.SendTextAsOperatorRequest(
            content="hi", from_operator_address={"text_address": "Fjordtel"}, to_subscriber=SUBSCRIBER
        ),
        ("from_text_address", "to_e164", IN, "text"),
    ),
    (
        "SendTextToSubscriberAsProduct",
        sms.SendTextAsProductRequest(
            content="hi", from_product_address={"text_address": "Product"}, to_subscriber=SUBSCRIBER
        ),
        ("from_text_address", "to_e164", IN, "text"),
    ),
]

REJECTED = (
    [
        ("content", sms.SendTextFromSubscriberRequest(from_subscriber=SUBSCRIBER, to_e164=OTHER)),
        ("from_subscriber", sms.SendTextFromSubscriberRequest(content="hi", to_e164=OTHER)),
        ("to_address", sms.SendTextFromSubscriberRequest(content="hi", from_subscriber=SUBSCRIBER)),
    ]
    + [
        (
            "to_e164",
            sms.SendTextFromSubscriberRequest(
                content="hi", from_subscriber=SUBSCRIBER, to_e164={"e164": wrong}
            ),
        )
        for wrong in (
            "",
            "46724450000",
            "+0123456789",
            "+12",
            "+1234567890123456",
            "+4672445000O",
            " +46724450000",
        )
    ]
    + [
        (
            "to_short_number",
            sms.SendTextFromSubscriberRequest(
                content="hi", from_subscriber=SUBSCRIBER, to_short_number={"national_phone_number": wrong}
            ),
        )
        for wrong in ("", "12", "2OOO", "+4672445000")
    ]
)


def send(client, method, request):
    return client.call(f"/wgtwo.sms.v0.SmsService/{method}", request, sms.SendResponse)


@pytest.mark.parametrize(("method", "request_", "expected"), SENT)
def test_what_is_sent_appears_on_the_stream(sandbox, connect, method, request_, expected):
    """SEND_OK with a request id; then an SMS event with the addresses and content, and a report that names it."""
    handle = sandbox(rate=0)
    client = connect(handle.address)
    response = send(client, method, request_)
    assert response.status == sms.SendResponse.SEND_OK
    assert response.request_id
    first, second = take(client.subscribe(), 2)
    message, report = first.sms_event, second.sms_delivery_report_event
    for event in (message, report):
        ends = (event.WhichOneof("from_address"), event.WhichOneof("to_address"), event.direction)
        assert ends == expected[:3]
    assert message.WhichOneof("content") == expected[3]
    assert getattr(message, expected[3]) == request_.content
    assert (report.sms_id, report.status) == (message.id, v0.SmsDeliveryReportEvent.DELIVERED)
    assert first.owner.phone_number.e164 == second.owner.phone_number.e164 == SUBSCRIBER["e164"]
    assert first.timestamp.ToNanoseconds() > 0


@pytest.mark.parametrize(("field", "request_"), REJECTED)
def test_what_cannot_be_sent_is_rejected(sandbox, connect, field, request_):
    """SEND_REJECT with a description that names the field and no number, and no event."""
    handle = sandbox(rate=0)
    client = connect(handle.address)
    response = send(client, "SendTextFromSubscriber", request_)
    assert response.status == sms.SendResponse.SEND_REJECT
    assert field in response.description
    assert "467" not in response.description
    assert drain(client.subscribe(seconds=0.2))[0] == []
