"""Connecting as users do: to production by its own name, with tokens that are refused, over connections that die."""

import signal
import time

import pytest
from network import Middlebox, Proxy
from patience import wait_until
from typed import gather
from wgtwo_pipeline.cli.build import build
from witness import CLIENT, CREDENTIALS, SECRET, assert_each_once, audited

OAUTH = ("--oauth-address", "127.0.0.1:0", "--oauth-client", f"{CLIENT}:{SECRET}")


def test_the_production_address_and_the_client_are_all_it_needs():
    """TLS with the system's roots, wgtwo's token endpoint and the scopes of all types follow by themselves."""
    service = build(gather("ingest", {"endpoint": "api.wgtwo.com:443"}, CREDENTIALS)).service
    assert (service.target, service.plaintext, service.ca_file) == ("api.wgtwo.com:443", False, None)
    assert service.oauth.token_url == "https://id.wgtwo.com/oauth2/token"
    assert service.oauth.client_id == CLIENT
    assert set(service.oauth.scopes) == {
        "events.voice.subscribe",
        "events.voicemail.subscribe",
        "events.sms.subscribe",
        "events.sms_delivery_report.subscribe",
        "events.location.subscribe",
        "events.roaming.subscribe",
        "events.handset_update.subscribe",
    }


@pytest.mark.heavy
@pytest.mark.parametrize("api", ["v0", "v1"])
def test_production_by_its_own_name(sandbox, command, lake, tmp_path, api):
    """`run --endpoint api.wgtwo.com:443` with CLIENT_ID and CLIENT_SECRET, and behind that name a stand-in."""
    service = sandbox("--rate", 300, "--count", 600, *OAUTH)
    token_address = service.token_url.split("/")[2]
    proxy = Proxy({"api.wgtwo.com:443": service.address, "id.wgtwo.com:443": token_address}, tmp_path)
    process = command(
        *("run", "--endpoint", "api.wgtwo.com:443", "--api", api, "--lake", lake, "--until-idle", "2s"),
        env=CREDENTIALS | proxy.environment,
    )
    process.succeeds(60)
    proxy.close()
    assert set(proxy.asked) == {"api.wgtwo.com:443", "id.wgtwo.com:443"}
    assert "failed acks 0" in process.stderr
    assert_each_once(service.identities(api), lake)
    audited(lake)


@pytest.mark.heavy
def test_a_token_that_is_refused_is_fetched_anew(sandbox, command, lake):
    """Tokens said to live for an hour die after 2 s, for streams and acks: both go on, nothing is lost."""
    service = sandbox(
        *("--rate", 200, "--types", "sms,voice", *OAUTH),
        *("--token-validity", "2s", "--cut-streams", "3s"),
    )
    process = command(
        *("run", "--endpoint", service.address, "--plaintext", "--token-url", service.token_url),
        *("--lake", lake, "--publish-every", "2s"),
        env=CREDENTIALS,
    )
    wait_until(
        lambda: service.state()["counts"].get("token_requests", 0) >= 5, 90, "tokens", lambda: process.stderr
    )
    service.set_rate(0)
    wait_until(
        lambda: not any(service.groups()[0][name] for name in ("backlog", "unacked", "waiting")),
        30,
        "every event is acked",
        lambda: process.stderr,
    )
    process.send(signal.SIGTERM)
    process.succeeds(30)
    assert "failed acks 0" in process.stderr
    assert_each_once(service.identities("v0"), lake)
    audited(lake)


@pytest.mark.heavy
@pytest.mark.timeout(300)
def test_a_connection_that_dies_silently_is_replaced(sandbox, command, lake):
    """A middlebox forgets all connections, on both sides, without a word: keepalive notices, nothing is lost."""
    service = sandbox("--rate", 50, "--types", "sms,voice")
    middlebox = Middlebox(service.address)
    process = command(
        *("run", "--endpoint", middlebox.address, "--plaintext", "--lake", lake),
        *("--publish-every", "2s", "--ack-timeout", "10s"),
    )
    wait_until(
        lambda: service.groups() and service.groups()[0]["acked"] > 100, 60, "events", lambda: process.stderr
    )
    acked = service.groups()[0]["acked"]
    middlebox.forget()
    forgotten_at = time.monotonic()
    connections = middlebox.connections
    wait_until(
        lambda: service.groups()[0]["acked"] > acked + 1_000, 150, "events again", lambda: process.stderr
    )
    assert middlebox.connections > connections
    # A minute of keepalive, twenty seconds for its answer, and the backlog.
    assert time.monotonic() - forgotten_at < 110
    service.set_rate(0)
    wait_until(
        lambda: not any(service.groups()[0][name] for name in ("backlog", "unacked", "waiting")),
        120,  # the service, too, needs its keepalive to see that the first stream is dead, and sends on it until then
        "every event is acked",
        lambda: (service.groups(), process.stderr),
    )
    process.send(signal.SIGTERM)
    process.succeeds(30)
    middlebox.close()
    assert_each_once(service.identities("v0"), lake)
    audited(lake)
