"""`ReadFromWgtwoEvents`: the graph that it makes, what it asks for and what it refuses. Runs are in `tests/flink`."""

import json
from datetime import UTC, datetime, timedelta

import apache_beam as beam
import pytest
from apache_beam.coders import registry
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.display import DisplayData
from graphs import Call
from graphs import at as stamp
from lakes import HANDSETS, SOURCE, at, handset_change, sms
from wgtwo_pipeline import beam as public
from wgtwo_pipeline.beam import ReadFromWgtwoEvents, ReadFromWgtwoJournal, ReadFromWgtwoLake, WgtwoDelivery
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.lake.journal import SegmentWriter
from wgtwo_pipeline.source.read_journal import Follow, Tails


@pytest.fixture(autouse=True)
def _nothing_in_the_environment(monkeypatch):
    for variable in ("CLIENT_ID", "CLIENT_SECRET"):
        monkeypatch.delenv(variable, raising=False)


def events(tmp_path, **options):
    return ReadFromWgtwoEvents(**{"endpoint": "api.example.com:443", "lake": tmp_path / "lake", **options})


def test_the_public_module_has_what_it_says():
    """The only module that Beam users import."""
    assert public.__all__ == sorted(
        [
            "DecodeWgtwoEvents",
            "ReadBatchesFromWgtwoLake",
            "ReadFromWgtwoEvents",
            "ReadFromWgtwoJournal",
            "ReadFromWgtwoLake",
            "WgtwoDelivery",
        ]
    )
    assert all(getattr(public, name).__doc__ for name in public.__all__)


def test_the_defaults_are_those_of_the_command_line(tmp_path):
    """And what a runner's page shows of them."""
    shown = {item.key: item.value for item in DisplayData.create_from(events(tmp_path)).items}
    types = shown.pop("types")
    assert types.startswith("voice, voicemail, ")
    assert shown == {
        "endpoint": "api.example.com:443",
        "lake": f"{tmp_path}/lake",
        "api": "v0",
        "queue_name": "wgtwo-pipeline",
        "durable_name": "wgtwo-pipeline",
        "subscriptions": 1,
        "max_in_flight": 50,
        "ack_timeout": 30.0,
        "journal_start": "new",
        "poll_interval": 1.0,
        "allowed_lag": 60.0,
    }


def test_each_option_is_taken(tmp_path):
    """As the command line takes it."""
    (tmp_path / "secret").write_text("hidden")
    (tmp_path / "ca.pem").write_text("")
    found = events(
        tmp_path,
        endpoint="[::1]:5",
        types=["sms", "voice"],
        queue_name="q",
        durable_name="d",
        subscriptions=3,
        max_in_flight=7,
        ack_timeout=12.5,
        linger=0.1,
        history=60,
        start="-30m",
        ca_file=tmp_path / "ca.pem",
        token_url="https://example.com/token",
        client_id="me",
        client_secret_file=tmp_path / "secret",
        scope="events.sms.subscribe",
        journal_start="oldest",
        poll_interval=3,
        allowed_lag=4,
    )
    subscription, service = found.config.subscription, found.config.service
    assert subscription.types == ("voice", "sms", "consent_revoke")
    assert (subscription.queue_name, subscription.durable_name, subscription.members) == ("q", "d", 3)
    assert (subscription.max_in_flight, subscription.ack_timeout_seconds) == (7, 12.5)
    assert (subscription.linger_seconds, subscription.history_seconds) == (0.1, 60)
    assert subscription.start.delta == timedelta(minutes=30)
    assert (service.target, service.ca_file) == ("[::1]:5", str(tmp_path / "ca.pem"))
    assert (service.oauth.token_url, service.oauth.client_id) == ("https://example.com/token", "me")
    assert service.oauth.scopes == ("events.sms.subscribe",)
    assert service.oauth.client_secret.reveal() == "hidden"
    assert (found.journal.start, found.journal.poll_seconds, found.journal.allowed_lag_seconds) == (
        "oldest",
        3,
        4,
    )
    assert found.journal.subscriptions == ("v0.d",)
    plain = events(tmp_path, endpoint="localhost:1", plaintext=True)
    assert plain.config.service.plaintext


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            {"endpoint": "https://api.example.com"},
            "^endpoint 'https://api.example.com' is a URL: write HOST:PORT",
        ),
        ({"types": ["smss"]}, r"^types 'smss' is no type of the API v0: did you mean sms\?"),
        ({"api": "v2"}, "^api 'v2' "),
        ({"api": "v1", "max_in_flight": 500}, "^max_in_flight 500 is out of range: API v1 allows 1 to 200"),
        ({"api": "v1", "ack_timeout": 5}, "^ack_timeout 5s is out of range: API v1 allows 10s to 10m"),
        ({"linger": 10.0}, "^linger 10s is too long for an ack timeout of 30s"),
        ({"ack_timeout": 0}, "^ack_timeout 0 is no time in seconds: give more than 0"),
        ({"subscriptions": 0}, "^subscriptions '0' "),
        ({"queue_name": "a b"}, "^queue_name must be a name without spaces"),
        ({"client_id": "me"}, "^client_id needs client_secret"),
        ({"journal_start": 5}, "^journal_start 5 is no place to begin: give 'oldest', 'new', a datetime$"),
        ({"lake": ""}, "^lake is empty"),
        ({"s3_region": "x"}, "^s3_endpoint and s3_region work only with"),
    ],
)
def test_what_cannot_work_is_refused_before_a_graph_is_made(tmp_path, options, sentence):
    """The command line's sentences, about the arguments of the same names."""
    with pytest.raises(ConfigurationError, match=sentence):
        events(tmp_path, **options)


