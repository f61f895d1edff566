"""Epochs: one open at a time, whose members nobody else has; committed once, and only what adds up.

It is over 300 lines because it tells an epoch's life in its order: seal, wait, group, commit, load, retire.
"""

import threading
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from memory_store import MemoryStore
from patience import PATIENCE_SECONDS
from wgtwo_pipeline.errors import CorruptError
from wgtwo_pipeline.lake import checkpoint, epochs, history, journal, retained
from wgtwo_pipeline.lake.epochs import Enough, Limits
from wgtwo_pipeline.lake.journal import SegmentName, Source
from wgtwo_pipeline.lake.manifest import (
    Parameters,
    Received,
    SegmentRef,
    TableCount,
    Unreadable,
    manifest_key,
    sealed_key,
)
from wgtwo_pipeline.lake.outcomes import Outcome

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOURCE = Source("v0.test", "v0", "Subscribe")
PARAMETERS = Parameters("descriptors")
LIMITS = Limits()
LATER = datetime(2999, 1, 1, tzinfo=UTC)


@pytest.fixture
def store():
    return MemoryStore()


def put(store, rows, seconds=0, subscription="v0.test", writer="w", counter=1, payload=b"x"):
    """A segment that was written at a moment; returns its key."""
    source = replace(SOURCE, subscription=subscription)
    moment = NOON + timedelta(seconds=seconds)
    name = SegmentName(subscription, moment, writer, counter, rows)
    batch = journal.batch([payload] * rows, [0] * rows)
    store.create(name.key, journal.encode(source, writer, counter, moment, batch))
    return name.key


def seal(store, limits=LIMITS, writer="publisher"):
    return epochs.seal(store, PARAMETERS, limits, writer)


def keys(sealed):
    return [segment.key for segment in sealed.segments]


def outcome(sealed, published=None, unreadable=()):
    """As if each delivery had become a row."""
    rows = sum(segment.rows for segment in sealed.segments)
    published = rows - sum(each.rows for each in unreadable) if published is None else published
    return Outcome(
        rows,
        {"v0.test": Received(rows, NOON)},
        {"sms": TableCount(published)},
        unreadable=tuple(unreadable),
    )


def publish(store, limits=LIMITS):
    sealed = seal(store, limits)
    manifest = epochs.commit(store, sealed, [outcome(sealed)])
    epochs.retire(store, history.load(store))
    return sealed, manifest


# Seal


def test_an_empty_journal_makes_no_epoch(store):
    """Nothing waits, nothing is sealed."""
    assert seal(store) is None
    assert not store.keys("epochs/")


def test_an_epoch_holds_what_waits_oldest_first(store):
    """Over all subscriptions, by the time in the names; and it stays what it is until it is committed."""
    late, early = put(store, 1, seconds=9, subscription="v0.a"), put(store, 1, seconds=1, subscription="v0.b")
    sealed = seal(store)
    assert (sealed.epoch, keys(sealed)) == (1, [early, late])
    put(store, 1, seconds=20)
    assert seal(store) == sealed


def test_the_next_epoch_follows_the_commit(store):
    """Number after number, each with what no earlier one has."""
    first = put(store, 1)
    one, _ = publish(store)
    second = put(store, 1, seconds=1)
    two, _ = publish(store)
    assert [(one.epoch, keys(one)), (two.epoch, keys(two))] == [(1, [first]), (2, [second])]
    assert seal(store) is None


def test_a_late_segment_under_an_old_name_is_taken(store):
    """A writer that stalled for hours: members are what no epoch holds, never what is newer."""
    put(store, 1, seconds=3600)
    publish(store)
    old = put(store, 1, seconds=1, writer="stalled")
    assert keys(seal(store)) == [old]


def test_a_segment_that_comes_back_after_its_epoch_is_no_loss(store):
    """Where deleting failed, a committed epoch's member is not taken once more."""
    put(store, 1)
    sealed = seal(store)
    epochs.commit(store, sealed, [outcome(sealed)])  # killed here: nothing was deleted
    fresh = put(store, 1, seconds=5)
    assert keys(seal(store)) == [fresh]
    assert store.keys("journal/") == [fresh]


def test_heartbeats_wait_for_company(store, monkeypatch):
    """A quiet subscription makes no epoch after epoch of nothing."""
    monkeypatch.setattr(epochs, "_MANY_HEARTBEATS", 3)
    for number in range(2):
        put(store, 0, seconds=number)
    assert seal(store) is None
    put(store, 0, seconds=2)
    assert len(seal(store).segments) == 3


