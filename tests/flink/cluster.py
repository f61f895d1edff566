"""A real Flink cluster on loopback for tests, each of its parts a process of its own.

They are a JobManager, a TaskManager, Beam's job server and Beam's Python worker pool. `python tests/flink/cluster.py`
starts a cluster, says how to submit to it, and stops it on SIGINT.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from install import install
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


@dataclass
class FlinkCluster:
    """A running cluster. `folder` holds its configuration, checkpoints and the log of each process."""

    folder: Path
    home: Path
    slots: int
    rest_url: str
    job_endpoint: str
    worker_endpoint: str
    job_manager: subprocess.Popen[bytes]
    worker_pool: subprocess.Popen[bytes]
    task_manager: subprocess.Popen[bytes]
    metrics_ports: list[int]

    def options(self, *more: str) -> list[str]:
        """Return the pipeline options that submit to this cluster, followed by `more`."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint={self.job_endpoint}",
            "--environment_type=EXTERNAL",
            f"--environment_config={self.worker_endpoint}",
            *more,
        ]

    def jobs(self) -> dict[str, str]:
        """Return the state of every job (RUNNING, RESTARTING, FINISHED, CANCELED, FAILED, …) by its id."""
        return {job["id"]: job["status"] for job in self.rest("/jobs")["jobs"]}

    def cancel(self, job: str) -> None:
        """Ask for a job's end and return at once; `jobs()` tells when it is CANCELED.

        Beam's own `cancel()` would leave it running.
        """
        self.rest(f"/jobs/{job}?mode=cancel", method="PATCH")

    def rest(self, path: str, method: str = "GET") -> Any:
        """Call Flink's REST API and return the decoded answer."""
        request = urllib.request.Request(self.rest_url + path, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read() or b"null")

    def kill_task_manager(self) -> None:
        """Kill -9 the only TaskManager: jobs go to RESTARTING until `start_task_manager`."""
        self.task_manager.kill()
        self.task_manager.wait()

    def kill_python_workers(self) -> int:
        """Kill -9 every process that the worker pool has started; returns how many there were."""
        tasks = Path(f"/proc/{self.worker_pool.pid}/task").glob("*/children")  # it starts them in threads
        workers = [int(worker) for children in tasks for worker in children.read_text().split()]
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        return len(workers)

    def kill_job_manager(self) -> None:
        """Kill -9 the JobManager: it knows no job any more when `start_job_manager` has started another."""
        self.job_manager.kill()
        self.job_manager.wait()

    def start_job_manager(self) -> None:
        """Start a JobManager at the same address and return once the TaskManager has registered with it."""
        self.job_manager = _start_job_manager(self.folder, self.home)
        _wait(
            lambda: (
                _answers(self.rest_url + "/overview")
                and self.rest("/overview")["slots-available"] == self.slots
            ),
            "the JobManager and its TaskManager",
            self.job_manager,
            self.folder,
        )

    def start_task_manager(self) -> None:
        """Start a TaskManager and return once its slots are offered."""
        main = "flink.runtime.taskexecutor.TaskManagerRunner"
        self.task_manager = _start_java(
            self.folder, self.home, "task-manager", 1024, main, "--configDir", str(self.folder)
        )
        _wait(
            lambda: self.rest("/overview")["slots-available"] == self.slots,
            "the TaskManager to offer its slots",
            self.task_manager,
            self.folder,
        )


