"""`ReadFromWgtwoJournal`: what it emits, its position, its watermark, and what it refuses."""

import json
import math
import pickle
from datetime import UTC, datetime, timedelta

import apache_beam as beam
import pytest
from apache_beam.coders import RowCoder, registry
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from apache_beam.transforms.display import DisplayData
from apache_beam.utils.timestamp import Timestamp
from graphs import Call
from graphs import at as stamp
from hypothesis import given
from hypothesis import strategies as st
from lakes import BROKEN, HANDSETS, NOON, SOURCE, at, handset_change, publish, sms
from wgtwo_pipeline.beam import ReadFromWgtwoJournal, WgtwoDelivery
from wgtwo_pipeline.errors import ConfigurationError, LakeError
from wgtwo_pipeline.lake import epochs, history
from wgtwo_pipeline.lake.journal import SegmentWriter
from wgtwo_pipeline.source import beams
from wgtwo_pipeline.source.read_journal import Follow, Tail, TailCoder, Tails, TailTracker
from wgtwo_pipeline.source.tail import Position

RECEIVED = at(1000)


def journal(store, *payloads, source=SOURCE, received_at=RECEIVED, covered_until=None):
    micros = stamp(received_at).micros
    SegmentWriter(store).write(source, payloads, [micros + n for n in range(len(payloads))], covered_until)


def reader(store, **options):
    of = ReadFromWgtwoJournal(
        store.location.url, **{"allowed_lag": 0, "poll_interval": 0.01, **options}
    ).source
    return Call(Follow(), of, Tails(), ManualWatermarkEstimator(None))


def test_deliveries_come_as_they_were_received_at_their_events_time(store):
    """Bytes, whence and when; to the microsecond. What says no time is at the time of its receipt."""
    exact = at(5) + timedelta(microseconds=123_456)
    journal(store, sms(1, exact), BROKEN)
    journal(store, handset_change(1, at(7)), source=HANDSETS)
    found = dict(sorted(reader(store)(), key=lambda pair: pair[1].payload))
    received_at = stamp(RECEIVED)
    assert found == {
        stamp(exact): WgtwoDelivery(SOURCE.subscription, "v0", "Subscribe", sms(1, exact), received_at),
        received_at + 0.000001: WgtwoDelivery(
            SOURCE.subscription, "v0", "Subscribe", BROKEN, received_at + 0.000001
        ),
        stamp(at(7)): WgtwoDelivery(
            HANDSETS.subscription, "v1", HANDSETS.method, handset_change(1, at(7)), received_at
        ),
    }


def test_it_goes_on_where_it_was_whatever_was_published_meanwhile(store):
    """A position goes through its coder between any two calls, as at a restart."""
    read = reader(store, poll_interval=7)
    assert read() == []
    assert read.deferred_seconds == pytest.approx(7, abs=1)
    found = []
    for number in range(6):
        journal(store, sms(number, at(number)), sms(number + 10, at(number)))
        if number % 2:
            publish(store)
        if number % 3 == 2:
            found += [delivery.payload for _, delivery in read()]
            found += [delivery.payload for _, delivery in read()]
    assert len(found) == len(set(found)) == 12


def test_a_runner_may_take_what_is_left_at_any_moment(store):
    """What is claimed is emitted whole, the rest belongs to the residual."""
    for number in range(3):
        journal(store, sms(2 * number), sms(2 * number + 1))
    read = reader(store)
    sizes = [len(read(split_after=1)), len(read(split_after=2)), len(read())]
    assert sizes == [2, 2, 2]
    assert read() == []


def test_a_failed_call_is_done_again(store):
    """A reader that was away for too long fails as often as it is tried: its position is not moved."""
    journal(store, sms(1))
    read = reader(store)
    publish(store)
    epochs.expire(store, history.load(store), timedelta(0))
    for _ in range(2):
        with pytest.raises(LakeError, match="away for too long"):
            read()


def test_it_starts_where_it_is_asked_to(store):
    """With a time: what was received at it or later, to the microsecond, wherever it lies in a segment."""
    journal(store, sms(1), received_at=at(0))
    journal(store, *(sms(n) for n in range(2, 6)), received_at=at(10))
    publish(store)
    start = at(10) + timedelta(microseconds=2)
    assert {delivery.payload for _, delivery in reader(store)()} == {sms(n) for n in range(1, 6)}
    assert [delivery.payload for _, delivery in reader(store, start=start)()] == [sms(4), sms(5)]
    assert reader(store, start="new")() == []


def test_the_watermark_is_what_the_journal_covers_less_the_allowed_lag(store):
    """Of the subscription that is behind; heartbeats count, also those that an epoch has taken."""
    journal(store, sms(1, at(30)), covered_until=at(50))
    journal(store, handset_change(1, at(7)), source=HANDSETS, covered_until=at(40))
    read = reader(store, allowed_lag=10)
    read()
    assert read.watermark.current_watermark() == stamp(at(30))
    journal(store, source=HANDSETS, covered_until=at(60))
    read()
    assert read.watermark.current_watermark() == stamp(at(40))
    publish(store)
    journal(store, covered_until=at(70))
    read()
    assert read.watermark.current_watermark() == stamp(at(50))


