"""Kinds of values: what a user may write, and what it means."""

import time
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from wgtwo_pipeline.cli.types import KINDS, format_duration, parse_duration, parse_start, split_address
from wgtwo_pipeline.events.api import Start


@given(st.integers(min_value=0, max_value=10**12))
def test_duration_round_trip(microseconds):
    """Every duration that the project can write is read back, to the microsecond."""
    seconds = microseconds / 1_000_000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.integers(min_value=0, max_value=10**6), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_duration_units(count, unit):
    """A count with a unit is that many milliseconds, seconds, minutes, hours or days."""
    milliseconds = {"ms": 1, "s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}[unit]
    assert parse_duration(f"{count}{unit}") == count * milliseconds / 1000


@given(st.text())
def test_duration_is_finite_or_refused(text):
    """Any text is a finite duration or refused with the forms that are right."""
    try:
        seconds = parse_duration(text)
    except ValueError as refusal:
        reason = str(refusal)
    else:
        assert 0 <= seconds < float("inf")
        return
    assert "250ms, 30s, 5m, 2h or 7d" in reason


@pytest.mark.parametrize(
    "text", ["", "5", "s", "-5s", "5 s", "5S", "1h30m", "1e3s", "٣s", "inf", "5w", ".5s", "5s\n"]
)
def test_no_durations(text):
    """A bare number has no unit and is refused, as is whatever else looks nearly right."""
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "start"),
    [
        ("oldest", Start("oldest")),
        ("new", Start("new")),
        ("last", Start("last")),
        ("0", Start("sequence", sequence=0)),
        ("18446744073709551615", Start("sequence", sequence=2**64 - 1)),
        ("-30m", Start("delta", delta=timedelta(minutes=30))),
        ("2026-11-23T09:30:00Z", Start("timestamp", timestamp=datetime(2026, 11, 23, 9, 30, tzinfo=UTC))),
        (
            "2026-11-23T10:30:00+01:00",
            Start("timestamp", timestamp=datetime(2026, 11, 23, 9, 30, tzinfo=UTC)),
        ),
        ("2026-11-23 09:30", Start("timestamp", timestamp=datetime(2026, 11, 23, 9, 30, tzinfo=UTC))),
        ("2026-11-23", Start("timestamp", timestamp=datetime(2026, 11, 23, tzinfo=UTC))),
    ],
)
def test_start_positions(text, start):
    """Each form of a start position means what the command line's description says; times are UTC by default."""
    assert parse_start(text) == start


def test_a_time_without_offset_is_utc_everywhere(monkeypatch):
    """A time means the same on every machine, whatever its time zone."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert parse_start("2026-11-23T09:30:00") == parse_start("2026-11-23T09:30:00Z")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    "text", ["", "yesterday", "30m", "-30", "--30m", "18446744073709551616", "2026-13-01", "-5"]
)
def test_no_start_positions(text):
    """What is no start position is refused in words that show the forms or the bound."""
    with pytest.raises(ValueError, match=r"no start position|no sequence"):
        parse_start(text)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("localhost:50051", ("localhost", 50051)),
        ("api.wgtwo.com", ("api.wgtwo.com", None)),
        ("[::1]:443", ("[::1]", 443)),
        ("sandbox_1:0", ("sandbox_1", 0)),
    ],
)
def test_addresses(text, parts):
    """Host names, IPv4 and bracketed IPv6 addresses are taken apart."""
    assert split_address(text) == parts


@pytest.mark.parametrize(
    ("kind", "text", "reason"),
    [
        ("endpoint", "https://api.wgtwo.com:443", "without https://"),
        ("endpoint", "api.wgtwo.com:70000", "ports go from 1 to 65535"),
        ("endpoint", "api.wgtwo.com:0", "ports go from 1 to 65535"),
        ("endpoint", "::1", "write HOST:PORT"),
        ("endpoint", "a b:1", "write HOST:PORT"),
        ("endpoint", "host:", "write HOST:PORT"),
        ("address", "127.0.0.1", "has no port"),
        ("lake", "http://bucket/x", "cannot be a lake: name a folder"),
        ("lake", "gs://bucket/x", "cannot be a lake: name a folder"),
        ("lake", "s3://", "names no bucket"),
        ("lake", "s3:///prefix", "names no bucket"),
        ("lake", "s3://bucket/a//b", "empty, '.' or '..' part"),
        ("lake", "s3://bucket/../b", "empty, '.' or '..' part"),
        ("lake", "file://", "names no folder"),
        ("url", "id.wgtwo.com/token", "no web address"),
        ("url", "https:///token", "no web address"),
        ("url", "https://me:secret@host/", "must not hold a user or password"),
        ("int", "1.5", "no whole number"),
        ("int", "1_000", "no whole number"),
        ("float", "nan", "no number"),
        ("flag", "yes", "true or false"),
        ("list", " , ", "empty list"),
        ("str", "a\nb", "cannot be printed"),
    ],
)
def test_refusals(kind, text, reason):
    """A value that cannot work is refused by its kind, with what would be right."""
    with pytest.raises(ValueError, match=reason):
        KINDS[kind].parse(text)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("lake", "./lake", "./lake"),
        ("lake", "file:///data/lake", "file:///data/lake"),
        ("lake", "s3://bucket", "s3://bucket"),
        ("lake", "s3://bucket/a/b/", "s3://bucket/a/b"),
        ("list", "sms, voice,", ("sms", "voice")),
        ("flag", "TRUE", True),
        ("flag", "0", False),
        ("float", "0.5", 0.5),
        ("address", "127.0.0.1:0", "127.0.0.1:0"),
    ],
)
def test_accepted(kind, text, value):
    """What a user would reasonably write is taken."""
    assert KINDS[kind].parse(text) == value
