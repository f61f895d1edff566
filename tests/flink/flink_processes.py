"""The processes that a Flink cluster is made of: what they are given, how they are started, awaited and stopped."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

from java_modules import JAVA_MODULES
from reporter import class_path, reporter_settings

START_SECONDS = 60.0
STOP_SECONDS = 10.0

LOG4J = """rootLogger.level = INFO
rootLogger.appenderRef.console.ref = console
appender.console.name = console
appender.console.type = Console
appender.console.target = SYSTEM_ERR
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{HH:mm:ss.SSS} %-5p %c{1} %m%n
"""


def configuration(folder: Path, slots: int, rpc: int, rest: int, metrics: Sequence[int]) -> str:
    """Return what Flink's `config.yaml` says."""
    # JSON is YAML. Memory is stated in full, since no start script works it out here.
    settings = {
        "jobmanager.rpc.address": "127.0.0.1",
        "jobmanager.rpc.port": rpc,
        "jobmanager.bind-host": "127.0.0.1",
        "rest.address": "127.0.0.1",
        "rest.port": rest,
        "rest.bind-address": "127.0.0.1",
        "taskmanager.host": "127.0.0.1",
        "taskmanager.bind-host": "127.0.0.1",
        "taskmanager.numberOfTaskSlots": slots,
        "taskmanager.cpu.cores": slots,
        "taskmanager.memory.framework.heap.size": "128m",
        "taskmanager.memory.framework.off-heap.size": "128m",
        "taskmanager.memory.task.heap.size": "512m",
        "taskmanager.memory.task.off-heap.size": "64m",
        "taskmanager.memory.managed.size": "128m",
        # Each subtask of a batch job that ships something takes 16 MiB of it.
        "taskmanager.memory.network.min": "128m",
        "taskmanager.memory.network.max": "128m",
        "taskmanager.memory.jvm-metaspace.size": "256m",
        "taskmanager.memory.jvm-overhead.min": "192m",
        "taskmanager.memory.jvm-overhead.max": "192m",
        "parallelism.default": 1,
        "heartbeat.interval": 1000,
        "heartbeat.timeout": 10000,
        "restart-strategy.type": "fixed-delay",
        "restart-strategy.fixed-delay.attempts": 1000000,
        # Long enough that whoever polls the state of a job sees it RESTARTING.
        "restart-strategy.fixed-delay.delay": "5 s",
        "state.checkpoints.dir": (folder / "checkpoints").absolute().as_uri(),
        "io.tmp.dirs": str((folder / "tmp").absolute()),
        "blob.storage.directory": str((folder / "blobs").absolute()),
        # Beam is on every class path: loading it anew from each job's copy would fill the metaspace job by job.
        "classloader.resolve-order": "parent-first",
        **reporter_settings(metrics),
    }
    return json.dumps(settings, indent=1)


def start_job_manager(folder: Path, home: Path) -> subprocess.Popen[bytes]:
    """Start a JobManager of a session: it takes jobs."""
    main = "flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    return start_java(folder, home, "job-manager", 512, main, "--configDir", str(folder))


def start_application(
    folder: Path, home: Path, driver: str, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start a JobManager of application mode: `driver` is a command line that submits its one job."""
    main = "flink.container.entrypoint.StandaloneApplicationClusterEntryPoint"
    entry = "org.apache.beam.runners.flink.FlinkPortableClientEntryPoint"
    arguments = ["--configDir", str(folder), "--job-classname", entry, "--driver-cmd", driver]
    return start_java(folder, home, "application", 512, main, *arguments, environment=environment)


def start_java(
    folder: Path,
    home: Path,
    name: str,
    heap_mebibytes: int,
    main: str,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a class with all jars of `home`."""
    log4j = f"-Dlog4j.configurationFile={folder / 'log4j2.properties'}"
    java = ["java", f"-Xmx{heap_mebibytes}m", "-XX:+UseSerialGC", log4j, *JAVA_MODULES]
    command = [*java, "-cp", class_path(home), f"org.apache.{main}", *arguments]
    return _start(folder, name, command, environment or {})


def start_worker_pool(
    folder: Path, port: int, import_from: Path, environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    """Start Beam's worker pool, whose workers can import what lies in `import_from`."""
    # It never reads its workers' stdout: one that printed more than 64 KiB there would block for ever.
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    return _start(folder, "worker-pool", command, {**environment, "PYTHONPATH": str(import_from)})


def _start(
    folder: Path, name: str, command: Sequence[str], environment: Mapping[str, str]
) -> subprocess.Popen[bytes]:
    # Workers and drivers are started as `python` and the like: this interpreter must be the first on the PATH.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    # A session of its own, so that the workers that the pool starts can be stopped with it.
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            env={**os.environ, "PATH": path, **environment},
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process and all that it has started, and wait for its end."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with suppress(ProcessLookupError):  # what it started and left behind
        os.killpg(process.pid, signal.SIGKILL)


def wait(ready: Callable[[], bool], what: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    """Return once it is ready; RuntimeError if the process ends or START_SECONDS pass before."""
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(
                f"waiting for {what}: its process exited {process.returncode}, see the logs in {folder}"
            )
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {START_SECONDS:.0f} s for {what}: see the logs in {folder}")
        time.sleep(0.1)


def answers(url: str) -> bool:
    """Whether a GET succeeds there."""
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def listens(port: int) -> bool:
    """Whether somebody takes connections there."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_ports(count: int) -> list[int]:
    """Return so many ports that nobody has."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
