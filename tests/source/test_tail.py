"""The journal as a log: nothing that comes into it is missed, whatever publishing does to it meanwhile."""

from datetime import timedelta
from pathlib import Path

import pytest
from lakes import HANDSETS, NOON, SOURCE, at, handset_change, publish, sms
from lakes_erased import HERS, HIS, eraser, revoke, sms_of
from tails import Member, Reader
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.lake import epochs, history, journal
from wgtwo_pipeline.lake.journal import SegmentName, SegmentWriter
from wgtwo_pipeline.source.tail import Position, Round


@pytest.fixture
def member(store):
    return Member(store, "aaaaaaaa")


def test_segments_are_passed_once_while_they_wait(store, member):
    """In the order of their writers' counters; a heartbeat has nothing."""
    reader = Reader(store)
    first = member(3) + member(2)
    member(0)
    assert reader.read() == first
    assert reader.position == Position(0, {"aaaaaaaa": 2})
    assert reader.read() == []
    assert reader.read() + reader.read() == []
    second = member()
    assert reader.read() == second


def test_segments_that_were_retired_while_it_read_are_found_in_the_copies(store, member):
    """What was passed before its epoch does not come again; what was not comes from the epoch's copy."""
    reader = Reader(store)
    passed = member(2)
    assert reader.read() == passed
    missed = member(2) + member(1)
    publish(store)
    assert not list(store.list("journal/"))
    assert reader.read() == missed
    assert reader.position == Position(1)
    assert reader.read() == []
    assert reader.read() == []
    after = member(1)
    assert reader.read() == after


def test_many_epochs_are_gone_through_one_after_the_other(store, member):
    """A reader that was away for a while is told everything, each epoch with a position of its own."""
    written = []
    for _ in range(3):
        written += member(2)
        publish(store)
    written += member(1)
    reader = Reader(store)
    found = reader.read(at_most=1)
    assert reader.position == Position(1)
    assert found + reader.read() == written
    assert reader.position == Position(3, {"aaaaaaaa": 4})


def test_a_restart_goes_on_at_its_position(store, member):
    """It is all that there is to remember."""
    reader = Reader(store)
    first = member(1)
    assert reader.read() == first
    second = member(1)
    publish(store)
    third = member(1)
    assert Reader(store, reader.position).read() == second + third


def test_an_epoch_that_comes_while_the_journal_is_read_is_looked_at_next(store, member, monkeypatch):
    """The segment has gone between listing and reading: it is in the copy."""
    reader = Reader(store)
    written = member(1) + member(1)
    real, looks = journal.read, []

    def publishes_first(*arguments):
        if not looks:
            looks.append(1)
            monkeypatch.setattr(journal, "read", real)
            publish(store)
        return real(*arguments)

    monkeypatch.setattr(journal, "read", publishes_first)
    assert reader.read() == []
    assert reader.read() == written


def test_a_late_segment_under_an_old_name_is_passed(store, member):
    """A member that had stalled: neither its time nor its key says that it is new."""
    reader = Reader(store)
    assert len(reader.read()) == 0
    now = member(1)
    assert reader.read() == now
    late = SegmentName("v0.test", NOON - timedelta(days=3), "bbbbbbbb", 1, 1)
    store.create(late.key, journal.encode(SOURCE, "bbbbbbbb", 1, NOON, journal.batch([b"late"], [1])))
    assert late.key < member.key
    assert reader.read() == [b"late"]


def test_a_clock_that_was_set_back_lets_no_segment_be_overtaken(store):
    """Counters say what was first, not times."""
    for counter, moment in ((1, at(20)), (2, at(10))):
        name = SegmentName("v0.test", moment, "aaaaaaaa", counter, 1)
        batch = journal.batch([b"%d" % counter], [1])
        store.create(name.key, journal.encode(SOURCE, "aaaaaaaa", counter, NOON, batch))
    assert Reader(store).read() == [b"1", b"2"]


def test_what_a_listing_has_missed_is_not_passed_over(store, member, monkeypatch):
    """A listing may have a segment and miss the one before, which was created while it went on."""
    reader = Reader(store)
    first = member(1)
    assert reader.read() == first
    second = member(1)
    missed = member.key
    third = member(1)
    real, listings = journal.segments, []

    def misses(of, subscription=""):
        listings.append(1)
        return (info for info in real(of, subscription) if info.key != missed or len(listings) > 1)

    monkeypatch.setattr(journal, "segments", misses)
    assert reader.read() == second + third


def test_what_an_epoch_takes_while_the_journal_is_listed_is_not_passed_over(store, member, monkeypatch):
    """The listing begins before the epoch and ends after it: half of its segments are deleted, the others listed."""
    reader = Reader(store)
    written = [member(1), member(1)]
    real = journal.segments

    def half(of, subscription=""):
        _, second = real(of, subscription)
        monkeypatch.setattr(journal, "segments", real)
        publish(store)
        written.append(member(1))
        yield second

    monkeypatch.setattr(journal, "segments", half)
    found = reader.read() + reader.read() + reader.read()
    assert found == [payload for payloads in written for payload in payloads]


