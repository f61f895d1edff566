"""The one Config: what several values must satisfy together, and what travels to other processes.

It is over 300 lines because half of it is tables of what is refused, and what is said then.
"""

import copy
import pickle
from dataclasses import FrozenInstanceError

import pytest
from typed import gather
from wgtwo_pipeline import logs
from wgtwo_pipeline.cli.build import build, build_sandbox
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.events import api
from wgtwo_pipeline.events.api import V0, V1
from wgtwo_pipeline.sandbox.options import SandboxSettings
from wgtwo_pipeline.service.settings import Secret

SECRET = "correct-horse-battery"
ENDPOINT = {"endpoint": "api.example.com"}


def built(command="run", environment=None, **flags):
    texts = {name.replace("_", "-").removesuffix("-"): text for name, text in flags.items()}
    return build(gather(command, texts, environment or {}))


def test_defaults():
    """Without any option, the values are those described."""
    config = built()
    assert config.lake.url == "./lake"
    assert config.service is None
    subscription = config.subscription
    assert subscription.types == V0.tables
    assert (subscription.queue_name, subscription.durable_name) == ("wgtwo-pipeline", "wgtwo-pipeline")
    assert (subscription.members, subscription.max_in_flight) == (1, 50)
    assert (subscription.ack_timeout_seconds, subscription.linger_seconds) == (30.0, 0.2)
    assert subscription.start.kind == "oldest"
    assert config.publishing.journal_retention_seconds == 86400
    assert (config.stopping.run_for_seconds, config.stopping.max_events) == (None, None)


def test_publish_every_depends_on_the_sandbox():
    """Every 10 s with the embedded sandbox, every minute with a service, unless somebody said otherwise."""
    assert built().publishing.publish_every_seconds == 10
    assert built(endpoint="x:1").publishing.publish_every_seconds == 900
    assert built(publish_every="3s").publishing.publish_every_seconds == 3
    assert built(environment={"WGTWO_PUBLISH_EVERY": "1m"}).publishing.publish_every_seconds == 60


def test_frozen():
    """Nobody changes a configuration after it was checked."""
    with pytest.raises(FrozenInstanceError):
        built().lake = None


@pytest.mark.parametrize(("given", "target"), [
    ("api.wgtwo.com", "api.wgtwo.com:443"), ("api.wgtwo.com:8443", "api.wgtwo.com:8443"), ("[::1]", "[::1]:443"),
])  # fmt: skip
def test_default_port(given, target):
    """A missing port is that of TLS."""
    assert built(endpoint=given).service.target == target


@pytest.mark.parametrize(
    ("types", "api", "tables"),
    [
        ("sms", "v0", ("sms", "consent_revoke")),
        ("voice,sms,voice", "v0", ("voice", "sms", "consent_revoke")),
        ("all", "v0", V0.tables),
        ("sms,all", "v0", V0.tables),
        ("consent_revoke", "v0", ("consent_revoke",)),
        ("handset_change_v1", "v1", ("handset_change_v1", "consent_change_v1")),
        ("country_change", "v1", ("country_change_v1", "consent_change_v1")),
        ("all", "v1", tuple(table for method in V1 for table in method.tables)),
    ],
)
def test_types(types, api, tables):
    """Types become tables in the contract's order, each once, and consent revocations always belong to them."""
    assert built(types=types, api=api).subscription.types == tables


V0_SCOPES = {
    "events.voice.subscribe",
    "events.voicemail.subscribe",
    "events.sms.subscribe",
    "events.sms_delivery_report.subscribe",
    "events.location.subscribe",
    "events.roaming.subscribe",
    "events.handset_update.subscribe",
}
V1_SCOPES = {
    "subscription.handset_details:read",
    "subscription.first_attachment:read",
    "subscription.country_change:read",
    "subscription.periodic_country:read",
}


@pytest.mark.parametrize(
    ("flags", "scopes"),
    [
        ({"types": "sms"}, {"events.sms.subscribe"}),
        ({"types": "country_change"}, {"events.roaming.subscribe"}),
        ({"types": "consent_revoke"}, set()),
        ({"types": "all"}, V0_SCOPES),
        ({"api": "v1"}, V1_SCOPES),
        ({"api": "v1", "types": "handset_change"}, {"subscription.handset_details:read"}),
        ({"types": "sms", "scope": "one two"}, {"one", "two"}),
    ],
)
def test_scopes(flags, scopes):
    """Scopes are what the contract says the types need, unless given."""
    oauth = built(client_id="me", client_secret=SECRET, **ENDPOINT, **flags).service.oauth
    assert oauth is not None
    assert set(oauth.scopes) == scopes
    assert len(oauth.scopes) == len(scopes)


def test_every_scope_belongs_to_a_table():
    """The list of scopes names no table that does not exist."""
    assert set(api.SCOPES) < set(api.TABLES["v0"]) | set(api.TABLES["v1"])


