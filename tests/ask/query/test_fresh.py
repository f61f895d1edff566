"""`--fresh`: what is journaled and not yet published is in the answer, and each event once, whatever is going on."""

import json

import lakes
import pytest
from wgtwo_pipeline.ask import backlog
from wgtwo_pipeline.ask.views import Views
from wgtwo_pipeline.lake import history


@pytest.fixture
def counts(store, run):
    """Counts of the tables and of distinct events in them, fresh or not."""

    def counts(*options):
        sql = (
            "SELECT type, count(*) n, count(DISTINCT (timestamp, sequence, event_id)) events "
            "FROM events GROUP BY type UNION ALL "
            "SELECT 'quarantine', count(*), count(DISTINCT payload) FROM quarantine HAVING count(*) > 0"
        )
        code, out, err = run("query", sql, "--format", "json", *options)
        assert code == 0, err
        found = json.loads(out)
        assert all(row["n"] == row["events"] for row in found), found
        return {row["type"]: row["n"] for row in found}

    return counts


def more(store):
    """Deliveries that wait: new ones, redeliveries of each other and of what is published, a broken one twice."""
    lakes.journal(store, lakes.sms(3, lakes.at(3), redelivered=True), lakes.sms(50, lakes.at(50)))
    lakes.journal(store, lakes.sms(50, lakes.at(50), redelivered=True), lakes.voice(60, lakes.at(60, day=2)))
    lakes.journal(store, lakes.BROKEN, lakes.BROKEN + b"!")
    lakes.journal(store, lakes.handset_change(1, lakes.at(1), inbox="b"), source=lakes.HANDSETS)
    lakes.journal(store, lakes.handset_change(9, lakes.at(1), inbox="b"), source=lakes.HANDSETS)


PUBLISHED = {"handset_change_v1": 2, "sms": 30, "voice": 5, "quarantine": 1}
FRESH = {"handset_change_v1": 3, "sms": 31, "voice": 6, "quarantine": 2}


def test_fresh_adds_each_waiting_event_once(store, counts):
    """Redeliveries, of what is published or of each other, are not counted; without --fresh nothing waiting is."""
    lakes.lake_of_two_days(store)
    more(store)
    assert counts() == PUBLISHED
    assert counts("--fresh") == FRESH


def test_fresh_equals_what_publishing_gives(store, run):
    """The rows of --fresh are the rows that are there after publishing."""
    lakes.lake_of_two_days(store)
    more(store)

    def everything(*options):
        tables = ("sms", "voice", "handset_change_v1", "quarantine")
        answers = [run("query", f"FROM {name} ORDER BY ALL", "--format", "csv", *options) for name in tables]
        assert [code for code, _, _ in answers] == [0] * len(tables)
        return [out for _, out, _ in answers]

    before = everything("--fresh")
    lakes.publish(store)
    assert everything() == before == everything("--fresh")


@pytest.mark.parametrize("writes", [set(), {"sms"}, {"sms", "quarantine"}, None])
def test_fresh_while_an_epoch_is_open(store, counts, writes):
    """Files of an epoch that is not committed yet, some or all of them, are not counted again."""
    lakes.lake_of_two_days(store)
    more(store)
    lakes.publish(store, commits=False, writes=writes)
    assert counts("--fresh") == FRESH
    lakes.publish(store)
    assert counts("--fresh") == FRESH == counts()


def test_fresh_on_a_lake_that_never_published(store, counts):
    """The first events can be asked for before there is any file."""
    more(store)
    assert counts() == {}
    assert counts("--fresh") == {"handset_change_v1": 2, "sms": 2, "voice": 1, "quarantine": 2}


@pytest.mark.parametrize("moment", ["before reading", "while reading", "before the files"])
def test_fresh_while_publishing(store, monkeypatch, moment):
    """A publisher that commits and deletes segments in the middle of it makes no event vanish or appear twice."""
    lakes.lake_of_two_days(store)
    more(store)
    real_backlog, real_rows = history.backlog, backlog.rows

    def listed_then_published(store, past):
        found = list(real_backlog(store, past))
        monkeypatch.setattr(history, "backlog", real_backlog)
        lakes.publish(store)
        return found

    def read_then_published(store, wanted):
        found = real_rows(store, wanted)
        if moment == "while reading":
            yield next(found)
            lakes.publish(store)
        yield from found
        if moment == "before the files":
            lakes.publish(store)

    if moment == "before reading":
        monkeypatch.setattr(history, "backlog", listed_then_published)
    monkeypatch.setattr(backlog, "rows", read_then_published)
    with Views(store) as views:
        views.define(views.names, fresh=True)
        found = dict(views.connection.execute("SELECT type, count(*) FROM events GROUP BY ALL").fetchall())
        found |= {"quarantine": views.connection.execute("SELECT count(*) FROM quarantine").fetchall()[0][0]}
    monkeypatch.undo()
    assert history.load(store).committed == 3
    assert found == FRESH


def test_a_torn_segment_hides_no_other(store, counts, run):
    """What cannot be read is left out with a warning that names it; the rest is in the answer."""
    more(store)
    key = lakes.journal(store, lakes.sms(77))
    torn = bytes(store.read(key))[:-1]
    store.delete([key])
    store.create(key, torn)
    assert counts("--fresh")["sms"] == 2
    assert key in run("query", "FROM sms", "--fresh")[2]


def test_a_whole_backlog_is_read_in_bounded_groups(store, monkeypatch):
    """However long the backlog, a few deliveries at a time are decoded; the order of delivery stays."""
    monkeypatch.setattr(backlog, "_GROUP_ROWS", 10)
    for first in range(0, 60, 4):
        lakes.journal(store, *(lakes.sms(n, lakes.at(n)) for n in range(first, first + 4)))
    parts = [rows for _, rows in backlog.rows(store, {"sms"})]
    assert max(map(len, parts)) <= 13
    assert [sequence for rows in parts for sequence in rows["sequence"].to_pylist()] == list(range(60))
