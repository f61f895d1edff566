"""The service at its most unfriendly, over TLS and with tokens, and every event arrives once."""

import signal

import pytest
from patience import wait_until
from witness import CLIENT, CREDENTIALS, SECRET, V1_TYPES, assert_each_once, audited

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]


@pytest.mark.parametrize(("api", "types"), [("v0", "all"), ("v1", V1_TYPES)], ids=["v0", "v1"])
def test_tls_short_tokens_cut_streams_and_a_failing_token_endpoint(
    sandbox, command, lake, tmp_path, api, types
):
    """Tokens of 3 s, streams cut every 4 s, no token at first: 6,000 events at 500/s arrive once each."""
    service = sandbox(
        *("--rate", 0, "--count", 6_000, "--types", types, "--tls-dir", tmp_path / "tls"),
        *("--oauth-address", "127.0.0.1:0", "--oauth-client", f"{CLIENT}:{SECRET}"),
        *("--token-lifetime", "3s", "--cut-streams", "4s", "--fail-tokens", 3),
    )
    tokens = service.token_url
    process = command(
        *("run", "--api", api, "--endpoint", service.address, "--ca-file", tmp_path / "tls" / "cert.pem"),
        *("--token-url", tokens, "--lake", lake, "--until-idle", "6s", "--publish-every", "3s"),
        env=CREDENTIALS,
    )
    wait_until(service.groups, 60, "a stream", lambda: process.stderr)
    service.set_rate(500)
    process.succeeds(200)
    state = service.state()
    assert state["emitted"][api] == 6_000
    assert state["counts"]["fail_tokens"] == 3
    assert state["counts"]["token_requests"] >= 3 + 12 / 3, "tokens were not renewed in the middle of 12 s"
    assert state["counts"]["streams_ended"] >= 2
    assert "failed acks 0" in process.stderr, "an ack went out with a token that had expired"
    assert_each_once(service.identities(api), lake)
    assert audited(lake)["published"] == 6_000


def test_four_members_share_the_load_and_one_is_killed(sandbox, command, lake):
    """Each its own `ingest`, as on four machines; SIGKILL takes one for good: the others get what it had in hand."""
    service = sandbox("--rate", 400, "--types", "voice,sms,token_audit")
    members = [
        command(
            *("ingest", "--endpoint", service.address, "--plaintext", "--lake", lake),
            *("--ack-timeout", "5s", "--max-in-flight", 50),
        )
        for _ in range(4)
    ]

    def delivered() -> list[int]:
        groups = service.groups()
        return [member["delivered"] for member in groups[0]["members"]] if groups else []

    wait_until(lambda: len(delivered()) == 4, 90, "four members", lambda: members[0].stderr)
    before = delivered()
    wait_until(lambda: sum(delivered()) - sum(before) > 1_000, 30, "events for the four")
    shares = [now - then for then, now in zip(before, delivered(), strict=True)]
    members[0].kill_everything()
    wait_until(lambda: len(service.groups()[0]["members"]) == 3, 20, "the killed one is gone")
    left = sum(delivered())
    wait_until(lambda: sum(delivered()) - left > 1_000, 30, "the others go on meanwhile")
    service.set_rate(0)
    wait_until(
        lambda: not any(service.groups()[0][name] for name in ("backlog", "unacked", "waiting")),
        60,
        "every event is acked",
        lambda: service.groups(),
    )
    for member in members[1:]:
        member.send(signal.SIGTERM)
    for member in members[1:]:
        member.succeeds(20)
    command("publish", "--lake", lake).succeeds(60)
    assert min(shares) > sum(shares) / 8, f"the load was not shared: {shares}"
    assert service.groups()[0]["lost"] == 0
    assert_each_once(service.identities("v0"), lake)
    audited(lake)
