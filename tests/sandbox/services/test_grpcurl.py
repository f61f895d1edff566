"""wgtwo's getting-started guide, command by command, with the real grpcurl against the sandbox."""

import json
import subprocess

import pytest
import requests
from patience import wait_until
from servers import tool
from wgtwo_pipeline.sandbox.services.descriptor_set import descriptor_set

pytestmark = pytest.mark.heavy

SUBSCRIBE = "wgtwo.events.v0.EventsService.Subscribe"
OAUTH = {"oauth_address": "127.0.0.1:0", "oauth_client": "id:secret"}


@pytest.fixture
def grpcurl(tmp_path):
    """Runs grpcurl in a folder with `wgtwo.bin`; returns its exit code, its JSON messages and its errors."""
    program = tool("grpcurl")
    (tmp_path / "wgtwo.bin").write_bytes(descriptor_set().SerializeToString())

    def run(*arguments):
        done = subprocess.run(
            [program, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
        return done.returncode, _messages(done.stdout), done.stderr

    return run


def _messages(text):
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(text):
        message, at = decoder.raw_decode(text, at)
        found.append(message)
        while at < len(text) and text[at].isspace():
            at += 1
    return found


def test_subscribe_and_send_an_sms(sandbox, grpcurl):
    """Both steps of the guide: the SMS that is sent comes down a stream that only asks for its type."""
    handle = sandbox(rate=0)
    code, answers, _ = grpcurl(
        "-plaintext", "-protoset", "wgtwo.bin", "-d",
        '{"content": "This is a test message", "from_subscriber": {"e164": "+4799990000"}, '
        '"to_e164": {"e164": "+46724450000"}}',
        handle.address, "wgtwo.sms.v0.SmsService/SendTextFromSubscriber",
    )  # fmt: skip
    assert (code, answers[0]["status"]) == (0, "SEND_OK")
    _, events, _ = grpcurl(
        "-plaintext", "-max-time", "1", "-protoset", "wgtwo.bin", "-d",
        '{"type": ["SMS_EVENT"], "start_at_oldest_possible": {}}', handle.address, SUBSCRIBE,
    )  # fmt: skip
    (event,) = events
    assert event["event"]["sms_event"]["text"] == "This is a test message"
    assert event["event"]["sms_event"]["direction"] == "FROM_SUBSCRIBER"


def test_subscribe_as_the_guide_does(sandbox, grpcurl):
    """Made-up SMS events, and nothing else, while the stream lasts; it times out."""
    handle = sandbox(rate=200.0, stream_lifetime_seconds=1)
    _, events, _ = grpcurl(
        "-plaintext", "-protoset", "wgtwo.bin", "-d", '{ "type": ["SMS_EVENT"] }', handle.address, SUBSCRIBE
    )
    assert len(events) > 3
    assert all("sms_event" in event["event"] for event in events)


def test_reflection_and_health(sandbox, grpcurl):
    """Without a descriptor set: services are listed and described, a stream works, health says SERVING."""
    handle = sandbox(rate=200.0)
    done = subprocess.run(
        [tool("grpcurl"), "-plaintext", handle.address, "list"], capture_output=True, text=True, check=True
    )
    assert {
        "grpc.health.v1.Health",
        "wgtwo.events.v0.EventsService",
        "wgtwo.sms.v0.SmsService",
        "wgtwo.subscription.v1.SubscriptionEventService",
        "wgtwo.consents.v1.ConsentEventService",
    } <= set(done.stdout.split())
    _, events, _ = grpcurl(
        "-plaintext", "-max-time", "1", "-d", '{"start_at_oldest_possible": {}}', handle.address, SUBSCRIBE
    )
    assert events
    code, answers, _ = grpcurl(
        "-plaintext", "-d", '{"service": "wgtwo.events.v0.EventsService"}', handle.address,
        "grpc.health.v1.Health/Check",
    )  # fmt: skip
    assert (code, answers) == (0, [{"status": "SERVING"}])


def test_production_with_tls_and_a_token(sandbox, grpcurl, tmp_path):
    """The guide's second part: a token for one scope, then a stream with the Bearer token over TLS."""
    handle = sandbox(rate=200.0, tls_dir=str(tmp_path), **OAUTH)
    token = requests.post(
        f"http://{handle.oauth_address}/oauth2/token",
        auth=("id", "secret"),
        data={"grant_type": "client_credentials", "scope": "events.sms.subscribe"},
        timeout=10,
    ).json()["access_token"]

    def subscribe(bearer):
        return grpcurl(
            "-H", f"Authorization: Bearer {bearer}", "-cacert", "cert.pem", "-max-time", "2", "-protoset",
            "wgtwo.bin", "-d", '{ "type": ["SMS_EVENT"], "start_at_oldest_possible": {} }', handle.address,
            SUBSCRIBE,
        )  # fmt: skip

    assert subscribe(token)[1]
    code, events, error = subscribe("wrong")
    assert (code != 0, events, "Unauthenticated" in error) == (True, [], True)


def test_a_client_with_names_and_manual_ack(sandbox, grpcurl):
    """The guide's Go client's request: queue, durable, 10 in flight, ack within 10 s; acked with grpcurl as well."""
    handle = sandbox(rate=1000.0, count=100, types=("sms",))
    wait_until(lambda: handle.state()["exhausted"])
    request = {
        "type": ["SMS_EVENT"],
        "start_at_oldest_possible": {},
        "client_id": "some-uuid",
        "queue_name": "test",
        "durable_name": "test",
        "max_in_flight": 10,
        "manual_ack": {"enable": True, "timeout": "10s"},
    }
    _, events, _ = grpcurl(
        "-plaintext", "-max-time", "1", "-protoset", "wgtwo.bin", "-d", json.dumps(request), handle.address,
        SUBSCRIBE,
    )  # fmt: skip
    assert len(events) == 10
    metadata = events[0]["event"]["metadata"]
    ack = {"inbox": metadata["ack_inbox"], "sequence": metadata["sequence"]}
    code, answers, _ = grpcurl(
        "-plaintext", "-protoset", "wgtwo.bin", "-d", json.dumps(ack), handle.address,
        "wgtwo.events.v0.EventsService.Ack",
    )  # fmt: skip
    assert (code, answers) == (0, [{}])
    assert handle.state()["groups"][0]["acked"] == 1
