"""A real Flink cluster on loopback for tests, each of its parts a process of its own.

They are a JobManager, TaskManagers, Beam's job server and Beam's Python worker pool. `python tests/flink/cluster.py`
starts a cluster, says how to submit to it, and stops it on SIGINT.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flink_processes import (
    LOG4J,
    answers,
    configuration,
    free_ports,
    listens,
    start_application,
    start_java,
    start_job_manager,
    start_worker_pool,
    stop,
    wait,
)
from install import install, with_job_server

ENDED = ("FINISHED", "CANCELED", "FAILED")


@dataclass
class FlinkCluster:
    """A running cluster. `folder` holds its configuration, checkpoints and the log of each process.

    `slots` are those of one TaskManager.
    """

    folder: Path
    home: Path
    slots: int
    rest_url: str
    job_endpoint: str
    worker_endpoint: str
    job_manager: subprocess.Popen[bytes]
    worker_pool: subprocess.Popen[bytes]
    metrics_ports: list[int]
    task_managers: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _started: int = 0

    def options(self, *more: str) -> list[str]:
        """Return the pipeline options that submit to this cluster, followed by `more`."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint={self.job_endpoint}",
            "--environment_type=EXTERNAL",
            f"--environment_config={self.worker_endpoint}",
            *more,
        ]

    def flink_options(self, *more: str) -> list[str]:
        """Return the options that users name, who want a stop to reach Flink; followed by `more`."""
        master = self.rest_url.removeprefix("http://")
        return [*self.options()[1:], "--runner=FlinkRunner", f"--flink_master={master}", *more]

    def jobs(self) -> dict[str, str]:
        """Return the state of every job (RUNNING, RESTARTING, FINISHED, CANCELED, FAILED, …) by its id."""
        return {job["id"]: job["status"] for job in self.rest("/jobs")["jobs"]}

    def running(self) -> list[str]:
        """Return every job that has not ended."""
        return [job for job, state in self.jobs().items() if state not in ENDED]

    def newest_job(self) -> str:
        """Return the job that began last."""
        return str(max(self.rest("/jobs/overview")["jobs"], key=lambda job: int(job["start-time"]))["jid"])

    def subtasks(self, job: str, room: str) -> list[list[tuple[str, int]]]:
        """Return, for each vertex of a job whose name has `room` in it, what TaskManager each subtask is in.

        With it how many records that subtask has read so far, as far as it is known.
        """
        vertices = [each for each in self.rest(f"/jobs/{job}")["vertices"] if room in each["name"]]
        found = [self.rest(f"/jobs/{job}/vertices/{each['id']}")["subtasks"] for each in vertices]
        return [
            [(task["taskmanager-id"], task["metrics"]["read-records"]) for task in tasks] for tasks in found
        ]

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

    def python_workers(self) -> list[int]:
        """Return the process ids of all that the worker pool has started and that live."""
        tasks = Path(f"/proc/{self.worker_pool.pid}/task").glob("*/children")  # it starts them in threads
        return [int(worker) for children in tasks for worker in children.read_text().split()]

    def kill_python_workers(self) -> int:
        """Kill -9 every process that the worker pool has started; returns how many there were."""
        workers = self.python_workers()
        for worker in workers:
            os.kill(worker, signal.SIGKILL)
        return len(workers)

    def kill_job_manager(self) -> None:
        """Kill -9 the JobManager: it knows no job any more when `start_job_manager` has started another."""
        self.job_manager.kill()
        self.job_manager.wait()

    def start_job_manager(self) -> None:
        """Start a JobManager at the same address and return once every TaskManager has registered with it."""
        self.job_manager = start_job_manager(self.folder, self.home)
        self._wait_for_task_managers()

    def start_application(self, driver: str, environment: Mapping[str, str]) -> None:
        """Start a JobManager of application mode, where the killed one was.

        It runs `driver`, a command line, which submits the one job; it needs no other job server.
        """
        self.job_manager = start_application(self.folder, self.home, driver, environment)
        self._wait_for_task_managers()

    def _wait_for_task_managers(self) -> None:
        wait(
            lambda: answers(self.rest_url + "/overview") and self._offering() >= set(self.task_managers),
            "the JobManager and its TaskManagers",
            self.job_manager,
            self.folder,
        )

    def kill_task_manager(self, job: str) -> None:
        """Kill -9 a TaskManager that works for a job, which goes to RESTARTING until slots suffice again."""
        (at_work, _), *_ = self.subtasks(job, "")[0]
        killed = self.task_managers.pop(at_work)
        killed.kill()
        killed.wait()

    def start_task_manager(self) -> str:
        """Start a TaskManager and return its id once its slots are offered."""
        self._started += 1
        name = f"task-manager-{self._started}"
        main = "flink.runtime.taskexecutor.TaskManagerRunner"
        settings = ["--configDir", str(self.folder), f"-Dtaskmanager.resource-id={name}"]
        self.task_managers[name] = start_java(self.folder, self.home, name, 1024, main, *settings)
        wait(
            lambda: name in self._offering(),
            "the TaskManager to offer its slots",
            self.task_managers[name],
            self.folder,
        )
        return name

    def _offering(self) -> set[str]:
        """The TaskManagers whose slots are known: whether they are free is a question of the jobs."""
        found = self.rest("/taskmanagers")["taskmanagers"]
        return {each["id"] for each in found if each["slotsNumber"] == self.slots}

    @contextmanager
    def another_task_manager(self) -> Iterator[None]:
        """Have one TaskManager more while the context lasts. Any may be killed and another started in between."""
        before = len(self.task_managers)
        self.start_task_manager()
        try:
            yield
        finally:
            while len(self.task_managers) > before:
                stop(self.task_managers.popitem()[1])