def test_the_graph_is_both_flows_and_holds_no_secret(tmp_path, monkeypatch):
    """Each member is a branch of its own; the journal is read beside them."""
    monkeypatch.setenv("CLIENT_SECRET", "correct-horse-battery")
    pipeline = beam.Pipeline()
    found = pipeline | "Events" >> events(tmp_path, client_id="me", subscriptions=2)
    assert found.element_type is WgtwoDelivery
    graph = pipeline.to_runner_api()
    names = {each.unique_name for each in graph.components.transforms.values()}
    assert {"Events/Member 1/Ack", "Events/Member 2/Ack", "Events/Follow"} <= names
    assert b"correct-horse-battery" not in graph.SerializeToString()
    assert "correct-horse-battery" not in json.dumps(pipeline.options.get_all_options(), default=str)


def test_only_what_this_subscription_receives_is_emitted(store):
    """Another queue may fill the same lake; the watermark waits for nobody else, and for each of its own."""
    writer = SegmentWriter(store)
    now = stamp(datetime.now(UTC)).micros
    writer.write(SOURCE, [sms(1)], [now], at(50))
    writer.write(HANDSETS, [handset_change(1)], [now], at(10))
    mine = {"api": "v1", "durable_name": "test", "allowed_lag": 0, "poll_interval": 0.01}
    source = ReadFromWgtwoEvents(
        "localhost:1", lake=store.location.url, types=["handset_change"], **mine
    ).journal
    assert HANDSETS.subscription in source.subscriptions
    read = Call(Follow(), source, Tails(), ManualWatermarkEstimator(None))
    assert [delivery.payload for _, delivery in read()] == [handset_change(1)]
    assert read.watermark.current_watermark() is None, "its consents' subscription has not been heard of"
    (other,) = set(source.subscriptions) - {HANDSETS.subscription}
    writer.write(type(HANDSETS)(other, "v1", "StreamConsentChangeEvents"), [], [], at(30))
    read()
    assert read.watermark.current_watermark() == stamp(at(10))


def test_it_begins_with_what_is_received_from_the_making_of_the_graph_on(store):
    """In a lake that others have filled before, and in one that is not there yet."""
    before = stamp(datetime.now(UTC) - timedelta(minutes=5)).micros
    now = stamp(datetime.now(UTC)).micros
    source = ReadFromWgtwoEvents(
        "localhost:1", lake=store.location.url, durable_name="test", poll_interval=0.01
    ).journal
    SegmentWriter(store).write(SOURCE, [sms(1), sms(2)], [before, now])
    read = Call(Follow(), source, Tails(), ManualWatermarkEstimator(None))
    assert [delivery.payload for _, delivery in read()] == [sms(2)]


def test_a_lake_that_is_not_there_is_made(tmp_path):
    """Ingest, in the same graph, would make it a moment later."""
    assert Tails().initial_restriction(events(tmp_path).journal).behind.epoch == 0
    assert (tmp_path / "lake").is_dir()


@pytest.mark.parametrize("start", ["oldest", "new", at(1), 7])
def test_a_source_is_kept_as_json(start):
    """A checkpoint of a runner holds it: any later version reads it, and Flink's job server tells the kinds apart."""
    table = ReadFromWgtwoLake(
        "s3://b/p", "sms", columns=["id"], start=start, s3_endpoint="http://localhost:1"
    ).source
    sources = [table] if start == 7 else [table, ReadFromWgtwoJournal("./lake", start=start).source]
    coders = [registry.get_coder(type(source)) for source in sources]
    for source, coder in zip(sources, coders, strict=True):
        assert coder.decode(coder.encode(source)) == source
        assert json.loads(coder.encode(source))["lake"]["url"] == source.lake.url
        assert coder.is_deterministic()
    assert len({type(coder) for coder in coders}) == len(coders)


def test_sources_in_one_graph_have_coders_of_their_own(tmp_path):
    """Beam's job server names the coders of restrictions by those of the elements, which must differ."""
    pipeline = beam.Pipeline()
    _ = pipeline | "table" >> ReadFromWgtwoLake(tmp_path, "sms")
    _ = pipeline | "journal" >> ReadFromWgtwoJournal(tmp_path)
    graph = pipeline.to_runner_api().components
    inputs = {
        name: graph.pcollections[next(iter(each.inputs.values()))].coder_id
        for each in graph.transforms.values()
        if (name := each.unique_name) in ("table/Epochs", "journal/Follow")
    }
    assert len(set(inputs.values())) == 2
