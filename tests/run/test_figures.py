"""The figures of the children: counts go on when one is replaced, gauges of one that is gone vanish."""

import time
from types import SimpleNamespace

import pytest
from typed import gather
from wgtwo_pipeline.cli.build import build
from wgtwo_pipeline.ingest.counters import Counters
from wgtwo_pipeline.metrics.outcomes import Outcomes
from wgtwo_pipeline.metrics.samples import Buckets, Samples
from wgtwo_pipeline.run import figures as figures_module
from wgtwo_pipeline.run.figures import Figures

OF_MEMBER = {"subscription": "v0.a", "member": "member-0"}


def child(name="member-0", *, running=True, **facts):
    return SimpleNamespace(name=name, facts=facts, pid=None, running=running)


def member(name="member-0", *, connected=1, counts=0, **facts):
    """A member as it tells of itself, with some deliveries received and acked."""
    counters = Counters()
    if counts:
        counters.settled(counters.took(counts, time.time_ns() // 1000), counts, 0)
    counters.measures.count("stream_ends", "OK", counts)
    told = {"subscription": "v0.a", "stream_connected": connected, "covered_until": time.time(), **facts}
    return child(name, **{**counters.facts(), **told})


@pytest.fixture
def figures():
    return Figures(build(gather("run", {"history": "100s", "ack-timeout": "10s"}, {})))


def shown(figures):
    samples = Samples()
    figures.add_to(samples)
    return samples


def test_a_member_is_shown_as_it_tells(figures):
    """Counts, gauges, histograms, counts by code, and how it was configured."""
    figures.turned([member(counts=7, token_requests={"ok": 2})], 1)
    found = shown(figures)
    assert found.get("ingest_received_deliveries_total", **OF_MEMBER) == 7
    assert found.get("ingest_acked_deliveries_total", **OF_MEMBER) == 7
    assert found.get("ingest_stream_ends_total", **OF_MEMBER, code="OK") == 7
    assert found.get("ingest_token_requests_total", **OF_MEMBER, outcome="ok") == 2
    assert found.get("ingest_stream_connected", **OF_MEMBER) == 1
    assert found.get("ingest_ack_timeout_seconds", **OF_MEMBER) == 10
    assert found.get("ingest_history_seconds", **OF_MEMBER) == 100
    histogram = found.get("ingest_delivery_to_ack_seconds", subscription="v0.a")
    assert isinstance(histogram, Buckets)
    assert sum(histogram.counts) == 7
    assert found.get("process_resident_memory_bytes", process="supervisor") > 1e6


def test_counts_of_a_replaced_member_count_on_and_its_gauges_vanish(figures):
    """However often it dies: a count never goes back, also while the next one has not said a word."""
    for times in range(1, 4):
        dead = member(counts=5)
        figures.turned([dead], 1)
        assert shown(figures).get("ingest_acked_deliveries_total", **OF_MEMBER) == 5 * times
        dead.running = False
        figures.replaced(dead)
        figures.turned([child("member-0")], 1)  # it imports, and has said nothing
        found = shown(figures)
        assert found.get("ingest_acked_deliveries_total", **OF_MEMBER) == 5 * times
        assert found.get("ingest_stream_ends_total", **OF_MEMBER, code="OK") == 5 * times
        assert sum(found.get("ingest_delivery_to_ack_seconds", subscription="v0.a").counts) == 5 * times
        assert found.get("ingest_stream_connected", **OF_MEMBER) is None
        assert found.get("ingest_covered_until_timestamp_seconds", **OF_MEMBER) is None
        assert found.get("child_restarts_total", child="member-0") == times


def test_members_of_a_subscription_share_its_histograms(figures):
    """They are one latency; all else is told apart."""
    figures.turned([member(counts=2), member("member-1", counts=3)], 2)
    found = shown(figures)
    assert sum(found.get("ingest_delivery_to_ack_seconds", subscription="v0.a").counts) == 5
    assert found.get("ingest_received_deliveries_total", subscription="v0.a", member="member-1") == 3


def test_when_a_job_last_did_its_work_outlives_its_process(figures):
    """The eraser is there for seconds a day: what it did, and when, is asked for the rest of the day."""
    outcomes = Outcomes("erase")
    outcomes.did()
    outcomes.ended_well()
    figures.turned([child("eraser", **outcomes.facts())], 0)
    figures.ended(child("eraser", running=False, **outcomes.facts()))
    figures.turned([], 0)
    found = shown(figures)
    assert found.get("erase_erasures_total", outcome="finished") == 1
    assert found.get("erase_last_success_timestamp_seconds") == pytest.approx(time.time(), abs=3600)
    assert found.get("child_restarts_total", child="eraser") is None


def test_ready_is_every_member_well(figures):
    """Each with a confirmed stream, nothing wrong, nothing late, and covered."""
    assert figures.ready() == ["0 of 0 members are there"]
    figures.turned([member(), child("member-1")], 2)
    assert figures.ready() == ["1 of 2 members are there"]
    figures.turned([member(), member("member-1")], 2)
    assert figures.ready() == []


@pytest.mark.parametrize(
    ("facts", "sentence"),
    [
        ({"connected": 0}, "member-0: no confirmed stream"),
        (
            {"problems": {"lake": "the lake can't be written: full"}},
            "member-0: the lake can't be written: full",
        ),
        ({"problems": {"acks": "the last acks failed (UNAVAILABLE)"}}, "member-0: the last acks failed"),
        (
            {"oldest_unacked_seconds": 10.0},
            "the oldest unacked delivery has waited 10 s, the ack timeout is over",
        ),
        ({"covered_until": time.time() - 70}, "is not covered; events are lost in"),
    ],
)
def test_what_is_wrong_with_a_member_is_said(figures, facts, sentence):
    """In the words of the log, with the member's name."""
    figures.turned([member(**facts)], 1)
    (found,) = figures.ready()
    assert sentence in found


def test_a_loop_that_hangs_is_not_alive_and_a_stop_is(figures, monkeypatch):
    """Ten seconds without a turn; while it stops, the loop has ended, and finishing may take its time."""
    figures.turned([member()], 1)
    now = time.monotonic()
    monkeypatch.setattr(figures_module, "time", SimpleNamespace(monotonic=lambda: now + 9, time=time.time))
    assert (figures.live(), figures.ready()) == ((), [])
    monkeypatch.setattr(figures_module, "time", SimpleNamespace(monotonic=lambda: now + 11, time=time.time))
    assert "has not turned for" in figures.live()[0]
    assert figures.ready()
    figures.stopping()
    assert figures.live() == ()
    assert "stopping" in figures.ready()[0]


def test_members_are_listed_by_name(figures):
    """Those that have told of their stream."""
    figures.turned([member("member-1", counts=3), member(), child("member-2"), child("publisher")], 3)
    found = figures.members
    assert [each.name for each in found] == ["member-0", "member-1"]
    assert (found[1].received, found[1].acked, found[1].connected) == (3, 3, True)
