"""A lake that can't be written stops the acks: events wait at the server, and nothing is lost when it is back."""

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from expected import assert_published
from patience import wait_until
from processes import Service

COUNT, RATE = 600, 300


class Outage:
    """One way in which the lake in `folder` can fail, and how it comes back. `says` is what the log must name."""

    says = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self) -> None:
        raise NotImplementedError

    def end(self) -> None:
        raise NotImplementedError


class Gone(Outage):
    """The folder is away: an unmounted disk."""

    says = "the folder does not exist: mount its disk, or create it"

    def begin(self) -> None:
        self.folder.rename(self.folder.with_name("away"))

    def end(self) -> None:
        self.folder.with_name("away").rename(self.folder)


class NoFolder(Outage):
    """Something that is no folder is in its place."""

    says = "a part of the path is not a folder: name another with --lake"

    def begin(self) -> None:
        self.folder.rename(self.folder.with_name("away"))
        self.folder.touch()

    def end(self) -> None:
        self.folder.unlink()
        self.folder.with_name("away").rename(self.folder)


class ReadOnly(Outage):
    """Its file system is mounted read-only, which stops root, too."""

    says = "its file system is mounted read-only: remount it writable"

    def begin(self) -> None:
        subprocess.run(["mount", "-o", "remount,ro", self.folder], check=True)

    def end(self) -> None:
        subprocess.run(["mount", "-o", "remount,rw", self.folder], check=True)


class Full(Outage):
    """No byte is left on its disk."""

    says = "its disk is full: free space"

    def begin(self) -> None:
        """Fills it, again and again: what publishing has just deleted would make room for one segment more."""
        ends = time.monotonic() + 2
        with (self.folder / "filler").open("ab", buffering=0) as filler:
            while time.monotonic() < ends:
                with contextlib.suppress(OSError):
                    while True:
                        filler.write(bytes(4096))
                time.sleep(0.02)

    def end(self) -> None:
        (self.folder / "filler").unlink()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own at `tmp_path / "lake"`."""
    folder = tmp_path / "lake"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("mounting a file system needs root; the folder that is gone shows the same way")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "lake"


def acked_while_offered_again(sandbox: Service) -> int | None:
    """How many are acked, if that is as many after 50 in flight have been offered again as it was before."""
    wait_until(lambda: sandbox.group()["unacked"] == 50, 20, "50 events in flight")
    before = sandbox.group()
    wait_until(lambda: sandbox.group()["redelivered"] >= before["redelivered"] + 50, 20, "redeliveries")
    acked: int = sandbox.group()["acked"]
    return acked if acked == before["acked"] else None


@pytest.mark.parametrize(
    ("outage", "place"),
    [
        pytest.param(Gone, "folder", id="gone"),
        pytest.param(NoFolder, "folder", id="no folder", marks=pytest.mark.heavy),
        pytest.param(ReadOnly, "disk", id="read-only", marks=pytest.mark.heavy),
        pytest.param(Full, "disk", id="full", marks=pytest.mark.heavy),
    ],
)
def test_events_wait_at_the_server_while_the_lake_cannot_be_written(service, run, request, outage, place):
    """Acks stop, the error says what to do, publishing waits, all goes on when the lake is back; nothing is lost."""
    lake: Path = request.getfixturevalue(place)
    sandbox = service("--rate", RATE)  # without end: however quick or slow this machine is, some are left
    process = run(sandbox, "--until-idle", "2s", "--publish-every", "500ms", "--ack-timeout", "2s")
    wait_until(lambda: sandbox.group().get("acked", 0) > 100, 60, "acks", lambda: process.stderr)
    fault = outage(lake)
    fault.begin()
    try:
        process.says(f"nothing is acked, the lake can't be written.*{fault.says}", 10)
        # Acks that were under way may still come; then 50 events are in flight and none is acked.
        stuck = wait_until(lambda: acked_while_offered_again(sandbox), 60, "nothing is acked")
        sandbox.set_rate(0)
        # The ack timeout is over once more: the server offers them again, and still nobody acks.
        assert acked_while_offered_again(sandbox) == stuck
        assert process.running
    finally:
        fault.end()
    process.says("the lake can be written again", 20)
    process.succeeds(60)
    events = sandbox.emitted()
    assert sandbox.all_acked()["acked"] == len(events)
    assert_published(lake, events)


@pytest.mark.heavy
def test_an_outage_longer_than_a_runner_may_be_quiet(service, run, tmp_path):
    """A member that waits for the lake is not taken for abandoned, and goes on with the stream it had."""
    sandbox = service("--rate", RATE, "--count", COUNT)
    process = run(sandbox, "--until-idle", "2s", "--publish-every", "500ms", "--ack-timeout", "2s")
    wait_until(lambda: sandbox.group().get("acked", 0) > 100, 60, "acks", lambda: process.stderr)
    outage = Gone(tmp_path / "lake")
    outage.begin()
    process.says(r"can't be written \(try 8\)", 20)
    time.sleep(8)
    outage.end()
    process.succeeds(60)
    assert "no longer asks" not in process.stderr
    assert process.stderr.count("subscribing to") == 1
    assert sandbox.all_acked()["acked"] == COUNT
    assert_published(tmp_path / "lake", sandbox.emitted())


@pytest.mark.heavy
def test_stopping_while_the_lake_is_gone_fails_within_ten_seconds_and_loses_nothing(service, run, tmp_path):
    """What can't be journaled is not acked: exit 1 with the reason, and the next run gets it from the server."""
    sandbox = service("--rate", RATE, "--count", 600)
    process = run(sandbox, "--publish-every", "500ms", "--ack-timeout", "3s")
    wait_until(lambda: sandbox.group().get("acked", 0) > 100, 60, "acks", lambda: process.stderr)
    outage = Gone(tmp_path / "lake")
    outage.begin()
    process.says("nothing is acked", 10)
    process.send(signal.SIGTERM)
    assert process.wait(10) == 1
    assert Gone.says in process.stderr.splitlines()[-1]
    assert "Traceback" not in process.stderr
    outage.end()
    run(sandbox, "--until-idle", "4s", "--ack-timeout", "3s").succeeds(60)
    assert sandbox.all_acked()
    assert_published(tmp_path / "lake", sandbox.emitted())


@pytest.mark.parametrize("place", ["/proc/lake", "{}/a-file"])
def test_a_lake_that_can_never_be_written_is_refused_before_any_event_is_taken(
    service, command, tmp_path, place
):
    """Exit 1 at once, one line that names the lake, and the server never saw a subscriber."""
    (tmp_path / "a-file").touch()
    lake = place.format(tmp_path)
    sandbox = service("--rate", 100)
    process = command("run", "--endpoint", sandbox.address, "--plaintext", "--lake", lake)
    assert process.wait(30) == 1
    assert f"lake {lake}" in process.stderr
    assert "Traceback" not in process.stderr
    assert sandbox.group() == {}
