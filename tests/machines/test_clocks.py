"""Clocks that are, or were, wrong; and events that a wrong clock has dated."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.lake import journal, positions
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

SOURCE = journal.Source("v0.x", "v0", "Subscribe")


@pytest.fixture
def store(tmp_path):
    made = open_store(LakeLocation(str(tmp_path / "lake")))
    made.check()
    return made


def write(store, at, *seconds):
    """A segment by a machine on which it was `at`, of events of these seconds since the Unix epoch."""
    payloads = []
    for number, each in enumerate(seconds, 1):
        response = v0.SubscribeEventsResponse()
        event = response.event
        event.metadata.sequence, event.timestamp.seconds, event.sms_event.id = number, each, "x"
        payloads.append(response.SerializeToString())
    name = journal.SegmentName(SOURCE.subscription, at, "w", 1, len(payloads))
    deliveries = journal.batch(payloads, [int(at.timestamp() * 1e6)] * len(payloads))
    store.create(name.key, journal.encode(SOURCE, "w", 1, at, deliveries))


def test_what_a_clock_ahead_has_written_is_published(machine, store, tmp_path, showed):
    """A segment that is named hours ahead of now waits like any other, and `publish` publishes it at once."""
    write(store, datetime.now(UTC) + timedelta(hours=2), 1_700_000_000)
    ended = machine.run("publish", "--lake", tmp_path / "lake")
    assert ended.returncode == 0, ended.stderr
    held = json.loads(machine.run("status", "--json", "--lake", tmp_path / "lake").stdout)
    assert (held["published"], held["journal"]["segments"]) == (1, 0)
    said = machine.run("status", "--lake", tmp_path / "lake").stdout
    assert "CLOCK       v0.x says that it has everything until" in said
    assert machine.run("audit", "--deep", "--lake", tmp_path / "lake").returncode == 0
    showed("published 1, nothing waits; status names the clock")


def test_nothing_is_believed_beyond_now(store, showed):
    """A position in the future is not where a subscription has got to: what came before it is."""
    now = datetime.now(UTC)
    write(store, now - timedelta(hours=3), 1)
    write(store, now + timedelta(hours=2), 2)
    found = positions.covered_until(store, SOURCE.subscription)
    assert found is not None
    assert found <= datetime.now(UTC)
    showed(f"covered until {(now - found).total_seconds():.0f} s ago")


def test_one_event_of_the_far_future(machine, store, tmp_path, showed):
    """It does not hide for ever that nothing comes any more: lag is by the other events, and status names it."""
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    write(store, an_hour_ago, int(an_hour_ago.timestamp()))
    write(store, an_hour_ago + timedelta(seconds=1), int(datetime(9999, 1, 1, tzinfo=UTC).timestamp()))
    assert machine.run("publish", "--lake", tmp_path / "lake").returncode == 0
    held = json.loads(machine.run("status", "--json", "--lake", tmp_path / "lake").stdout)
    assert held["tables"]["sms"]["future_until"].startswith("9999-01-01")
    assert held["lag_seconds"] >= 3600
    said = machine.run("status", "--lake", tmp_path / "lake").stdout
    assert "CLOCK       sms holds events of the future" in said
    showed(f"lag {held['lag_seconds']:.0f} s")


def test_go_s_zero_time(machine, store, tmp_path, showed):
    """An event of the year 1 is quarantined: it has no timestamp, and Spark and pandas refuse such partitions."""
    write(store, datetime.now(UTC), 1_700_000_000, int(datetime(1, 1, 1, tzinfo=UTC).timestamp()))
    assert machine.run("publish", "--lake", tmp_path / "lake").returncode == 0
    held = json.loads(machine.run("status", "--json", "--lake", tmp_path / "lake").stdout)
    assert (held["published"], held["quarantined"]) == (1, 1)
    assert not (tmp_path / "lake" / "tables" / "sms" / "day=0001-01-01").exists()
    showed(f"quarantined: {held['quarantine']['reasons']}")
