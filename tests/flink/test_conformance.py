"""One scenario on each runner, and the matrix of what each has kept; docs/cluster.md shows what this prints."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cluster import FlinkCluster
from e2e.expected import assert_published
from patience import wait_until
from processes import Command, Service
from servers import tool

# The session's first test also waits for downloads, on a machine that has nothing yet.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(700)]

DOCUMENT = Path(__file__).parents[2] / "docs" / "cluster.md"
KEPT = "✓"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
NO_DOWNLOAD = dict.fromkeys(PROXIES, "http://127.0.0.1:9")  # nobody listens there
NO_DOWNLOAD |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1,localhost")


@dataclass
class Runner:
    """A column of the matrix, and what the scenario must know of it."""

    name: str
    options: Sequence[str]
    kill_workers: Callable[[Command], None]
    erase_options: Sequence[str] = ()
    slots_of_erase: Callable[[], str] = str
    cancels: bool = False
    """Whether SIGTERM cancels what it was given; what had come by then may have been acked just before, or not."""


@dataclass
class Stage:
    """What the scenario plays on: a lake and a service of its own, and commands that could not download anything."""

    folder: Path
    sandbox: Service
    start: Callable[..., Command]

    @property
    def lake(self) -> Path:
        return self.folder / "lake"

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def command(self, name: str, *arguments: object) -> Command:
        environment = {**NO_DOWNLOAD, "HOME": str(self.home)}
        return self.start(name, "--lake", self.lake, *arguments, env=environment)

    def figures(self, name: str, *arguments: object) -> Any:
        """What a command says as JSON, in a line or as a whole."""
        said = self.command(name, "--json", *arguments).succeeds(180).stdout
        return json.JSONDecoder().raw_decode(said)[0]


def conform(runner: Runner, stage: Stage) -> dict[str, str]:
    """What the runner keeps, by promise; fails where it keeps less than every runner must."""
    sandbox, kept = stage.sandbox, {}
    connection = ("--endpoint", sandbox.address, "--plaintext", *runner.options)

    # What comes slowly lingers in memory: a stop has something to drain.
    run = stage.command("run", *connection, "--subscriptions", 2, "--linger", "7s", "--publish-every", "2s")

    def delivered() -> dict[int, int]:
        assert run.running, run.stderr
        return {member["number"]: member["delivered"] for member in sandbox.group().get("members", [])}

    def goes_on(after: str) -> None:
        """Each of two members gets more, side by side, and acks come."""
        wait_until(lambda: len(delivered()) == 2, 120, f"members {after}", lambda: run.stderr)
        before, acked = delivered(), sandbox.group()["acked"]
        wait_until(
            lambda: all(now > before.get(member, 0) + 200 for member, now in delivered().items()),
            60,
            f"both members get events {after}",
            sandbox.group,
        )
        wait_until(lambda: sandbox.group()["acked"] > acked + 200, 60, f"acks {after}", sandbox.group)

    goes_on("at the start")
    kept["a member's share does not wait for another's"] = KEPT

    acked = sandbox.group()["acked"]  # asked before: it must be there by now
    status = stage.figures("status")
    assert status["received"] + status["journal"]["deliveries"] >= acked
    kept["acked only when durable"] = KEPT

    wait_until(lambda: list(stage.lake.glob("epochs/*/manifest.json")), 90, "an epoch", lambda: run.stderr)
    kept["published while events come"] = KEPT

    runner.kill_workers(run)
    goes_on("after kill -9 of the workers")
    kept["goes on after kill -9 of the workers"] = KEPT
    assert sandbox.group()["most_in_flight"] <= 100
    kept["no more than `--max-in-flight` unacked"] = KEPT

    sandbox.set_rate(5)
    wait_until(lambda: sandbox.group()["unacked"] > 3, 60, "something lingers", sandbox.group)
    sandbox.set_rate(0)
    wait_until(lambda: not sandbox.group()["backlog"], 60, "all is delivered", sandbox.group)
    run.send(signal.SIGTERM)
    wait_until(lambda: not sandbox.group()["members"], 30, "the streams are closed", sandbox.group)
    run.succeeds(120)
    kept["SIGTERM: streams closed, the rest published, exit 0"] = KEPT
    left = sandbox.group()["unacked"] + sandbox.group()["waiting"]
    assert runner.cancels or not left
    drained = "a cancel: it comes again" if runner.cancels else KEPT
    kept["SIGTERM: what was received is journaled and acked"] = drained

    again = stage.command("run", *connection, "--until-idle", "4s", "--publish-every", "2s")
    again.succeeds(180)
    sandbox.all_acked()
    assert_published(stage.lake, sandbox.emitted())
    kept["every event in the tables once"] = KEPT

    receipt = stage.figures("erase", "--country", "47", *runner.options, *runner.erase_options)
    audited = stage.figures("audit", "--deep")
    assert sum(receipt["erased"].values()) > 0
    assert (audited["passed"], audited["erased"]) == (True, sum(receipt["erased"].values()))
    kept["erased, and the audit counts the same"] = f"{KEPT}{runner.slots_of_erase()}"

    assert not stage.home.exists(), "nothing was cached"
    kept["nothing is downloaded"] = KEPT
    return kept


def local(name: str, *options: str) -> Runner:
    """A runner whose workers are processes of the command."""

    def kill_workers(run: Command) -> None:
        for child in run.children():
            os.kill(child, signal.SIGKILL)

    return Runner(name, options, kill_workers)


def on_flink(flink: FlinkCluster) -> Runner:
    """The cluster, of two TaskManagers with two slots each."""

    def slots_of_erase() -> str:
        job = flink.newest_job()
        assert flink.jobs()[job] == "FINISHED"
        (looking,) = flink.subtasks(job, "Look")
        assert sum(records > 0 for _, records in looking) > 1, looking
        places = {place for place, _ in looking}
        return f" (in {len(looking)} slots of {len(places)} TaskManagers)"

    return Runner(
        "Flink",
        flink.flink_options(),
        lambda _: assert_positive(flink.kill_python_workers()),
        ["--parallelism=4"],
        slots_of_erase,
        cancels=True,
    )


def assert_positive(killed: int) -> None:
    assert killed > 0


@pytest.fixture
def two_task_managers(flink: FlinkCluster) -> Iterator[FlinkCluster]:
    with flink.another_task_manager():
        yield flink


def matrix(columns: dict[str, dict[str, str]]) -> str:
    """In Markdown: a line for each promise, a column for each runner."""
    promises = next(iter(columns.values()))
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[promise, *(kept[promise] for kept in columns.values())] for promise in promises]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).replace("|  |", "| |")


def test_every_runner_keeps_what_the_document_says(
    two_task_managers: FlinkCluster,
    service: Callable[..., Service],
    command: Callable[..., Command],
    tmp_path: Path,
) -> None:
    """Two members, kill -9 of the workers, SIGTERM, the rest from nothing, an erasure: the same on each runner."""
    prism = f"--prism_location={tool('prism')}"
    runners = [
        local("in process (default)"),
        local("Prism", "--runner=PrismRunner", prism),
        on_flink(two_task_managers),
    ]
    columns = {
        runner.name: conform(runner, Stage(tmp_path / str(number), service("--rate", 300), command))
        for number, runner in enumerate(runners)
    }
    found = matrix(columns)
    sys.stdout.write(f"\n{found}")
    assert not two_task_managers.running(), "no job is left"
    assert found in DOCUMENT.read_text(), f"docs/cluster.md should show:\n\n{found}"