@contextmanager
def flink_cluster(
    folder: Path, slots: int = 2, import_from: Path = Path(__file__).parent
) -> Iterator[FlinkCluster]:
    """Install what is missing, run a cluster while the context lasts, and stop all of its processes at the end.

    Blocks until it takes jobs. `folder` must be empty or absent; logs stay in it. Workers can import what is
    installed and what lies in `import_from`.
    """
    home = install()
    folder.mkdir(parents=True, exist_ok=True)
    rpc, rest, job, artifact, worker, *metrics = _free_ports(8)
    (folder / "config.yaml").write_text(_configuration(folder, slots, rpc, rest, metrics))
    (folder / "log4j2.properties").write_text(LOG4J)
    rest_url = f"http://127.0.0.1:{rest}"
    with ExitStack() as running:
        manager = _start_job_manager(folder, home)
        ports = [f"--job-port={job}", f"--artifact-port={artifact}", "--expansion-port=-1"]
        places = [
            f"--flink-master=127.0.0.1:{rest}",
            "--job-host=127.0.0.1",
            f"--artifacts-dir={folder}/artifacts",
        ]
        main = "beam.runners.flink.FlinkJobServerDriver"
        server = _start_java(folder, home, "job-server", 512, main, *places, *ports)
        running.callback(_stop, server)
        pool = _start_worker_pool(folder, worker, import_from)
        running.callback(_stop, pool)

        _wait(lambda: _answers(rest_url + "/overview"), "the JobManager", manager, folder)
        jobs_at, workers_at = (f"127.0.0.1:{port}" for port in (job, worker))
        cluster = FlinkCluster(
            folder, home, slots, rest_url, jobs_at, workers_at, manager, pool, manager, metrics
        )
        running.callback(lambda: _stop(cluster.job_manager))  # whichever is the last one then
        running.callback(lambda: _stop(cluster.task_manager))  # whichever is the last one then
        cluster.start_task_manager()
        _wait(lambda: _listens(job), "Beam's job server", server, folder)
        _wait(lambda: _listens(worker), "the Python worker pool", pool, folder)
        yield cluster


def _configuration(folder: Path, slots: int, rpc: int, rest: int, metrics: Sequence[int]) -> str:
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
        "taskmanager.memory.network.min": "64m",
        "taskmanager.memory.network.max": "64m",
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


def _start_job_manager(folder: Path, home: Path) -> subprocess.Popen[bytes]:
    main = "flink.runtime.entrypoint.StandaloneSessionClusterEntrypoint"
    return _start_java(folder, home, "job-manager", 512, main, "--configDir", str(folder))


def _start_java(
    folder: Path, home: Path, name: str, heap_mebibytes: int, main: str, *arguments: str
) -> subprocess.Popen[bytes]:
    log4j = f"-Dlog4j.configurationFile={folder / 'log4j2.properties'}"
    java = ["java", f"-Xmx{heap_mebibytes}m", "-XX:+UseSerialGC", log4j, *JAVA_MODULES]
    return _start(folder, name, [*java, "-cp", class_path(home), f"org.apache.{main}", *arguments])


def _start_worker_pool(folder: Path, port: int, import_from: Path) -> subprocess.Popen[bytes]:
    # The pool starts its workers as `python`: this interpreter must be the first on its PATH. It never reads their
    # stdout: a worker that printed more than 64 KiB there would block for ever.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    command = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={port}"]
    return _start(
        folder, "worker-pool", command, {**os.environ, "PATH": path, "PYTHONPATH": str(import_from)}
    )


def _start(
    folder: Path, name: str, command: Sequence[str], environment: dict[str, str] | None = None
) -> subprocess.Popen[bytes]:
    # A session of its own, so that the workers that the pool starts can be stopped with it.
    with (folder / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True, env=environment
        )


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    with suppress(ProcessLookupError):  # what it started and left behind
        os.killpg(process.pid, signal.SIGKILL)


def _wait(ready: Callable[[], bool], what: str, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not ready():
        if process.poll() is not None:
            raise RuntimeError(
                f"waiting for {what}: its process exited {process.returncode}, see the logs in {folder}"
            )
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited {START_SECONDS:.0f} s for {what}: see the logs in {folder}")
        time.sleep(0.1)


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5):
            return True
    except (urllib.error.URLError, OSError):
        return False


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _free_ports(count: int) -> list[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def main() -> None:
    """Run a cluster until SIGINT."""
    with tempfile.TemporaryDirectory() as folder, flink_cluster(Path(folder)) as cluster:
        sys.stdout.write(f"Flink's page: {cluster.rest_url}   logs: {folder}\n")
        sys.stdout.write(f"submit with: {' '.join(cluster.options())}\n")
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            signal.pause()


if __name__ == "__main__":
    main()