def test_heartbeats_before_a_large_segment_do_not_block_it(store):
    """The first deliveries are always taken, however large their segment and whatever is before it."""
    beat = put(store, 0)
    large = put(store, 100, seconds=1)
    after = put(store, 1, seconds=2)
    sealed = seal(store, Limits(rows=10))
    assert keys(sealed) == [beat, large]
    assert epochs.waiting(store, history.load(store), LATER)
    epochs.commit(store, sealed, [outcome(sealed)])
    assert keys(seal(store)) == [after]


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(st.integers(0, 9), min_size=1, max_size=12),
    most_rows=st.integers(1, 20),
    most_segments=st.integers(1, 8),
)
def test_limits_hold_and_everything_gets_its_turn(rows, most_rows, most_segments):
    """Each epoch is within its limits, or one segment with deliveries alone; and none is left in the end."""
    store = MemoryStore()
    written = [put(store, count, seconds=number) for number, count in enumerate(rows)]
    limits = Limits(rows=most_rows, segments=most_segments)
    taken = []
    while (sealed := seal(store, limits)) is not None:
        full = [segment.rows for segment in sealed.segments if segment.rows]
        assert sum(full) <= most_rows or len(full) == 1
        assert len(sealed.segments) <= most_segments
        taken += keys(sealed)
        epochs.commit(store, sealed, [outcome(sealed)])
    left = written[len(taken) :]
    assert taken == written[: len(taken)]
    assert len(left) < 1000
    assert all(key.endswith("-0.arrow") for key in left) or len(left) >= most_segments


def test_bytes_are_limited_too(store):
    """Large deliveries make small epochs."""
    first = put(store, 1, payload=bytes(1000))
    put(store, 1, seconds=1, payload=bytes(1000))
    assert keys(seal(store, Limits(bytes=2000))) == [first]


def test_publishers_that_race_get_one_seal(store):
    """Conditional creation is the fence: both go on with what the first has sealed."""
    barrier, seals = threading.Barrier(2), []
    first = put(store, 1)

    def before_create(key):
        if key == sealed_key(1):
            barrier.wait(PATIENCE_SECONDS)

    store.before_create = before_create
    others = [
        threading.Thread(target=lambda n=n: seals.append(seal(store, writer=f"p{n}"))) for n in range(2)
    ]
    for thread in others:
        thread.start()
    for thread in others:
        thread.join(PATIENCE_SECONDS)
    assert len(seals) == 2
    assert seals[0] == seals[1]
    assert keys(seals[0]) == [first]
    assert seals[0].sealed_by in ("p0", "p1")


def test_a_stale_publisher_cannot_seal_what_is_committed(store):
    """One that looked before another sealed, committed and deleted gets the committed seal, not its own."""
    put(store, 1)

    def meanwhile(key):
        store.before_create = lambda key: None
        other = epochs.seal(store, PARAMETERS, LIMITS, "other")
        epochs.commit(store, other, [outcome(other)])
        epochs.retire(store, history.load(store))
        put(store, 1, seconds=5)

    store.before_create = meanwhile
    assert seal(store, writer="stale").sealed_by == "other"
    assert store.keys("epochs/") == [manifest_key(1), sealed_key(1)]


# Waiting


def test_only_what_was_there_is_waited_for(store):
    """What comes after `until` is left to the next time."""
    put(store, 1, seconds=10)
    past = history.load(store)
    assert not epochs.waiting(store, past, NOON + timedelta(seconds=9))
    assert epochs.waiting(store, past, NOON + timedelta(seconds=10))


def test_an_open_epoch_waits(store):
    """Whatever its age: somebody was killed."""
    put(store, 1)
    seal(store)
    assert epochs.waiting(store, history.load(store), NOON - timedelta(days=1))


# Due


def due(store, at_seconds, **enough):
    """Asked so many seconds after NOON, of segments named and made then."""

    class Then(datetime):
        @classmethod
        def now(cls, tz=None):
            return NOON + timedelta(seconds=at_seconds)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(epochs, "datetime", Then)
        return epochs.due(store, history.load(store), Enough(60.0, **enough))


def test_nothing_is_due_where_nothing_waits(store):
    """However old it is; neither are a few heartbeats."""
    assert not due(store, 1e6)
    put(store, 0)
    assert not due(store, 1e6)


def test_the_oldest_decides(store):
    """However new the newest is; a heartbeat is nothing that anyone waits for."""
    put(store, 0, seconds=-1_000)
    put(store, 1)
    put(store, 1, seconds=59)
    assert not due(store, 59.9)
    assert due(store, 60)


@pytest.mark.parametrize(("rows", "is_due"), [(9, False), (10, True)])
def test_enough_deliveries_are_due_at_once(store, rows, is_due):
    """Of all segments together."""
    put(store, 4)
    put(store, rows - 4, seconds=1)
    assert due(store, 2, rows=10) == is_due