OAUTH = {"client_id": "me", "client_secret": SECRET}


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"plaintext": "true"}, "--endpoint api.example.com needs a port with --plaintext"),
        (
            {"endpoint": "x:1", "plaintext": "true", "ca_file": __file__},
            "--plaintext and --ca-file exclude each other",
        ),
        ({"ca_file": "/nowhere.pem"}, "--ca-file /nowhere.pem is no file"),
        ({"client_id": "me"}, "--client-id needs --client-secret (or CLIENT_SECRET)"),
        ({"client_secret": SECRET}, "--client-secret needs --client-id (or CLIENT_ID)"),
        ({"client_secret_file": __file__}, "--client-secret-file needs --client-id (or CLIENT_ID)"),
        (
            {**OAUTH, "client_secret_file": __file__},
            "--client-secret and --client-secret-file exclude each other",
        ),
        (
            {"client_id": "me", "client_secret_file": "/nowhere"},
            "--client-secret-file /nowhere cannot be read",
        ),
        ({"client_id": "me", "client_secret_file": "/dev/null"}, "--client-secret-file /dev/null is empty"),
        (
            {**OAUTH, "endpoint": "example.com:1", "plaintext": "true"},
            "OAuth over --plaintext would send the token readably to example.com",
        ),
        (
            {**OAUTH, "token_url": "http://example.com/t"},
            "would send the client secret readably: use https://",
        ),
        ({"types": "smss"}, "--types 'smss' is no type of the API v0: did you mean sms? (types: voice, "),
        ({"types": "handset_change_v1"}, "is no type of the API v0: --api v1 has it"),
        (
            {"api": "v1", "types": "voice"},
            "is no type of the API v1: --api v0 has it (types: handset_change_v1",
        ),
        (
            {"api": "v1", "max_in_flight": "201"},
            "--max-in-flight 201 is out of range: API v1 allows 1 to 200",
        ),
        ({"api": "v1", "ack_timeout": "9s"}, "--ack-timeout 9s is out of range: API v1 allows 10s to 10m"),
        ({"api": "v1", "ack_timeout": "11m"}, "--ack-timeout 11m is out of range: API v1 allows 10s to 10m"),
        ({"api": "v1", "start": "last"}, "--start last is unknown to API v1"),
        (
            {"linger": "8s"},
            "--linger 8s is too long for an ack timeout of 30s: at most a quarter of it, 7.5s",
        ),
        ({"ack_timeout": "1s", "linger": "300ms"}, "--linger 300ms is too long for an ack timeout of 1s"),
        ({"queue_name": "a b"}, "--queue-name must be a name without spaces"),
        (
            {"durable_name": "a" * 201},
            "--durable-name must be a name without spaces, of at most 200 characters",
        ),
        ({"s3_region": "eu"}, "--s3-region works only with --lake s3://bucket/prefix"),
    ],
)
def test_refusals(flags, message):
    """What cannot work together is refused before anything starts, with a sentence that names the fix."""
    with pytest.raises(ConfigurationError) as refusal:
        built(**ENDPOINT | flags)
    assert message in str(refusal.value)
    assert SECRET not in str(refusal.value)


def test_refusals_without_an_endpoint():
    """`ingest` has nothing to connect to without one; flags for a connection that is not made do nothing."""
    with pytest.raises(ConfigurationError, match="ingest needs --endpoint HOST:PORT"):
        built("ingest")
    with pytest.raises(ConfigurationError, match="--plaintext needs --endpoint HOST:PORT"):
        built(plaintext="true")
    assert built(environment={"CLIENT_ID": "me", "WGTWO_PLAINTEXT": "true"}).service is None


@pytest.mark.parametrize(
    "flags",
    [
        {"api": "v1", "max_in_flight": "200", "ack_timeout": "10m"},
        {"api": "v1", "max_in_flight": "1", "ack_timeout": "10s"},
        {"max_in_flight": "1000", "ack_timeout": "1s"},
        {"linger": "7500ms"},
        {"subscriptions": "256", "max_in_flight": "10000", "ack_timeout": "1h"},
        {**OAUTH, "endpoint": "localhost:1", "plaintext": "true"},
        {**OAUTH, "endpoint": "[::1]:1", "plaintext": "true"},
        {**OAUTH, "token_url": "http://127.0.0.1:8080/oauth2/token"},
        {"lake": "s3://bucket/prefix", "s3_endpoint": "http://127.0.0.1:7070", "s3_region": "eu-west-1"},
    ],
)
def test_bounds_that_work(flags):
    """The ends of the ranges, and readable tokens that stay on this machine, are taken."""
    built(**ENDPOINT | flags)


def test_secret_file_beats_an_environment_that_happens_to_be_there(tmp_path):
    """A file that was asked for is used although CLIENT_SECRET is set, and read anew each time."""
    file = tmp_path / "secret"
    file.write_text("first-secret\n")
    environment = {"CLIENT_ID": "me", "CLIENT_SECRET": "other"}
    oauth = built(environment=environment, client_secret_file=str(file), **ENDPOINT).service.oauth
    assert oauth.client_secret.reveal() == "first-secret"
    file.write_text("second-secret\n")
    assert oauth.client_secret.reveal() == "second-secret"