def test_a_segment_that_cannot_be_read_waits_for_publishing_to_decide(store, member):
    """What comes behind it waits as well; when it is restored, it is passed with the epoch that then has it."""
    reader = Reader(store)
    broken = member(1)
    path = Path(store.uri(member.key))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    others = member(1)
    assert reader.read() == []
    assert reader.covered == {}
    publish(store)
    assert reader.read() == others
    path.write_bytes(whole)
    publish(store)
    assert reader.read() == broken


def test_what_was_passed_and_then_damaged_and_restored_may_come_twice_but_is_not_lost(store, member):
    """At least once: the manifest says that it was restored, and nobody knows who had read it before."""
    written = member(1)
    path = Path(store.uri(member.key))
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    publish(store)
    reader = Reader(store)
    assert reader.read() == []
    path.write_bytes(whole)
    assert reader.read() == written


def test_a_reader_that_was_away_for_too_long_fails(store, member):
    """With a sentence: it skips nothing."""
    reader = Reader(store)
    member(1)
    publish(store)
    member(1)
    publish(store)
    epochs.expire(store, history.load(store), timedelta(0))
    with pytest.raises(
        LakeError, match=r"away for too long: it has not read epoch 1, .* --journal-retention"
    ):
        reader.read()


def test_a_lake_that_was_emptied_is_not_waited_for(store, member):
    """Its epochs begin again at 1, which the position has passed."""
    member(1)
    with pytest.raises(
        LakeError, match=r"has read up to epoch 7, but the lake .* has only 0: it was emptied"
    ):
        Reader(store, Position(7)).read()


def test_copies_that_it_does_not_need_may_be_gone(store, member):
    """Whoever has passed an epoch's segments while they waited, or finds none in it, misses nothing."""
    reader = Reader(store)
    written = member(1)
    assert reader.read() == written
    publish(store)
    epochs.expire(store, history.load(store), timedelta(0))
    assert reader.read() == []
    assert reader.position == Position(1)


def test_positions_forget_the_writers_that_are_published(store):
    """A job of years, whose members come and go, has a small state."""
    reader = Reader(store)
    for number in range(5):
        member = Member(store, f"writer{number:02d}")
        member(1)
        reader.read()
        member(1)
        reader.read()
        publish(store)
    reader.read()
    assert reader.position == Position(5)


def test_an_erased_subject_s_deliveries_are_not_emitted(store):
    """From the request on: not from the journal, not from a copy that the eraser has not come to, nor afterwards."""
    mine = [sms_of(HIS, 1, at(1)), sms_of(HIS, 5, at(5))]
    SegmentWriter(store).write(SOURCE, [mine[0], sms_of(HERS, 2, at(2))], [1, 2])
    SegmentWriter(store).write(SOURCE, [revoke(HERS, 3, at(3))], [3])
    publish(store)
    list(eraser(store).erase())
    SegmentWriter(store).write(SOURCE, [sms_of(HERS, 2, at(2), redelivered=True), mine[1]], [1, 2])
    assert sorted(Reader(store).read()) == sorted(mine)
    publish(store)
    assert sorted(Reader(store).read()) == sorted(mine)


def test_a_copy_that_an_erasure_has_shortened_is_emitted_whole(store):
    """Nobody knows whose the deliveries are that are left: rather twice than not."""
    writer = SegmentWriter(store)
    writer.write(SOURCE, [sms_of(HERS, 1, at(1)), sms_of(HIS, 2, at(2))], [1, 2])
    reader = Reader(store)
    assert len(reader.read()) == 2
    missed = sms_of(HIS, 4, at(4))
    writer.write(SOURCE, [revoke(HERS, 3, at(3)), missed], [3, 4])
    publish(store)
    list(eraser(store).erase())
    assert missed in reader.read()


# Up to when everything is there


def test_it_is_covered_what_all_that_was_passed_covers(store, member):
    """The newest segment of each subscription, a heartbeat as well; of one that has none the newest epoch."""
    handsets = Member(store, "handsets", HANDSETS)
    handsets(3)
    publish(store)
    member(7)
    member(0)
    reader = Reader(store)
    reader.read(at_most=1)
    assert reader.covered == {}, "more is to be passed first"
    reader.read()
    assert reader.covered == {SOURCE.subscription: at(7), HANDSETS.subscription: at(3)}


def test_a_v1_delivery_and_a_v0_delivery_come_from_where_they_were_received(store):
    """A copy says it of all its deliveries."""
    SegmentWriter(store).write(SOURCE, [sms(1)], [1])
    SegmentWriter(store).write(HANDSETS, [handset_change(1)], [1])
    publish(store)
    (step,) = Round(store, Position()).steps()
    assert {source: len(part) for source, part in step.deliveries} == {SOURCE: 1, HANDSETS: 1}