def test_enough_bytes_are_due_at_once(store):
    """Large events wait no longer than a file's worth of them."""
    put(store, 1, payload=bytes(600))
    assert not due(store, 1, bytes=2_000)
    put(store, 1, seconds=1, payload=bytes(600))
    assert due(store, 2, bytes=2_000)


def test_an_open_epoch_is_due(store):
    """Whatever its age: somebody was killed."""
    put(store, 1)
    seal(store)
    assert due(store, 1)


def test_many_heartbeats_are_due(store, monkeypatch):
    """They would only make listings long."""
    monkeypatch.setattr(epochs, "_MANY_HEARTBEATS", 3)
    for number in range(3):
        assert not due(store, 1_000)
        put(store, 0, seconds=number)
    assert due(store, 1_000)


def test_a_writer_whose_clock_is_ahead_delays_nothing(store):
    """By the store's clock its segment is as old as any."""
    key = put(store, 1, seconds=7_200)
    (info,) = journal.segments(store)
    assert info.key == key
    later = (info.modified - NOON).total_seconds() + 60
    assert due(store, later)


# Groups


@settings(max_examples=60, deadline=None)
@given(
    parts=st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5)), min_size=1, max_size=12),
    most=st.integers(1, 9),
)
def test_groups_are_a_function_of_the_seal(parts, most):
    """Each member is in one group, in order, with others of its subscription; and always the same way."""
    segments = tuple(
        SegmentRef(SegmentName(name, NOON + timedelta(seconds=n), "w", n, rows).key, rows, rows * 10)
        for n, (name, rows) in enumerate(parts)
    )
    parameters = replace(PARAMETERS, rows_per_group=most, bytes_per_group=10**6)
    sealed = epochs.Sealed(3, NOON, "p", parameters, segments)
    groups = epochs.groups(sealed)
    assert groups == epochs.groups(epochs.Sealed(3, LATER, "other", parameters, segments))
    assert [group.number for group in groups] == list(range(len(groups)))
    for group in groups:
        of = {SegmentName.parse(segment.key).subscription for segment in group.segments}
        assert len(of) == 1
        assert (
            sum(segment.rows for segment in group.segments) <= most
            or len(group.segments) == 1
            or (sum(segment.rows > 0 for segment in group.segments) == 1)
        )
    found = [segment for group in groups for segment in group.segments]
    assert sorted(found, key=lambda segment: segment.key) == sorted(segments, key=lambda segment: segment.key)


# Commit


def test_a_commit_is_read_back(store):
    """What was committed is the history, for everyone."""
    put(store, 3)
    _, manifest = publish(store)
    past = history.load(store)
    assert past.committed == 1
    assert past.manifests == (manifest,)
    assert past.subscriptions["v0.test"] == Received(3, NOON)


@pytest.mark.parametrize("wrong", [{"published": 2}, {"published": 4}], ids=["lost", "twice"])
def test_what_does_not_add_up_is_not_committed(store, wrong):
    """A delivery too few or too many: nothing is published, and the figures are told."""
    put(store, 3)
    sealed = seal(store)
    with pytest.raises(CorruptError, match=r"epoch 1 does not add up: sealed 3, received 3"):
        epochs.commit(store, sealed, [outcome(sealed, **wrong)])
    assert history.load(store).committed == 0


def test_an_outcome_that_is_missing_is_noticed(store):
    """Balanced in itself, but not all of the seal."""
    put(store, 3)
    sealed = seal(store)
    with pytest.raises(CorruptError, match="sealed 3, received 0"):
        epochs.commit(store, sealed, [])


def test_the_first_commit_counts(store):
    """A second one, with whatever it found, returns the first's manifest."""
    put(store, 3)
    sealed = seal(store)
    first = epochs.commit(store, sealed, [outcome(sealed)])
    assert epochs.commit(store, sealed, []) == first


def test_commits_that_race_give_one_manifest(store):
    """The other's is what counts where it was faster."""
    put(store, 3)
    sealed = seal(store)

    def meanwhile(key):
        store.before_create = lambda key: None
        epochs.commit(store, sealed, [outcome(sealed)])

    store.before_create = meanwhile
    late = epochs.commit(store, sealed, [outcome(sealed)])
    assert late == history.load(store).manifests[0]


def test_unreadable_segments_stay_until_they_are_restored(store):
    """They are counted, kept in the journal, and members of an epoch again once they are whole."""
    torn, good = put(store, 2), put(store, 1, seconds=1)
    whole = bytes(store.read(torn))
    sealed = seal(store)
    store.overwrite(torn, b"torn")
    lost = Unreadable(torn, 2, "torn")
    manifest = epochs.commit(store, sealed, [outcome(sealed, unreadable=[lost])])
    assert (manifest.unreadable, manifest.published) == (2, 1)
    assert seal(store) is None
    assert store.keys("journal/") == [torn]
    assert good not in store.objects
    store.overwrite(torn, whole)
    again = seal(store)
    assert keys(again) == [torn]
    assert epochs.commit(store, again, [outcome(again)]).restored == (torn,)
    assert not history.load(store).unreadable


