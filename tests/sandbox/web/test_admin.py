"""The admin's JSON API and page, as `curl` and a browser use them."""

import base64
import html.parser
import json

import grpc
import pytest
import requests
from patience import PATIENCE_SECONDS, wait_until
from sandbox_client import drain, take
from wgtwo.events.v0 import events_pb2 as v0

QUEUE = {"queue_name": "q", "durable_name": "d"}


@pytest.fixture
def admin(sandbox):
    """A sandbox and a function that asks its admin: `ask("GET", "/state")` or `ask("POST", "/rate", {…})`."""

    def start(**settings):
        handle = sandbox(admin_address="127.0.0.1:0", **settings)

        def ask(method, path, body=None, expect=200, **how):
            data = None if body is None else json.dumps(body)
            answer = requests.request(
                method, f"http://{handle.admin_address}{path}", data=data, timeout=PATIENCE_SECONDS, **how
            )
            assert answer.status_code == expect, answer.text
            return answer

        return handle, ask

    return start


def test_state_is_what_the_handle_says(admin, connect):
    """Groups, members, counts, faults as JSON."""
    handle, ask = admin(rate=1000.0, count=3, types=("sms",))
    stream = connect(handle.address).subscribe(manual_seconds=30, **QUEUE)
    take(stream, 3)
    told, known = ask("GET", "/state").json(), json.loads(json.dumps(handle.state()))
    told.pop("now_us"), known.pop("now_us")
    assert told == known
    (group,) = told["groups"]
    assert (group["unacked"], group["members"][0]["in_flight"]) == (3, 3)
    stream.cancel()


def test_emitted_acked_and_unacked_events_can_be_listed(admin, connect):
    """What a test outside the process needs to prove delivery: identities, content, what is acked."""
    handle, ask = admin(rate=1000.0, count=5, types=("sms",))
    client = connect(handle.address)
    events = take(client.subscribe(manual_seconds=30, **QUEUE), 5)
    client.ack(events[1])
    listed = [json.loads(line) for line in ask("GET", "/events").text.splitlines()]
    assert [event["sequence"] for event in listed] == [1, 2, 3, 4, 5]
    for line, event in zip(listed, events, strict=True):
        event.ClearField("metadata")
        assert v0.Event.FromString(base64.b64decode(line["body"])) == event
        assert line["timestamp_us"] == event.timestamp.ToMicroseconds()
    page = ask("GET", "/events?after=2&limit=2").text.splitlines()
    assert [json.loads(line)["number"] for line in page] == [3, 4]
    number = handle.state()["groups"][0]["number"]
    assert ask("GET", f"/acked?group={number}").json() == [["sms", 2]]
    assert ask("GET", f"/unacked?group={number}").json() == [["sms", n] for n in (1, 3, 4, 5)]


def test_faults_and_rate_change_while_it_runs(admin):
    """A change counts from now on; a wrong one is refused with a sentence and changes nothing."""
    handle, ask = admin(rate=0.0)
    assert (
        ask("POST", "/faults", {"drop_acks": 0.5, "malform_kinds": ["truncated"]}).json()["drop_acks"] == 0.5
    )
    assert handle.call(lambda core: core.faults.malform_kinds) == ("truncated",)
    ask("POST", "/rate", {"rate": 500})
    wait_until(lambda: handle.state()["emitted"]["v0"] > 20)
    for path, wrong in (
        ("/faults", {"drop_acks": 2}),
        ("/faults", {"no_such_fault": 1}),
        ("/faults", {"drop_acks": "often"}),
        ("/faults", {"fail_tokens": "all"}),
        ("/faults", [1]),
        ("/rate", {"rate": -1}),
        ("/rate", {}),
        ("/clock", {"advance_seconds": -1}),
        ("/events", {"type": "fax", "event": {}}),
        ("/events", {"type": "sms", "event": {"no_field": 1}}),
    ):
        assert ask("POST", path, wrong, expect=400).json()["error"]
    assert handle.call(lambda core: core.faults.drop_acks) == 0.5
    assert ask("GET", "/nothing", expect=404).json()["error"]
    ask("GET", "/unacked?group=99", expect=400)


def test_the_clock_can_be_moved_ahead(admin, connect):
    """An ack timeout is over at once."""
    handle, ask = admin(rate=1000.0, count=1, types=("sms",))
    stream = connect(handle.address).subscribe(manual_seconds=30, **QUEUE)
    take(stream, 1)
    ask("POST", "/clock", {"advance_seconds": 31})
    assert take(stream, 1)[0].metadata.is_redelivered


def test_any_event_can_be_published(admin, connect):
    """v0's Event or v1's response, as JSON; timestamp and metadata are the sandbox's own."""
    handle, ask = admin(rate=0.0)
    event = {"consentRevokeEvent": {"msisdn": {"e164": "+447700900001"}}, "serviceId": "me"}
    told = ask("POST", "/events", {"type": "consent_revoke", "event": event}).json()
    assert (told["type"], told["sequence"]) == ("consent_revoke", 1)
    (got,) = take(connect(handle.address).subscribe(), 1)
    assert got.consent_revoke_event.msisdn.e164 == "+447700900001"
    assert got.timestamp.ToMicroseconds() == told["timestamp_us"]
    event = {"consentChangeEvent": {"revoked": {}, "number": {"e164": "+447700900001"}}}
    told = ask(
        "POST", "/events", {"type": "consent_change_v1", "event": event, "identifier": "wg2rn:x"}
    ).json()
    assert told["api"] == "v1"


def test_streams_can_be_cut_and_connections_reset_now(admin, connect):
    """Every stream that is open ends; one that is opened afterwards does not."""
    handle, ask = admin(rate=100.0)
    client = connect(handle.address)
    stream = client.subscribe()
    take(stream, 1)
    assert ask("POST", "/streams/cut", {}).json() == {"cut": 1}
    assert drain(stream)[1] == grpc.StatusCode.UNAVAILABLE
    stream = client.subscribe()
    take(stream, 1)
    assert ask("POST", "/connections/reset", {}).json()["reset"] >= 1
    assert drain(stream)[1] == grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Host": "evil.example"}, {"Origin": "null"}]
)
def test_foreign_pages_are_refused(admin, headers):
    """A web page elsewhere cannot make a browser change the sandbox, nor by a name of its own for our address."""
    handle, ask = admin(rate=0.0)
    ask("POST", "/faults", {"drop_acks": 1}, expect=403, headers=headers)
    assert handle.call(lambda core: core.faults.drop_acks) == 0


def test_the_page_is_served_and_stands_alone(admin):
    """HTML that loads nothing from elsewhere."""
    _, ask = admin(rate=0.0)
    answer = ask("GET", "/")
    assert answer.headers["content-type"].startswith("text/html")
    sources = []

    class Sources(html.parser.HTMLParser):
        def handle_starttag(self, tag, attrs):
            sources.extend(value for name, value in attrs if name in ("src", "href"))

    Sources().feed(answer.text)
    assert all(source.startswith("data:") for source in sources)
    assert ask("GET", "/options").json()
