"""An outage that the service's history covers costs nothing; a longer one is recorded as a gap, with its bounds.

Nobody waits 45 minutes: the sandbox's clock is moved on, and the pipeline comes back with one as far ahead.
"""

import json
import os
import signal
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from patience import wait_until
from witness import ask, assert_each_once, audited, published

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(200)]

HISTORY = timedelta(minutes=30)
OVERLAP = timedelta(seconds=2 * 30 + 80)
"""Twice the ack timeout: what came so long before the end may have been received and not journaled."""
MARGIN = timedelta(seconds=10)
"""Heartbeats, polls and what a busy machine takes to notice."""
TYPES = {"v0": "voice,sms,token_audit", "v1": "handset_change_v1,country_change_v1"}
STREAMS = {
    "v0": {"v0.wgtwo-pipeline"},
    "v1": {
        "v1.StreamHandsetChangeEvents.wgtwo-pipeline",
        "v1.StreamCountryChangeEvents.wgtwo-pipeline",
        "v1.StreamConsentChangeEvents.wgtwo-pipeline",  # consent is always subscribed to
    },
}


class Outage:
    """A pipeline that stores events, is stopped, comes back some minutes later, and catches up."""

    def __init__(self, sandbox, command, lake, api: str, position: str) -> None:
        self.api, self.lake, self._command = api, lake, command
        self.service = sandbox("--rate", 50, "--types", TYPES[api], "--position", position)

    def last(self, minutes: int) -> None:
        """Events come all the time, also meanwhile."""
        process = self._start(0)
        wait_until(self._caught_up, 60, "the pipeline keeps up", lambda: process.stderr)
        time.sleep(6)  # until a stream on which nothing comes has left word in the journal
        process.send(signal.SIGTERM)
        process.succeeds(30)
        self.stopped_at = datetime.now(UTC)
        groups = self._groups()
        for _ in range(minutes):
            self.service.post("/clock", advance_seconds=60)
            time.sleep(0.1)
        self.position_kept = self._groups() == groups
        ahead = self.service.now_ahead_seconds()
        process = self._start(ahead)
        wait_until(self._connected, 60, "the pipeline is back", lambda: process.stderr)
        self.back_at = datetime.now(UTC) + timedelta(seconds=ahead)
        # After 5 s it notes that a stream lives on which nothing came.
        wait_until(lambda: process.says("subscribing") and self._caught_up(), 60, "it keeps up")
        streams = len(STREAMS[self.api])
        wait_until(
            lambda: process.stderr.count("subscribing") >= streams, 60, "all streams", lambda: process.stderr
        )
        time.sleep(6)  # a stream counts as connected when it has lasted for 5 s
        self.service.set_rate(0)
        wait_until(self._caught_up, 60, "the rest", lambda: process.stderr)
        process.send(signal.SIGTERM)
        process.succeeds(30)
        self.log = process.stderr

    def gaps(self) -> list[tuple[str, datetime, datetime]]:
        """As `status` tells them."""
        found = json.loads(ask("status", "--json", "--lake", self.lake))["gaps"]
        return [
            (gap["subscription"], datetime.fromisoformat(gap["from"]), datetime.fromisoformat(gap["to"]))
            for gap in found
        ]

    def _start(self, ahead_seconds: float):
        path = os.pathsep.join(filter(None, [_SHIFTED_CLOCK, os.environ.get("PYTHONPATH")]))
        return self._command(
            *("run", "--api", self.api, "--endpoint", self.service.address, "--plaintext"),
            *("--types", TYPES[self.api], "--lake", self.lake, "--publish-every", "2s"),
            env={"PYTHONPATH": path, "CLOCK_AHEAD_SECONDS": str(ahead_seconds)},
        )

    def _groups(self) -> list[int]:
        return [group["number"] for group in self.service.groups()]

    def _connected(self) -> bool:
        groups = self.service.groups()
        return len(groups) >= len(STREAMS[self.api]) and all(group["members"] for group in groups)

    def _caught_up(self) -> bool:
        groups = self.service.groups()
        return self._connected() and not any(group["backlog"] or group["unacked"] > 20 for group in groups)


_SHIFTED_CLOCK = str(Path(__file__).parent / "shifted_clock")


@pytest.mark.parametrize(("api", "position"), [("v0", "60m"), ("v0", "10m"), ("v1", "60m"), ("v1", "10m")])
def test_twenty_minutes_lose_nothing(sandbox, command, lake, api, position):
    """With the position kept and with it expired: the start position overlaps what was journaled last."""
    outage = Outage(sandbox, command, lake, api, position)
    outage.last(20)
    assert outage.position_kept is (position == "60m")
    assert_each_once(outage.service.identities(api), lake)
    audited(lake)
    assert outage.gaps() == []


@pytest.mark.parametrize(("api", "position"), [("v0", "60m"), ("v0", "30m"), ("v1", "60m")])
def test_forty_five_minutes_are_a_gap_with_the_right_bounds(sandbox, command, lake, api, position):
    """From when it was last connected, or a little before, to 30 minutes before it came back; the rest is there.

    v0 keeps a position for an hour, v1 for half of that: one case each of a position kept and two of one expired.
    """
    outage = Outage(sandbox, command, lake, api, position)
    outage.last(45)
    assert outage.position_kept is (api == "v0" and position == "60m")
    found = outage.gaps()
    assert sorted(subscription for subscription, _, _ in found) == sorted(STREAMS[api])
    for _, start, end in found:
        assert outage.stopped_at - OVERLAP - MARGIN < start < outage.stopped_at
        assert abs(end - (outage.back_at - HISTORY)) < MARGIN

    emitted, stored = outage.service.identities(api), published(lake)
    assert not stored - emitted
    assert max(stored.values()) == 1
    lost = [datetime.fromtimestamp(time_us / 1e6, UTC) for _, time_us in emitted - stored]
    assert len(lost) > 30, "the service's history covered it: this run shows nothing"
    assert min(start for _, start, _ in found) < min(lost)
    assert max(lost) < max(end for _, _, end in found) + MARGIN

    audited(lake)
    assert len(json.loads(ask("audit", "--json", "--lake", lake))["gaps"]) == len(found)
    for command_name in ("status", "audit"):
        lines = [line for line in ask(command_name, "--lake", lake).splitlines() if line.startswith("GAP")]
        assert all(any(subscription in line for line in lines) for subscription in STREAMS[api])
    assert outage.log.count("GAP") == len(found)
