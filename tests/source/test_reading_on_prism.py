"""The sources on Prism: windows of event time close with what SQL says, while ingest runs in the same graph."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import lakes
import pytest
import reading_graph
from patience import wait_until
from reading_graph import BOTH, closed
from servers import tool

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(300)]

WINDOWS = 20


@pytest.fixture
def graph(tmp_path):
    """`graph(lake, …)` starts the graph on Prism, with what it starts in a session of its own."""
    started = []

    def start(lake, *options):
        runner = ("--runner=PrismRunner", f"--prism_location={tool('prism')}")
        command = [sys.executable, reading_graph.__file__, tmp_path, lake, "6", *options, *runner]
        with (tmp_path / "graph.log").open("w") as log:
            started.append(subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True))
        return started[-1]

    yield start
    for each in started:
        _kill(each)


def _kill(process):
    """With Prism, which it has started, and whatever became of it."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def test_windows_close_with_what_sql_says_while_the_graph_subscribes_as_well(
    graph, service, store, tmp_path: Path
):
    """Exactly once from the table, at least once and nothing missing from the journal; streams are cut meanwhile."""
    sandbox = service("--rate", 200, "--cut-streams", "5s", "--duplicate-deliveries", 0.01)
    process = graph(store.location.url, "--endpoint", sandbox.address)
    published_at = 0.0

    def enough():
        nonlocal published_at
        if time.monotonic() > published_at + 2:
            lakes.publish(store)
            published_at = time.monotonic()
        assert process.poll() is None, (tmp_path / "graph.log").read_text()[-5000:]
        return min(len(closed(tmp_path, name)) for name in BOTH) > WINDOWS

    wait_until(
        enough, 200, "windows close", lambda: (tmp_path / "graph.log").read_text()[-5000:], pause_seconds=0.2
    )
    _kill(process)
    lakes.publish(store)
    assert sandbox.group()["acked"] > 0
    reading_graph.assert_equal_to_sql(tmp_path, Path(store.location.url), WINDOWS)
    came = reading_graph.events(tmp_path, "lake")
    assert len(came) == len(set(came)), "no row twice"