# Load


def test_a_missing_number_is_no_history(store):
    """A manifest without its predecessor: somebody deleted one; its events must not come twice."""
    for number in range(3):
        put(store, 1, seconds=number)
        publish(store)
    store.delete([manifest_key(2)])
    with pytest.raises(CorruptError, match=r"epoch 2 is missing.*Restore it"):
        history.load(store)


def test_loading_goes_on_where_it_was(store):
    """The manifests that are known are not read again, and the result is the same."""
    put(store, 1)
    publish(store)
    known = history.load(store)
    put(store, 1, seconds=1)
    publish(store)
    reads, read_many = [], store.read_many
    store.read_many = lambda keys, sizes=None: reads.extend(keys) or read_many(keys)
    assert history.load(store, known) == history.load(store)
    assert reads[0] == manifest_key(2)


def test_the_history_before_an_epoch_is_the_same_for_everyone(store):
    """And there is none to build on once it is committed."""
    put(store, 1)
    sealed = seal(store)
    assert history.before(store, 1).committed == 0
    epochs.commit(store, sealed, [outcome(sealed)])
    history._load_newer.cache_clear()
    assert history.before(store, 1) is None


def test_a_lake_that_was_emptied_begins_anew(store):
    """What was remembered of the old one does not count."""
    put(store, 1)
    publish(store)
    store.objects.clear()
    fresh = put(store, 1, seconds=7)
    assert keys(seal(store)) == [fresh]


# Retire and expire


def test_only_committed_segments_are_deleted(store):
    """Members of the open epoch and what waits stay."""
    put(store, 1)
    publish(store)
    member = put(store, 1, seconds=1)
    seal(store)
    waiting = put(store, 1, seconds=2)
    epochs.retire(store, history.load(store))
    assert store.keys("journal/") == [member, waiting]


def test_retained_copies_expire_by_age_and_only_of_committed_epochs(store):
    """An old copy of an epoch that is still open is what its redo reads."""
    put(store, 1)
    publish(store)
    long_ago = datetime.now(UTC) - timedelta(days=9)
    old, fresh, of_open = (
        f"{retained.ROOT}{n}.arrow" for n in ("0000000001-0000", "0000000001-0001", "0000000002-0000")
    )
    strange = f"{retained.ROOT}readme.txt"
    for key in (old, of_open, strange):
        store.overwrite(key, b"", long_ago)
    store.overwrite(fresh, b"")
    epochs.expire(store, history.load(store), timedelta(days=1))
    assert store.keys(retained.ROOT) == [fresh, of_open, strange]


def test_a_copy_that_comes_again_when_it_has_expired_goes_again(store, monkeypatch):
    """A publisher that slept for longer than copies are kept brings back what was erased meanwhile: not for long."""
    put(store, 1)
    publish(store)
    committed = history.load(store)
    late = f"{retained.ROOT}0000000001-0000.arrow"
    store.overwrite(late, b"")

    class Later(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime.now(tz) + timedelta(days=2)

    monkeypatch.setattr(epochs, "datetime", Later)
    store.overwrite(late, b"", Later.now(UTC))
    epochs.expire(store, committed, timedelta(days=1))
    assert store.keys(retained.ROOT) == []


def test_a_copy_of_an_epoch_that_cannot_be_read_expires_by_its_own_age(store):
    """Nothing that is damaged keeps an epoch from being finished."""
    put(store, 1)
    publish(store)
    checkpoint.write(store, history.load(store).base, history.load(store).manifests)
    store.overwrite(manifest_key(1), b"{")
    old, fresh = (f"{retained.ROOT}0000000001-{n:04d}.arrow" for n in (0, 1))
    store.overwrite(old, b"", datetime.now(UTC) - timedelta(days=9))
    store.overwrite(fresh, b"")
    epochs.expire(store, history.load(store), timedelta(days=1))
    assert store.keys(retained.ROOT) == [fresh]


def test_descriptors_are_kept_by_their_content(store):
    """Kept once, found again, and noticed where they were changed."""
    digest = epochs.keep_descriptors(store, b"descriptors")
    assert epochs.keep_descriptors(store, b"descriptors") == digest
    assert epochs.descriptors(store, digest) == b"descriptors"
    other = MemoryStore()
    other.overwrite(f"descriptors/{digest}.binpb", b"others")
    with pytest.raises(CorruptError, match="not what its name says"):
        epochs.descriptors(other, digest)
