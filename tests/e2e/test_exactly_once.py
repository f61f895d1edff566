"""From a running event service to Parquet: every event once, whatever the network does to streams and acks."""

from pathlib import Path

import pytest
from expected import assert_published

MANY = pytest.param(20_000, 4_000, marks=[pytest.mark.heavy, pytest.mark.timeout(300)], id="20,000")


@pytest.mark.parametrize(("count", "rate"), [pytest.param(2_000, 2_000, id="2,000"), MANY])
def test_each_event_is_in_its_table_once_with_every_column_right(service, run, tmp_path: Path, count, rate):
    """All types, queue and durable name, 50 in flight: acked by the server's books, never more at once."""
    sandbox = service("--rate", rate, "--count", count)
    run(sandbox, "--until-idle", "1500ms", "--publish-every", "2s").succeeds(200)
    group = sandbox.all_acked()
    assert (group["acked"], group["delivered"]) == (count, count)
    assert group["name"] == ["v0", "", "queue", "wgtwo-pipeline", "wgtwo-pipeline"]
    assert group["durable"]
    assert group["most_in_flight"] == 50
    events = sandbox.emitted()
    assert len({event.type for event in events}) == 11
    assert_published(tmp_path / "lake", events)


@pytest.mark.parametrize(("count", "rate"), [pytest.param(1_000, 1_000, id="1,000"), MANY])
def test_cut_streams_and_lost_acks_lose_and_double_nothing(service, run, tmp_path: Path, count, rate):
    """Streams cut every second, acks lost, refused and unanswered, redeliveries, deliveries sent twice."""
    sandbox = service(
        *("--rate", rate, "--count", count, "--cut-streams", "1s", "--cut-status", "both"),
        *("--drop-acks", 0.02, "--refuse-acks", 0.05, "--lose-ack-replies", 0.002),
        *("--duplicate-deliveries", 0.05),
    )
    # Idle for longer than the ack timeout: what was lost comes again before the end.
    process = run(sandbox, "--until-idle", "3s", "--ack-timeout", "2s", "--publish-every", "1s")
    process.succeeds(250)
    counts = sandbox.state()["counts"]
    group = sandbox.all_acked()
    for fault in ("drop_acks", "refuse_acks", "lose_ack_replies", "duplicate_deliveries"):
        assert counts[fault] > 0, f"{fault} never happened: this run shows nothing"
    assert counts["streams_ended"] > 1
    assert group["redelivered"] > 0
    assert group["acked"] == count
    assert group["most_in_flight"] <= 50
    assert_published(tmp_path / "lake", sandbox.emitted())