@contextmanager
def flink_cluster(
    folder: Path,
    slots: int = 2,
    import_from: Path = Path(__file__).parent,
    environment: Mapping[str, str] | None = None,
    job_server: Path | None = None,
) -> Iterator[FlinkCluster]:
    """Install what is missing, run a cluster while the context lasts, and stop all of its processes at the end.

    Blocks until it takes jobs; it has one TaskManager then. `folder` must be empty or absent; logs stay in it.
    Workers can import what is installed and what lies in `import_from`, and find `environment` in theirs.
    `job_server` is the jar of another version of Beam's, for the same Flink.
    """
    folder.mkdir(parents=True, exist_ok=True)
    home = install() if job_server is None else with_job_server(job_server, install(), folder / "jars")
    rpc, rest, job, artifact, worker, *metrics = free_ports(9)
    (folder / "config.yaml").write_text(configuration(folder, slots, rpc, rest, metrics))
    (folder / "log4j2.properties").write_text(LOG4J)
    rest_url = f"http://127.0.0.1:{rest}"
    with ExitStack() as running:
        manager = start_job_manager(folder, home)
        ports = [f"--job-port={job}", f"--artifact-port={artifact}", "--expansion-port=-1"]
        places = [
            f"--flink-master=127.0.0.1:{rest}",
            "--job-host=127.0.0.1",
            f"--artifacts-dir={folder}/artifacts",
        ]
        main = "beam.runners.flink.FlinkJobServerDriver"
        server = start_java(folder, home, "job-server", 512, main, *places, *ports)
        running.callback(stop, server)
        pool = start_worker_pool(folder, worker, import_from, environment or {})
        running.callback(stop, pool)

        jobs_at, workers_at = (f"127.0.0.1:{port}" for port in (job, worker))
        cluster = FlinkCluster(folder, home, slots, rest_url, jobs_at, workers_at, manager, pool, metrics)
        running.callback(lambda: stop(cluster.job_manager))  # whichever is the last one then
        running.callback(lambda: [stop(each) for each in cluster.task_managers.values()])
        wait(lambda: answers(rest_url + "/overview"), "the JobManager", manager, folder)
        cluster.start_task_manager()
        wait(lambda: listens(job), "Beam's job server", server, folder)
        wait(lambda: listens(worker), "the Python worker pool", pool, folder)
        yield cluster


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
