"""Where a reader of the journal begins, and that it misses nothing from there whatever happens in which order."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lakes import HANDSETS, NOON, publish
from memory_store import MemoryStore
from tails import Member, Reader
from wgtwo_pipeline.lake import epochs, history, retained
from wgtwo_pipeline.lake.manifest import Parameters, Received, TableCount
from wgtwo_pipeline.lake.outcomes import Outcome
from wgtwo_pipeline.source.tail import Position, begin


@pytest.fixture
def member(store):
    return Member(store, "aaaaaaaa")


def test_oldest_is_everything_of_which_there_are_copies(store, member):
    """What was published and expired is not missed without a sentence: it was never promised."""
    member(1)
    publish(store)
    epochs.expire(store, history.load(store), timedelta(0))
    kept = member(1)
    publish(store)
    waiting = member(1)
    assert begin(store, "oldest") == Position(1)
    assert Reader(store, begin(store, "oldest")).read() == kept + waiting


def test_oldest_leaves_out_an_epoch_of_which_only_some_copies_are_left(store, member):
    """They expire one by one."""
    member(1)
    Member(store, "handsets", HANDSETS)(1)
    first = publish(store)
    store.delete([first.retained[0].key])
    kept = member(1)
    publish(store)
    assert begin(store, "oldest") == Position(1)
    assert Reader(store, begin(store, "oldest")).read() == kept


def test_new_is_what_is_journaled_from_now_on(store, member):
    """Neither what is published nor what waits."""
    member(1)
    publish(store)
    member(2)
    position = begin(store, "new")
    assert position == Position(1, {"aaaaaaaa": 2})
    after = member(1)
    publish(store)
    assert Reader(store, position).read() == after


def test_a_time_begins_with_the_first_epoch_that_can_have_it(store, member):
    """What an epoch has that was committed before was received before."""
    for _ in range(5):
        member(1)
        publish(store)
    manifests = list(history.manifests(store, 0))
    assert [begin(store, m.committed_at) for m in manifests] == [Position(n) for n in range(5)]
    assert begin(store, datetime(2020, 1, 1, tzinfo=UTC)) == Position(0)
    assert begin(store, datetime.now(UTC) + timedelta(days=1)) == Position(5)


def test_an_empty_lake_has_a_beginning(store):
    """Ingest may not have written anything yet."""
    for start in ("oldest", "new", NOON):
        assert begin(store, start) == Position()


@given(st.data())
def test_nothing_is_missed_whatever_happens_in_which_order(data):
    """Members that write, publishing, looks that are broken off: in the end all was emitted, and nothing twice."""
    store = MemoryStore()
    history.forget()
    members = [Member(store, f"writer{number:02d}") for number in range(2)]
    members.append(Member(store, "handsets", HANDSETS))
    reader, written, found = Reader(store), [], []
    for step in data.draw(
        st.lists(st.sampled_from(["write", "beat", "publish", "look", "break off"]), max_size=12)
    ):
        if step in ("write", "beat"):
            written += data.draw(st.sampled_from(members))(
                data.draw(st.integers(1, 3)) if step == "write" else 0
            )
        elif step == "publish":
            publish_directly(store)
        else:
            found += reader.read(1 if step == "break off" else None)
    found += reader.read() + reader.read()
    assert sorted(found) == sorted(written)


def publish_directly(store):
    """An epoch as publishing makes it, as far as a reader of the journal sees it; a small one."""
    sealed = epochs.seal(store, Parameters(""), epochs.Limits(rows=4), "test")
    if sealed is None:
        return
    outcomes = []
    for group in epochs.groups(sealed):
        held = retained.retain(store, sealed.epoch, group.number, group.segments)
        outcomes.append(
            Outcome(
                received=held.received,
                subscriptions={
                    held.contents.source.subscription: Received(held.received, held.contents.covered_until)
                },
                tables={"quarantine": TableCount(published=held.received)},
                retained=(held.copy,),
            )
        )
    epochs.commit(store, sealed, outcomes)
    epochs.retire(store, history.load(store))
