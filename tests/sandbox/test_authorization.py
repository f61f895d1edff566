"""Tokens, scopes and TLS as a client meets them."""

import stat

import grpc
import pytest
import requests
from patience import PATIENCE_SECONDS, wait_until
from sandbox_client import status_of, take
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.sms.v0 import sms_pb2 as sms

CLIENT = ("id", "s3cret+/")
OAUTH = {"oauth_address": "127.0.0.1:0", "oauth_client": ":".join(CLIENT), "rate": 100.0}
SMS = "events.sms.subscribe"
UNAUTHENTICATED, DENIED = grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED
QUEUE = {"queue_name": "q", "durable_name": "d"}


def token_request(handle, scope=SMS, auth=CLIENT, **form):
    data = {"grant_type": "client_credentials", "scope": scope, **form}
    return requests.post(
        f"http://{handle.oauth_address}/oauth2/token", data=data, auth=auth, timeout=PATIENCE_SECONDS
    )


def token(handle, scope=SMS):
    return token_request(handle, scope).json()["access_token"]


def test_the_token_endpoint_answers_as_oauth_has_it(sandbox):
    """Token, type, lifetime and the scopes that were asked for."""
    answer = token_request(sandbox(token_lifetime_seconds=90.0, **OAUTH), f"{SMS} events.voice.subscribe")
    body = answer.json()
    assert answer.status_code == 200
    assert body["access_token"]
    assert (body["token_type"].lower(), body["expires_in"]) == ("bearer", 90)
    assert body["scope"].split() == [SMS, "events.voice.subscribe"]
    assert answer.headers["cache-control"] == "no-store"


@pytest.mark.parametrize(
    ("how", "status", "error"),
    [
        ({"auth": ("id", "wrong")}, 401, "invalid_client"),
        ({"auth": None}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"scope": "events.fax.subscribe"}, 400, "invalid_scope"),
    ],
)
def test_wrong_token_requests_are_refused(sandbox, how, status, error):
    """With the status and error of RFC 6749."""
    answer = token_request(sandbox(**OAUTH), **how)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_any_client_gets_a_token_where_none_is_named(sandbox, connect):
    """Without --oauth-client every id and secret will do, but calls need the token all the same."""
    handle = sandbox(oauth_address="127.0.0.1:0", rate=100.0)
    assert token_request(handle, auth=("any", "thing")).status_code == 200
    code, _ = status_of(lambda: connect(handle.address).subscribe(type=["SMS_EVENT"]))
    assert code == UNAUTHENTICATED
    take(connect(handle.address, token=token(handle)).subscribe(type=["SMS_EVENT"]), 1)


def test_a_token_that_is_present_must_be_valid(sandbox, connect):
    """Also where none is demanded."""
    code, _ = status_of(lambda: connect(sandbox().address, token="made up").subscribe())
    assert code == UNAUTHENTICATED


def test_streams_acks_and_sms_demand_a_token(sandbox, connect):
    """With --oauth-address nothing goes without."""
    handle = sandbox(**OAUTH)
    client = connect(handle.address)
    method, request = "/wgtwo.sms.v0.SmsService/SendTextFromSubscriber", sms.SendTextFromSubscriberRequest()

    def send():
        return client.call(method, request, sms.SendResponse)

    for call in (client.subscribe, lambda: client.ack(v0.Event()), send):
        assert status_of(call)[0] == UNAUTHENTICATED


def test_a_valid_token_streams_and_acks_what_its_scopes_allow(sandbox, connect):
    """SMS with the scope for SMS; anything else is denied with the missing scope's name."""
    handle = sandbox(**OAUTH)
    client = connect(handle.address, token=token(handle))
    (event,) = take(client.subscribe(type=["SMS_EVENT"], manual_seconds=30, **QUEUE), 1)
    client.ack(event)
    wait_until(lambda: handle.state()["groups"][0]["acked"] == 1)
    code, detail = status_of(lambda: client.subscribe(type=["SMS_EVENT", "VOICE_EVENT"]))
    assert (code, "events.voice.subscribe" in detail) == (DENIED, True)
    voice = connect(handle.address, token=token(handle, "events.voice.subscribe"))
    code, detail = status_of(lambda: voice.ack(event))
    assert (code, SMS in detail) == (DENIED, True)


def test_consent_revocations_need_no_scope(sandbox, connect):
    """A token without any scope subscribes to them."""
    handle = sandbox(types=("consent_revoke",), **OAUTH)
    take(connect(handle.address, token=token(handle, "")).subscribe(type=["CONSENT_REVOKE_EVENT"]), 1)


def test_tokens_expire(sandbox, connect):
    """After their lifetime calls fail with UNAUTHENTICATED; a stream that is open goes on."""
    handle = sandbox(token_lifetime_seconds=3600, **OAUTH)
    client = connect(handle.address, token=token(handle))
    stream = client.subscribe(type=["SMS_EVENT"], manual_seconds=30, **QUEUE)
    (event,) = take(stream, 1)
    later = handle.call(lambda core: core.authority._now()) + 3601
    client.ack(event)
    handle.call(lambda core: setattr(core.authority, "_now", lambda: later))
    assert status_of(lambda: client.ack(event))[0] == UNAUTHENTICATED
    take(stream, 3)


def test_tokens_can_expire_earlier_than_they_say(sandbox, connect):
    """With the fault a token said to live for an hour is refused at once."""
    handle = sandbox(token_validity_seconds=0.001, **OAUTH)
    body = token_request(handle).json()
    assert body["expires_in"] == 3600
    client = connect(handle.address, token=body["access_token"])
    assert status_of(lambda: client.subscribe(type=["SMS_EVENT"]))[0] == UNAUTHENTICATED


def test_the_token_endpoint_fails_on_demand(sandbox):
    """The first so many requests get 503, or all of them."""
    handle = sandbox(fail_tokens=2, **OAUTH)
    assert [token_request(handle).status_code for _ in range(4)] == [503, 503, 200, 200]
    handle.call(lambda core: core.change_faults({"fail_tokens": -1}))
    assert token_request(handle).status_code == 503


def test_groups_belong_to_the_client(sandbox, connect):
    """Two OAuth clients with the same names share nothing."""
    handle = sandbox(oauth_address="127.0.0.1:0", rate=1000.0, count=5, types=("sms",))
    for name in ("one", "two"):
        text = token_request(handle, auth=(name, "x")).json()["access_token"]
        take(connect(handle.address, token=text).subscribe(type=["SMS_EVENT"], manual_seconds=30, **QUEUE), 5)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_tls_with_its_own_certificate(sandbox, connect, tmp_path, host):
    """A client that trusts `cert.pem` connects by both names; the key is the owner's alone."""
    handle = sandbox(tls_dir=str(tmp_path / "tls"), rate=100.0)
    cert = (tmp_path / "tls" / "cert.pem").read_bytes()
    port = handle.address.rpartition(":")[2]
    client = connect(f"{host}:{port}", credentials=grpc.ssl_channel_credentials(cert))
    take(client.subscribe(), 3)
    assert stat.S_IMODE((tmp_path / "tls" / "key.pem").stat().st_mode) == 0o600


def test_the_certificate_is_used_again(sandbox, connect, tmp_path):
    """A second start serves the same one, so that clients need not be told anew."""
    sandbox(tls_dir=str(tmp_path)).stop()
    cert = (tmp_path / "cert.pem").read_bytes()
    handle = sandbox(tls_dir=str(tmp_path), rate=100.0)
    assert (tmp_path / "cert.pem").read_bytes() == cert
    take(connect(handle.address, credentials=grpc.ssl_channel_credentials(cert)).subscribe(), 1)
