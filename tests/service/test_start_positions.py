"""Every start position of the contract, by the command line: what the service was asked for, and what then came.

Each run joins under a durable name of its own, for which the service holds no position.
"""

import json
import time
from collections import Counter
from datetime import UTC, datetime

import pytest
from witness import Stand, assert_each_once

pytestmark = pytest.mark.heavy

TYPE = {"v0": "sms", "v1": "handset_change"}
TABLE = {"v0": "sms", "v1": "handset_change_v1"}


@pytest.fixture(scope="module")
def stand(tmp_path_factory):
    """300 events of each API, then none; an hour of sandbox time would bring no more."""
    service = Stand(
        tmp_path_factory.mktemp("stand"), "--rate", 150, "--count", 300, "--types", "sms,handset_change_v1"
    )
    deadline = time.monotonic() + 30
    while not service.state()["exhausted"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    yield service
    service.command.end()


@pytest.mark.parametrize(
    ("api", "start", "wanted"),
    [
        ("v0", "oldest", 300),
        ("v0", "new", 0),
        ("v0", "last", 1),
        ("v0", "201", 100),
        ("v0", "middle", 150),
        ("v0", "-1h", 300),
        ("v0", "-2s", None),
        ("v1", "oldest", 300),
        ("v1", "new", 0),
        ("v1", "201", 100),
        ("v1", "middle", 150),
        ("v1", "-1h", 300),
    ],
)
def test_each_start_position(stand, command, lake, api, start, wanted):
    """The service hands out events from exactly there, and they are what is stored."""
    events = [event for event in stand.all_events() if event["type"] == TABLE[api]]
    name = f"{api}{start}"
    if start == "middle":
        moment = datetime.fromtimestamp(events[150]["timestamp_us"] / 1e6, UTC)
        start = moment.isoformat().replace("+00:00", "Z")
    command(
        *("run", "--api", api, "--endpoint", stand.address, "--plaintext", "--types", TYPE[api]),
        *("--durable-name", name, f"--start={start}", "--lake", lake, "--until-idle", "1500ms"),
    ).succeeds(60)
    (group,) = (
        group
        for group in stand.groups()
        if name in json.dumps(group["name"]) and TABLE[api] in group["starts"]
    )
    if wanted is None:  # seconds ago, all events are older
        wanted = 0
    assert group["starts"][TABLE[api]] == 301 - wanted
    assert group["acked"] == wanted
    if wanted:
        assert_each_once(Counter((e["type"], e["timestamp_us"]) for e in events[300 - wanted :]), lake)
    else:
        assert not list(lake.glob("tables/*/*/*.parquet"))
