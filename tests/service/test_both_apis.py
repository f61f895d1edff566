"""v0 and v1 into one lake, and what is particular to v1: ack statuses, and an identity without a sequence."""

import pytest
from witness import V1_TYPES, assert_each_once, audited

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(200)]


def test_v0_and_v1_into_one_lake_at_the_same_time(sandbox, command, lake):
    """Two `run`s, each with a publisher of its own: all 16 tables, every event once."""
    service = sandbox("--rate", 150, "--count", 2_000)
    options = ("--endpoint", service.address, "--plaintext", "--lake", lake)
    runs = [
        command("run", "--api", api, *options, "--until-idle", "4s", "--publish-every", "1s")
        for api in ("v0", "v1")
    ]
    for run in runs:
        run.succeeds(120)
    emitted = service.identities()
    assert len(emitted) == 4_000
    assert len({table for table, _ in emitted}) == 16
    assert_each_once(emitted, lake)
    assert audited(lake)["published"] == 4_000


def test_an_ack_status_other_than_success_is_tried_again(sandbox, command, lake):
    """A fifth of the acks is answered STATUS_CODE_FAILURE: asked again at once, hardly an event has to come again."""
    service = sandbox("--rate", 300, "--count", 2_000, "--types", V1_TYPES, "--refuse-acks", 0.2)
    command(
        *("run", "--api", "v1", "--endpoint", service.address, "--plaintext", "--lake", lake),
        *("--until-idle", "12s", "--ack-timeout", "10s"),
    ).succeeds(120)
    refused = service.state()["counts"]["refuse_acks"]
    assert refused > 300
    assert sum(group["acked"] for group in service.groups()) == 2_000
    # Three tries: one in 125 fails for good and comes again after the ack timeout.
    assert sum(group["redelivered"] for group in service.groups()) < refused / 5
    assert_each_once(service.identities("v1"), lake)
    audited(lake)


def test_duplicates_without_a_sequence_are_dropped(sandbox, command, lake):
    """Deliveries sent twice unmarked, and redeliveries after lost acks: each event is published once."""
    service = sandbox(
        *("--rate", 300, "--count", 1_500, "--types", V1_TYPES),
        *("--duplicate-deliveries", 0.2, "--drop-acks", 0.1),
    )
    command(
        *("run", "--api", "v1", "--endpoint", service.address, "--plaintext", "--lake", lake),
        *("--until-idle", "12s", "--ack-timeout", "10s", "--publish-every", "2s"),
    ).succeeds(120)
    assert service.state()["counts"]["duplicate_deliveries"] > 200
    assert sum(group["redelivered"] for group in service.groups()) > 100
    assert_each_once(service.identities("v1"), lake)
    found = audited(lake)
    assert found["published"] == 1_500
    assert found["duplicates"] > 300