def test_a_secret_does_not_show():
    """Neither text, nor a format, nor a pickle of a configuration holds the secret."""
    config = built(**ENDPOINT, **OAUTH)
    secret = config.service.oauth.client_secret
    shown = [
        repr(config),
        str(config),
        f"{secret}",
        f"{secret:>9}",
    ]
    assert SECRET not in "".join(shown)
    assert SECRET.encode() not in pickle.dumps(config)
    assert secret.reveal() == SECRET
    assert logs.redact(f"so {SECRET}") == "so ***"


def test_a_secret_reaches_a_worker_by_its_environment(monkeypatch):
    """A configuration that travelled finds the secret in the environment there, and says so if it is missing."""
    config = built(**ENDPOINT, **OAUTH)
    monkeypatch.delenv("CLIENT_SECRET", raising=False)
    for travelled in (
        pickle.loads(pickle.dumps(config)),
        copy.deepcopy(config),
    ):
        secret = travelled.service.oauth.client_secret
        monkeypatch.delenv("WGTWO_CLIENT_SECRET", raising=False)
        with pytest.raises(ConfigurationError, match="did not reach this process: set CLIENT_SECRET"):
            secret.reveal()
        for variable, value in config.child_environment().items():
            monkeypatch.setenv(variable, value)
        assert secret.reveal() == SECRET


def test_a_secret_file_needs_no_environment(tmp_path):
    """With a file, a child gets nothing through its environment."""
    (tmp_path / "secret").write_text(SECRET)
    config = built(client_id="me", client_secret_file=str(tmp_path / "secret"), **ENDPOINT)
    assert config.child_environment() == {}
    travelled = pickle.loads(pickle.dumps(config))
    assert travelled.service.oauth.client_secret.reveal() == SECRET
    assert built().child_environment() == {}


@pytest.mark.parametrize("start", ["oldest", "17", "-5m", "2026-11-23T09:30:00.25Z"])
@pytest.mark.parametrize("command", ["run", "ingest", "publish", "query", "status", "audit"])
def test_pickle_round_trip(command, start):
    """A configuration without OAuth reaches another process as it was."""
    flags = {**ENDPOINT, "start": start, "for_": "1m"} if command in ("run", "ingest") else {}
    config = built(command, **flags)
    assert pickle.loads(pickle.dumps(config)) == config


def test_secret_is_never_equal_to_text():
    """A secret cannot be compared by guessing."""
    assert Secret(SECRET) != SECRET


def test_sandbox_settings():
    """The sandbox's options become its settings; nothing given means its own defaults."""
    assert build_sandbox(gather("sandbox", {}, {})) == SandboxSettings()
    flags = {"types": "sms,voice", "cut-streams": "4s", "drop-acks": "0.5", "fail-tokens": "-1"}
    oauth = {"oauth-address": "127.0.0.1:0", "oauth-client": "me:" + SECRET}
    settings = build_sandbox(gather("sandbox", flags | oauth, {}))
    assert settings.types == ("sms", "voice")
    assert (settings.cut_streams_seconds, settings.drop_acks, settings.fail_tokens) == (4.0, 0.5, -1)
    assert settings.oauth_client == "me:" + SECRET


@pytest.mark.parametrize(
    ("flags", "environment", "message"),
    [
        ({"malform": "2"}, {}, "--malform is a probability: give 0 to 1"),
        ({}, {"WGTWO_DROP_ACKS": "2"}, "WGTWO_DROP_ACKS is a probability"),
        ({"cut-status": "hm"}, {}, "--cut-status is ok, unavailable or both, not 'hm'"),
        ({"types": "smss"}, {}, "--types: there is no smss; there are voice"),
        ({"oauth-client": "me:" + SECRET}, {}, "--oauth-client needs an --oauth-address"),
        ({"malform-kinds": "hm"}, {}, "--malform-kinds: no such kind hm; there are unset_oneof"),
    ],
)
def test_refusals_of_the_sandbox(flags, environment, message):
    """The sandbox knows fields; who started it knows options, and reads of those."""
    with pytest.raises(ConfigurationError) as refusal:
        build_sandbox(gather("sandbox", flags, environment))
    assert str(refusal.value).startswith(message)
    assert SECRET not in str(refusal.value)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-8"])
def test_a_secret_file_with_a_byte_order_mark(tmp_path, encoding):
    """The mark that an editor adds is no part of the secret."""
    file = tmp_path / "secret"
    file.write_text(SECRET + "\r\n", encoding=encoding)
    assert Secret(file=str(file)).reveal() == SECRET


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_a_secret_file_in_another_encoding(tmp_path, encoding):
    """It is refused with the fix, not sent as a wrong secret."""
    file = tmp_path / "secret"
    file.write_text(SECRET, encoding=encoding)
    with pytest.raises(ConfigurationError) as refusal:
        Secret(file=str(file)).reveal()
    assert str(refusal.value) == f"--client-secret-file {file} is not UTF-8 text: save it as UTF-8"
