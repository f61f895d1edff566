"""The epochs as a splittable DoFn, called as a runner calls it: position, polls, splits, drain and watermark."""

import dataclasses
import pickle
from datetime import UTC, datetime, timedelta

import pytest
from apache_beam.io.restriction_trackers import OffsetRange
from apache_beam.io.watermark_estimators import ManualWatermarkEstimator
from graphs import Call
from graphs import at as stamp
from lakes import HANDSETS, SOURCE, at, handset_change, publish, sms
from lakes import journal as journaled
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake import epochs
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.layout import FilePath
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.ranges import ENDLESS
from wgtwo_pipeline.source import beams, coverage
from wgtwo_pipeline.source.epochs import BoundedFiles, EndlessFiles, Epochs
from wgtwo_pipeline.source.read_lake import ReadFromWgtwoLake

OTHER = Source("v0.other", "v0", "Subscribe")


def source(store, **options):
    return ReadFromWgtwoLake(
        store.location.url, options.pop("table", "sms"), **{"allowed_lag": 0, **options}
    ).source


def reader(store, **options):
    """A reader without an end, as a runner keeps it from call to call."""
    of = source(store, **options)
    return Call(EndlessFiles(), of, Epochs(), ManualWatermarkEstimator(None))


def journal(store, *payloads, covered_until, source=SOURCE):
    """Deliveries, or a heartbeat, of a member that has seen everything up to a time."""
    writer = SegmentWriter(store)
    writer.write(source, payloads, [1] * len(payloads), covered_until)


def epochs_of(emitted):
    return [FilePath.parse(file.key).epoch for _, file in emitted]


def test_files_are_emitted_at_the_time_of_their_oldest_row(store):
    """So that the watermark waits for a file until its rows are out."""
    journaled(store, sms(1, at(7)), sms(2, at(3)), sms(3, at(3, day=1)))
    publish(store)
    emitted = reader(store)()
    assert [timestamp for timestamp, _ in emitted] == [stamp(at(3)), stamp(at(3, day=1))]


def test_it_polls_and_goes_on_where_it_was(store):
    """Each epoch's files once; what waits longer than a poll was deferred by the poll's interval."""
    read = reader(store, poll_interval=7)
    assert read() == []
    assert read.deferred_seconds == pytest.approx(7, abs=1)
    for number in range(1, 4):
        journaled(store, sms(number, at(number)))
        publish(store)
        if number != 1:  # two epochs at once, then one
            emitted = read()
            assert epochs_of(emitted) == {2: [1, 2], 3: [3]}[number]
            assert read.restriction == OffsetRange(number + 1, ENDLESS)
    assert read() == []


def test_a_runner_may_take_what_is_left_at_any_moment(store):
    """As a checkpoint does: the epoch that is claimed is emitted whole, the rest belongs to the residual."""
    for number in range(3):
        journaled(store, sms(number, at(number)), sms(number, at(number, day=1)))
        publish(store)
    read = reader(store)
    assert epochs_of(read(split_after=1)) == [1, 1]
    assert read.restriction == OffsetRange(2, ENDLESS)
    assert epochs_of(read(split_after=2)) == [2, 2]
    assert epochs_of(read()) == [3, 3]


def test_a_long_backlog_is_read_in_several_calls(store, monkeypatch):
    """A checkpoint waits for the end of a call: it goes on at once behind it."""
    for number in range(3):
        journaled(store, sms(number, at(number)))
        publish(store)
    monkeypatch.setattr(beams, "BUNDLE_SECONDS", -1.0)
    read = reader(store)
    found = []
    for _ in range(3):
        found += epochs_of(read())
        assert read.deferred_seconds == pytest.approx(0, abs=1)
    assert found == [1, 2, 3]


def test_a_start_counts_once_and_then_the_position(store):
    """`new` is what is not published when the job starts; a restart goes on where it was, whatever has come since."""
    journaled(store, sms(1))
    publish(store)
    of = source(store, start="new")
    assert Epochs().initial_restriction(of) == OffsetRange(2, ENDLESS)
    assert Epochs().initial_restriction(dataclasses.replace(of, start="oldest")) == OffsetRange(1, ENDLESS)
    assert Epochs().initial_restriction(dataclasses.replace(of, start=9)) == OffsetRange(9, ENDLESS)


def test_a_time_is_looked_up_in_the_checkpoint_as_well(store, monkeypatch):
    """Of a long history no manifest is read for it."""
    monkeypatch.setattr(epochs, "CHECKPOINT_EVERY_EPOCHS", 2)
    for number in range(3):
        journaled(store, sms(number, at(number)))
        publish(store)
    for number in range(3):
        of = source(store, start=at(number))
        assert Epochs().initial_restriction(of) == OffsetRange(number + 1, ENDLESS)


def test_a_drain_stops_and_a_bounded_source_is_bounded(store):
    """What is not read yet stays in the lake; a runner may not halve what is one sequence."""
    journaled(store, sms(1))
    publish(store)
    provider, of = Epochs(), source(store)
    restriction = provider.initial_restriction(of)
    assert provider.truncate(of, restriction) is None
    assert provider.restriction_size(of, restriction) > 0
    assert not provider.create_tracker(restriction).is_bounded()
    bounded = provider.initial_restriction(source(store, stop_epoch=1))
    assert bounded == OffsetRange(1, 2)
    assert provider.create_tracker(bounded).is_bounded()
    assert provider.create_tracker(bounded).try_split(0.5) is None
    call = Call(BoundedFiles(), source(store, stop_epoch=1), provider, ManualWatermarkEstimator(None))
    assert epochs_of(call()) == [1]
    assert call.restriction is None