def test_the_watermark_waits_while_more_is_to_be_emitted(store, monkeypatch):
    """A call that ends between two segments has not emitted all that they cover."""
    monkeypatch.setattr(beams, "BUNDLE_SECONDS", 0.0)
    journal(store, sms(1, at(1)), covered_until=at(10))
    journal(store, sms(2, at(2)), covered_until=at(20))
    read = reader(store)
    assert len(read()) == 1
    assert read.deferred_seconds == pytest.approx(0, abs=1)
    assert read.watermark.current_watermark() is None
    assert len(read()) == 1
    read()
    assert read.watermark.current_watermark() == stamp(at(20))


# What a runner keeps and ships

POSITIONS = st.builds(
    Position,
    st.integers(0, 2**40),
    st.dictionaries(st.text("0123456789abcdef", min_size=1), st.integers(0, 2**40)),
)


@given(POSITIONS, st.booleans())
def test_a_position_s_bytes_are_json(position, has_ended):
    """What a checkpoint holds is readable for any later version, and for whoever looks into it."""
    tail = Tail(position, has_ended)
    encoded = TailCoder().encode(tail)
    assert TailCoder().decode(encoded) == tail
    raw = json.loads(encoded)
    assert (raw["epoch"], raw["writers"]) == (position.epoch, position.writers)
    assert TailCoder().is_deterministic()


def test_a_position_looks_like_this():
    """A fixed example: older checkpoints must go on being read."""
    assert (
        TailCoder().encode(Tail(Position(12, {"b": 2, "a": 1})))
        == b'{"epoch": 12, "writers": {"a": 1, "b": 2}}'
    )


def test_a_tail_is_given_away_whole_or_not_at_all():
    """And only once; what was not given away is not done."""
    tracker = TailTracker(Tail(Position(1)))
    with pytest.raises(ValueError, match="no end"):
        tracker.check_done()
    assert tracker.try_split(0.5) is None
    assert tracker.try_claim(Position(2))
    assert not tracker.is_bounded()
    primary, residual = tracker.try_split(0)
    assert (primary, residual) == (Tail(Position(1), has_ended=True), Tail(Position(2)))
    assert tracker.check_done()
    assert tracker.is_bounded()
    assert not tracker.try_claim(Position(3))
    assert tracker.try_split(0) is None
    assert tracker.current_progress().fraction_completed == 0
    no_bytes_yet = tracker.current_progress().with_completed(
        math.nan
    )  # as a worker does that is asked to split
    assert no_bytes_yet.fraction_completed == 0


def test_a_drain_stops(store):
    """What is not read yet stays in the lake."""
    source = ReadFromWgtwoJournal(store.location.url).source
    tail = Tails().initial_restriction(source)
    assert Tails().truncate(source, tail) is None
    assert Tails().restriction_size(source, tail) > 0
    assert pickle.loads(pickle.dumps(source)) == source
    pickle.loads(pickle.dumps(Follow()))


def test_a_delivery_has_a_schema():
    """Every runner and language can carry it, to the microsecond."""
    coder = registry.get_coder(WgtwoDelivery)
    assert isinstance(coder, RowCoder)
    delivery = WgtwoDelivery(
        "v0.queue", "v0", "Subscribe", b"\xff\0", Timestamp(micros=1_700_000_000_123_456)
    )
    assert coder.decode(coder.encode(delivery)) == delivery
    assert not any(field.type.nullable for field in coder.schema.fields)


def test_a_lake_that_is_not_there_is_named(tmp_path):
    """Nothing is created by reading."""
    source = ReadFromWgtwoJournal(tmp_path / "none").source
    with pytest.raises(LakeError, match=str(tmp_path / "none")):
        Tails().initial_restriction(source)
    assert not (tmp_path / "none").exists()


# What was asked for


def test_the_defaults_are_these(store):
    """And they are what a runner's page shows."""
    transform = ReadFromWgtwoJournal(store.location.url)
    shown = {item.key: item.value for item in DisplayData.create_from(transform).items}
    assert shown == {"lake": store.location.url, "start": "oldest", "poll_interval": 1.0, "allowed_lag": 60.0}
    pipeline = beam.Pipeline()
    assert (pipeline | transform).element_type is WgtwoDelivery


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"start": 3}, "start 3 is no place to begin: give 'oldest', 'new', a datetime$"),
        ({"start": datetime(2026, 11, 23)}, "has no time zone"),  # noqa: DTZ001
        ({"poll_interval": -1}, "poll_interval -1 is no time in seconds"),
        ({"allowed_lag": "60s"}, "allowed_lag '60s' is no time in seconds"),
        ({"lake": "gs://bucket"}, "^lake gs://bucket: name a folder"),
        ({"s3_endpoint": "http://localhost"}, "work only with lake='s3://bucket/prefix'"),
    ],
)
def test_what_cannot_work_is_refused_before_a_graph_is_made(options, sentence):
    """By a sentence that names the argument, the value and the fix."""
    with pytest.raises(ConfigurationError, match=sentence):
        ReadFromWgtwoJournal(**{"lake": "./lake", **options})


def test_an_s3_lake_is_taken_as_it_is_named():
    """No network is touched before the graph runs."""
    lake = ReadFromWgtwoJournal(
        "s3://bucket/prefix", s3_endpoint="http://localhost:1", s3_region="x"
    ).source.lake
    assert (lake.url, lake.s3_endpoint, lake.s3_region) == ("s3://bucket/prefix", "http://localhost:1", "x")
    assert NOON.tzinfo is UTC
