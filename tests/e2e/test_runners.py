"""The same command on Beam's local runners."""

import os
import signal
import time
from pathlib import Path

import pytest
from expected import assert_nothing_twice, assert_published
from patience import wait_until
from servers import tool


def options_of(runner: str) -> list[str]:
    if runner == "PrismRunner":
        return ["--runner=PrismRunner", f"--prism_location={tool('prism')}"]
    return [f"--runner={runner}"]


def test_the_direct_runner_downloads_nothing_and_alarms_nobody(service, run, tmp_path: Path):
    """Without Prism, named or by default: no look for a download, no warning, only the pipeline's own lines."""
    sandbox = service("--rate", 500, "--count", 200)
    proxy = "http://127.0.0.1:9"  # nobody listens: a download would fail
    environment = {"HTTP_PROXY": proxy, "HTTPS_PROXY": proxy, "http_proxy": proxy, "https_proxy": proxy}
    environment |= {"NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1", "HOME": str(tmp_path / "home")}
    process = run(sandbox, "--runner=DirectRunner", "--until-idle", "1500ms", env=environment).succeeds(60)
    assert_published(tmp_path / "lake", sandbox.emitted())
    alarming = r"WARN|ERROR|Traceback|[Pp]rism|[Dd]ownload|fall(ing)? ?back|apache_beam|root:"
    assert process.alarms(alarming) == []
    assert not (tmp_path / "home").exists(), "nothing was cached"


@pytest.mark.heavy
@pytest.mark.timeout(200)
def test_prism_ingests_and_publishes(service, run, tmp_path: Path):
    """On PrismRunner as on the in-process runner: every event once, 50 in flight, nothing left running."""
    sandbox = service("--rate", 500, "--count", 6_000, "--cut-streams", "3s")
    process = run(sandbox, *options_of("PrismRunner"), "--until-idle", "4s", "--publish-every", "2s")
    process.succeeds(120)
    group = sandbox.all_acked()
    assert group["acked"] == 6_000
    assert group["most_in_flight"] <= 50
    assert_published(tmp_path / "lake", sandbox.emitted())
    wait_until(lambda: not process.everything(), 5, "nothing is left", process.everything)


@pytest.mark.heavy
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_prism_is_stopped_within_ten_seconds_and_leaves_nothing_behind(service, run, tmp_path: Path, number):
    """A signal drains; `kill -9` of the parent ends all it had started, too; nothing is lost or twice."""
    lake = tmp_path / "lake"
    sandbox = service("--rate", 500)
    process = run(sandbox, *options_of("PrismRunner"), "--publish-every", "2s", "--ack-timeout", "3s")
    wait_until(lambda: sandbox.group().get("acked", 0) > 3_000, 90, "acks", lambda: process.stderr)
    stopped_at = time.monotonic()
    os.kill(process.pid, number)
    process.wait(10)
    assert process.process.returncode == (0 if number == signal.SIGTERM else -signal.SIGKILL)
    wait_until(lambda: not process.everything(), 10, "nothing is left", process.everything)
    assert time.monotonic() - stopped_at < 12
    assert assert_nothing_twice(lake) >= sandbox.group()["acked"]
    sandbox.set_rate(0)
    run(sandbox, "--until-idle", "4s", "--ack-timeout", "3s").succeeds(60)
    assert_published(lake, sandbox.emitted())