def test_a_lake_that_was_emptied_is_not_waited_for(store):
    """Its epochs begin again at 1, which the position has passed: a reader would never emit any of them."""
    read = reader(store, start=3)
    with pytest.raises(
        LakeError, match=r"has read up to epoch 2, but the lake .* has only 0: it was emptied"
    ):
        read()


def test_what_a_runner_ships_can_be_pickled(store):
    """And holds no more than what was asked for."""
    of = source(store)
    assert pickle.loads(pickle.dumps(of)) == of
    for dofn in (EndlessFiles(), BoundedFiles()):
        pickle.loads(pickle.dumps(dofn))


# The watermark


def test_the_watermark_is_what_the_epoch_covers_less_the_allowed_lag(store):
    """Not the newest event, and not now."""
    journal(store, sms(1, at(100)), covered_until=at(50))
    publish(store)
    read = reader(store, allowed_lag=20)
    read()
    assert read.watermark.current_watermark() == stamp(at(30))


def test_the_watermark_waits_for_the_subscription_that_is_behind(store):
    """Of those that feed the table; one of another table's method holds nothing back."""
    journal(store, sms(1, at(1)), covered_until=at(50))
    journal(store, sms(2, at(1)), covered_until=at(40), source=OTHER)
    journal(store, handset_change(1, at(1)), covered_until=at(10), source=HANDSETS)
    publish(store)
    read, handsets = reader(store), reader(store, table="handset_change_v1")
    read()
    handsets()
    assert read.watermark.current_watermark() == stamp(at(40))
    assert handsets.watermark.current_watermark() == stamp(at(10))
    journal(store, sms(3, at(60)), covered_until=at(60))
    publish(store)
    read()
    assert read.watermark.current_watermark() == stamp(at(40)), "the other one may still bring older events"
    journal(store, sms(4, at(61)), covered_until=at(61), source=OTHER)
    publish(store)
    read()
    assert read.watermark.current_watermark() == stamp(at(60))


def test_a_subscription_that_is_gone_does_not_hold_the_watermark_for_ever(store, monkeypatch):
    """None of the last epochs has heard of it."""
    monkeypatch.setattr(coverage, "LOOK_BACK_EPOCHS", 2)
    journal(store, sms(1, at(1)), covered_until=at(1), source=OTHER)
    publish(store)
    read = reader(store)
    for number in range(2, 6):
        journal(store, sms(number, at(number)), covered_until=at(10 * number))
        publish(store)
        read()
    assert read.watermark.current_watermark() == stamp(at(50))


def test_heartbeats_move_the_watermark_where_nothing_else_waits(store):
    """Windows of a quiet time close, too; not while an event waits for its epoch."""
    journal(store, sms(1, at(1)), covered_until=at(50))
    publish(store)
    read = reader(store)
    read()
    journal(store, covered_until=at(70))
    read()
    assert read.watermark.current_watermark() == stamp(at(70))
    journal(store, sms(2, at(80)), covered_until=at(80))
    journal(store, covered_until=at(90))
    read()
    assert read.watermark.current_watermark() == stamp(at(70)), "an event from before then may wait"
    publish(store)
    assert len(read()) == 1
    assert read.watermark.current_watermark() == stamp(at(90))


def test_an_epoch_that_is_committed_while_the_journal_is_listed_is_not_passed_over(store, monkeypatch):
    """Its segments have gone from the journal, and its heartbeats speak of the time after its rows."""
    journal(store, sms(1, at(1)), covered_until=at(50))
    publish(store)
    read = reader(store)
    read()
    journal(store, sms(2, at(60)), covered_until=at(60))
    real = type(store).list

    def publishes_first(of, prefix, after=""):
        if prefix == "journal/":
            monkeypatch.setattr(type(store), "list", real)
            publish(open_store(store.location))
            journal(store, covered_until=at(90))
        return real(of, prefix, after)

    monkeypatch.setattr(type(store), "list", publishes_first)
    assert read() == []
    assert read.watermark.current_watermark() == stamp(at(50))
    assert len(read()) == 1


def test_nothing_is_believed_beyond_now(store):
    """A machine whose clock is ahead proves nothing of the time to come."""
    ahead = datetime.now(UTC) + timedelta(hours=3)
    journal(store, sms(1, at(1)), covered_until=ahead)
    publish(store)
    read = reader(store)
    read()
    assert read.watermark.current_watermark() < stamp(datetime.now(UTC))
    journal(store, covered_until=ahead)
    read()
    assert read.watermark.current_watermark() < stamp(datetime.now(UTC))


def test_the_watermark_never_goes_back(store):
    """Beam would refuse that, and the job would stop."""
    journal(store, sms(1, at(1)), covered_until=at(50))
    publish(store)
    read = reader(store)
    read()
    journal(store, sms(2, at(1)), covered_until=at(20), source=OTHER)
    publish(store)
    read()
    assert read.watermark.current_watermark() == stamp(at(50))
