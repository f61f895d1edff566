"""What is old goes once a day, and nothing that a reader of the last day may still look at."""

from datetime import UTC, datetime, timedelta

import lakes
import pytest
from catalog_steps import WHATS, SteppedStore, bring_up, rows_of, rows_of_files, stopped, wrong
from memory_store import MemoryStore
from pyiceberg.table import Transaction
from wgtwo_pipeline.errors import PipelineError
from wgtwo_pipeline.lake import iceberg
from wgtwo_pipeline.register import expire
from wgtwo_pipeline.register.catalogs import open_target

DAY = timedelta(days=1)


def expired(store, days):
    """Expires as if so many days had passed."""
    return expire.expire(store, open_target("lake", store), "sms", datetime.now(UTC) + days * DAY)


@pytest.fixture
def long_known(store):
    """A lake of six epochs, each registered by itself."""
    bring_up(store)
    for epoch in range(3, 7):
        lakes.journal(store, lakes.sms(10 * epoch, lakes.at(epoch, day=epoch)))
        lakes.publish(store)
        bring_up(store)
    return store


def snapshots(store):
    return len(open_target("lake", store).load("sms").snapshots())


def test_nothing_of_the_last_day_goes(long_known):
    """Before a day has passed nothing happens; a snapshot stays for a day after the next one took its place."""
    before = dict(long_known.objects)
    assert not expired(long_known, 0.9)
    assert long_known.objects == before


def test_old_snapshots_and_their_metadata_go(long_known):
    """After a day one snapshot is left, with what it needs; rows and later commits are as before."""
    before = rows_of(open_target("lake", long_known).load("sms"))
    assert (snapshots(long_known), len(long_known.keys("iceberg/sms/metadata/"))) == (5, 17)
    assert expired(long_known, 1.5)
    assert snapshots(long_known) == 1
    assert len(long_known.keys("iceberg/sms/metadata/")) < 10
    assert rows_of(open_target("lake", long_known).load("sms")) == before == rows_of_files(long_known, "sms")
    lakes.journal(long_known, lakes.sms(99, lakes.at(99, day=9)))
    lakes.publish(long_known)
    bring_up(long_known)
    assert wrong(long_known) == []


def test_it_is_done_once_a_day(long_known):
    """The table says when it was done last."""
    assert expired(long_known, 1.5)
    assert not expired(long_known, 2.4)
    assert expired(long_known, 2.6)


def test_plain_files_stay(long_known):
    """Nothing outside of `iceberg/` is touched."""
    before = {key: value for key, value in long_known.objects.items() if not key.startswith(iceberg.ROOT)}
    assert expired(long_known, 30)
    assert {
        key: value for key, value in long_known.objects.items() if not key.startswith(iceberg.ROOT)
    } == before


@pytest.mark.parametrize("what", WHATS)
def test_it_stops_at_any_effect(long_known, what):
    """Killed or overtaken at any of its effects, every version that is left is right."""
    at, struck = 0, True
    while struck:
        store = MemoryStore()
        store.objects = dict(long_known.objects)
        struck = stopped(store, at, what, lambda store=store: bring_up(store), work=_bring_up_and_expire)
        assert not [each for each in wrong(store) if "cannot be read" not in each], f"{what} {at}"
        assert rows_of(open_target("lake", store).load("sms")) == rows_of_files(store, "sms")
        at += 1
    assert at > 10


def test_a_registrar_that_slept_for_a_day_refers_to_nothing_that_is_gone(long_known):
    """What it wrote before it slept is deleted; so its commit is refused, and it begins again."""
    lakes.journal(long_known, lakes.sms(99, lakes.at(99, day=9)))
    lakes.publish(long_known)
    for at in range(8):
        store = MemoryStore()
        store.objects = dict(long_known.objects)

        def sleeps(store=store):
            for key, (data, modified) in list(store.objects.items()):
                store.objects[key] = (data, modified - 2 * DAY)
            expired(store, 1.5)

        bring_up(SteppedStore(store, at, "others before", sleeps))
        assert rows_of(open_target("lake", store).load("sms")) == rows_of_files(store, "sms"), at


def _bring_up_and_expire(store):
    bring_up(store)
    expired(store, 1.5)


def deletes_manifests(patches):
    """Only the lists of manifests count as referred to."""
    patches.setattr(expire, "_files", lambda table, snapshots: (each.manifest_list for each in snapshots))


def deletes_before_it_commits(patches):
    """So whoever has read an older version may still come to refer to what is gone."""
    patches.setattr(expire, "ExpireSnapshots", lambda _: Nothing())
    patches.setattr(Transaction, "set_properties", lambda *_: None)


class Nothing:
    """An update that changes nothing."""

    def by_ids(self, _):
        return self

    def commit(self):
        pass


def expires_every_day_anew(patches):
    """When it was done last is not looked at."""
    patches.setattr(expire, "_last", lambda _: datetime(2020, 1, 1, tzinfo=UTC))


PLANTED = {
    deletes_manifests: test_old_snapshots_and_their_metadata_go,
    deletes_before_it_commits: test_a_registrar_that_slept_for_a_day_refers_to_nothing_that_is_gone,
    expires_every_day_anew: test_it_is_done_once_a_day,
}


@pytest.mark.parametrize(("plant", "promise"), PLANTED.items(), ids=[plant.__name__ for plant in PLANTED])
def test_planted_bugs_break_their_promises(long_known, monkeypatch, plant, promise):
    """Each makes the named test fail, or the next registration."""
    plant(monkeypatch)
    with pytest.raises((AssertionError, FileNotFoundError, PipelineError)):
        promise(long_known)
