"""Containers: little memory, a read-only root, signals to process 1."""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from patience import wait_until
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline import machine as this_machine
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_to_write
from wgtwo_pipeline.lake.store import LakeLocation

MEMORY_BYTES = 512 << 20
EVENTS, SEGMENT = 400_000, 5_000


@pytest.fixture
def small(machine):
    """A machine in a control group of 512 MiB, with a process killed by the kernel beyond it."""
    version_2 = (
        Path("/sys/fs/cgroup/cgroup.controllers").exists() and not Path("/sys/fs/cgroup/memory").is_dir()
    )
    root = Path("/sys/fs/cgroup") if version_2 else Path("/sys/fs/cgroup/memory")
    group = root / f"wgtwo-{os.getpid()}-{time.monotonic_ns()}"
    try:
        group.mkdir()
        (group / ("memory.max" if version_2 else "memory.limit_in_bytes")).write_text(str(MEMORY_BYTES))
    except OSError as error:
        pytest.fail(f"no control group can be made here ({error}): run this set where one can")
    plain = machine.command
    machine.command = lambda command: [
        "sh",
        "-c",
        f'echo $$ > {group}/cgroup.procs; exec "$@"',
        "sh",
        *plain(command),
    ]
    yield machine
    wait_until(lambda: not (group / "cgroup.procs").read_text(), 30, "the group is empty")
    group.rmdir()


@pytest.fixture(scope="module")
def backlog(tmp_path_factory):
    """A lake with 400,000 text messages of about 250 bytes, journaled and not yet published."""
    folder = tmp_path_factory.mktemp("small") / "lake"
    store = open_to_write(LakeLocation(str(folder)))
    writer, source = SegmentWriter(store), Source("v0.x", "v0", "Subscribe")
    now = int(datetime.now(UTC).timestamp())
    for start in range(0, EVENTS, SEGMENT):
        payloads = []
        for number in range(start, start + SEGMENT):
            response = v0.SubscribeEventsResponse()
            event = response.event
            event.metadata.sequence, event.timestamp.seconds = number + 1, now - number % 3600
            event.sms_event.id, event.sms_event.text = f"{number * 7919:032x}", f"{number * 104729:0160x}"
            payloads.append(response.SerializeToString())
        writer.write(source, payloads, [now * 1_000_000] * len(payloads))
    return folder


def test_publish_and_query_in_a_small_container(small, backlog, showed):
    """With 512 MiB, publishing a large backlog and a query that sorts it all finish, by spilling."""
    for command in (
        ["publish"],
        ["query", "SELECT count(DISTINCT text) AS n, max(id) FROM sms"],
        ["query", "SELECT * FROM sms ORDER BY text", "--format", "csv", "--output", "sorted.csv"],
        ["status"],
        ["audit"],
    ):
        ended = small.run(*command, "--lake", backlog, timeout=600)
        assert ended.returncode == 0, (command, ended.returncode, ended.stderr)
    lines = sum(1 for _ in (small.folder / "sorted.csv").open())
    assert lines == EVENTS + 1
    showed(f"published and sorted {EVENTS:,} events, exit 0")


def test_the_container_s_memory_counts(tmp_path, showed):
    """The limit is the group's or a parent's, whichever is lowest, in both versions; the machine's without one."""
    machines = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    own = tmp_path / "cgroup"
    own.write_text("0::/a/b\n")
    assert this_machine.memory_bytes(tmp_path / "none", own) == machines
    (tmp_path / "v2" / "a" / "b").mkdir(parents=True)
    (tmp_path / "v2" / "a" / "memory.max").write_text("1000\n")
    (tmp_path / "v2" / "a" / "b" / "memory.max").write_text("max\n")
    assert this_machine.memory_bytes(tmp_path / "v2", own) == 1000
    own.write_text("4:memory:/x\n0::/\n")
    (tmp_path / "v1" / "memory" / "x").mkdir(parents=True)
    (tmp_path / "v1" / "memory" / "x" / "memory.limit_in_bytes").write_text("2000\n")
    assert this_machine.memory_bytes(tmp_path / "v1", own) == 2000
    showed("1000, 2000, the machine's")


def test_the_container_s_cores_count(tmp_path, showed):
    """A quota of the group's or a parent's, in both versions; those it is bound to where there is none."""
    bound = len(os.sched_getaffinity(0))
    own = tmp_path / "cgroup"
    own.write_text("0::/a/b\n")
    assert this_machine.cores(tmp_path / "none", own) == bound
    (tmp_path / "v2" / "a" / "b").mkdir(parents=True)
    (tmp_path / "v2" / "a" / "cpu.max").write_text("50000 100000\n")
    (tmp_path / "v2" / "a" / "b" / "cpu.max").write_text("max 100000\n")
    assert this_machine.cores(tmp_path / "v2", own) == 0.5
    own.write_text("4:cpu,cpuacct:/x\n0::/\n")
    (tmp_path / "v1" / "cpu" / "x").mkdir(parents=True)
    quota = tmp_path / "v1" / "cpu" / "x" / "cpu.cfs_quota_us"
    quota.with_name("cpu.cfs_period_us").write_text("100000\n")
    quota.write_text("25000\n")
    assert this_machine.cores(tmp_path / "v1", own) == 0.25
    quota.write_text("-1\n")
    assert this_machine.cores(tmp_path / "v1", own) == bound
    showed("0.5, 0.25, those it is bound to")


@pytest.mark.usefixtures("namespaces")
def test_a_read_only_root(machine, tmp_path, showed):
    """With a read-only root and a tmpfs for the lake and for temporary files, a run ends with a passed audit."""
    who = [] if os.geteuid() == 0 else ["--map-root-user"]
    script = (
        "set -e; mount -o remount,bind,ro / 2>/dev/null || { mount --bind / /; mount -o remount,bind,ro /; };"
        f' mount -t tmpfs none "{tmp_path}"; cd "{tmp_path}"; ! touch /usr/written 2>/dev/null; '
        'exec "$@" run --for 3s --lake lake'
    )
    command = ["unshare", *who, "--mount", "sh", "-c", script, "sh", sys.executable, "-m", "wgtwo_pipeline"]
    environment = {**machine.variables(), "HOME": "/nonexistent", "TMPDIR": str(tmp_path)}
    ended = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=100)
    assert ended.returncode == 0, ended.stderr
    assert "passed" in ended.stdout.lower(), ended.stdout
    showed("exit 0, audit passed, nothing written elsewhere")


@pytest.mark.usefixtures("namespaces")
def test_sigterm_as_process_1(machine, service, tmp_path, showed):
    """As PID 1, which gets no default action of signals, SIGTERM stops gracefully with exit code 0."""
    sandbox = service("--rate", 20)
    arguments = ["run", "--endpoint", sandbox.address, "--plaintext", "--lake", tmp_path / "lake"]
    who = [] if os.geteuid() == 0 else ["--map-root-user"]
    command = ["unshare", *who, "--pid", "--fork", "--mount-proc", "--kill-child"]
    command += [sys.executable, "-m", "wgtwo_pipeline", *map(str, arguments)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, env=machine.variables(), stderr=log, stdout=log)
    try:
        wait_until(lambda: sandbox.group().get("acked", 0) > 20, 60, "events are acked")
        (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(child), signal.SIGTERM)
        assert process.wait(60) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert "failed acks 0" in last
    showed(last)
