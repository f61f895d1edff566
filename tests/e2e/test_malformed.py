"""Malformed events: what can become a row is published, the rest is kept with its bytes; the stream goes on."""

from pathlib import Path

import pytest
from expected import QUARANTINED, assert_published, tables
from wgtwo_pipeline.sandbox.options import MALFORMATIONS


def test_malformed_events_are_published_or_quarantined_and_acked(service, run, tmp_path: Path):
    """Unknown enum values and fields: published. Unset or unknown member, bad UTF-8, truncated bytes: quarantined.

    All are acked, and the good ones among them have every column right.
    """
    sandbox = service("--rate", 1_000, "--count", 600, "--malform", 0.5)
    run(sandbox, "--until-idle", "1500ms", "--publish-every", "1s").succeeds(60)
    events = sandbox.emitted()
    assert {event.malformed for event in events} == {"", *MALFORMATIONS}
    assert sandbox.all_acked()["acked"] == sandbox.group()["delivered"] == len(events)
    assert_published(tmp_path / "lake", events)
    quarantine = tables(tmp_path / "lake")["quarantine"]
    assert len(quarantine) == sum(event.malformed in QUARANTINED for event in events)
    assert quarantine["sequence"].null_count == 0, "the envelope was readable in all of them"


@pytest.mark.heavy
def test_unknown_enum_values_keep_their_number(service, run, tmp_path: Path):
    """A number that this version has no name for is published as text."""
    kinds = "voice,voicemail,token_audit,sms,sms_delivery_report"
    sandbox = service(
        *("--rate", 500, "--count", 100, "--types", kinds),
        *("--malform", 1, "--malform-kinds", "unknown_enum"),
    )
    run(sandbox, "--until-idle", "1s").succeeds(60)
    assert_published(tmp_path / "lake", sandbox.emitted())
    found = tables(tmp_path / "lake")
    columns = {"voice": "type", "voicemail": "type", "token_audit": "operation", "sms": "direction"}
    for table, column in {**columns, "sms_delivery_report": "status"}.items():
        assert set(found[table][column].to_pylist()) == {"77"}


@pytest.mark.heavy
def test_a_stream_of_nothing_but_malformed_events_goes_on(service, run, tmp_path: Path):
    """With redeliveries and duplicates too, each is kept once."""
    sandbox = service(
        *("--rate", 1_000, "--count", 2_000, "--malform", 1),
        *("--cut-streams", "1s", "--drop-acks", 0.05, "--duplicate-deliveries", 0.1),
    )
    process = run(sandbox, "--until-idle", "4s", "--ack-timeout", "2s", "--publish-every", "1s")
    process.succeeds(90)
    events = sandbox.emitted()
    assert sandbox.group()["redelivered"] > 0
    assert sandbox.all_acked()["acked"] == len(events)
    assert_published(tmp_path / "lake", events)
