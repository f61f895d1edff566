"""The commands `run` and `ingest`: flows as child processes here, or as jobs of a cluster.

It is over 300 lines because the order in which processes start, come back and end is to be read in one place.
"""

import logging
import secrets
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from types import FrameType
from typing import TYPE_CHECKING

from wgtwo_pipeline import extras
from wgtwo_pipeline.errors import PipelineError
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.run import cluster, works
from wgtwo_pipeline.run.children import Child
from wgtwo_pipeline.run.conditions import Conditions
from wgtwo_pipeline.run.config import Config
from wgtwo_pipeline.run.due import Erasing
from wgtwo_pipeline.run.figures import Figures
from wgtwo_pipeline.run.prepare import prepared
from wgtwo_pipeline.run.progress import Progress, total
from wgtwo_pipeline.sandbox.options import SandboxSettings
from wgtwo_pipeline.service.settings import Service

if TYPE_CHECKING:
    from wgtwo_pipeline.watch.server import Watch

_LOG = logging.getLogger(__name__)

_POLL_SECONDS = 0.1
_START_SECONDS = 120.0  # one that has ended is noticed at once, so only a busy machine takes long
_RESTART_SECONDS = (1.0, 30.0)
_HEALTHY_SECONDS = 60.0
_GIVE_UP_SECONDS = 10.0


def run(config: Config) -> int:
    """Ingest and publish together until stopped; without an endpoint, with a sandbox inside. Blocks.

    After a run with a sandbox, shows what the lake holds, and returns 1 where its audit finds a difference.
    """
    if config.service is None:
        extras.require("sandbox", "query")  # what it ends with, too, before it begins
    if config.catalog:
        extras.require("iceberg")
    config = prepared(config)
    with Supervisor(config) as supervisor:
        supervisor.start_watch()
        service = config.service or supervisor.start_sandbox()
        supervisor.start_publisher()
        supervisor.start_erasing()
        if config.catalog:
            supervisor.start_registrar()
        supervisor.start_members(service)
        supervisor.watch()
    if config.service is None:
        from wgtwo_pipeline.run import closing

        return closing.show(config)
    return 0


def ingest(config: Config) -> int:
    """Subscribes, journals and acks until stopped. Blocks; detached, only until a cluster runs the job."""
    config = prepared(config)
    assert config.service is not None, "cli.build demands an endpoint"
    if config.detach:
        sys.stdout.write(f"{cluster.submit(config, config.service, secrets.token_hex(4))}\n")
        return 0
    with Supervisor(config) as supervisor:
        supervisor.start_watch()
        supervisor.start_members(config.service)
        supervisor.watch()
    return 0


class Supervisor:
    """Starts child processes, restarts those that die, and ends them in the order in which events flow."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._sandbox: Child | None = None
        self._publisher: Child | None = None
        self._erasing: Erasing | None = None
        self._registrar: Child | None = None
        self._members: list[Child] = []
        self._ended = total(())  # what children counted that have been replaced
        self._published = 0
        self._service: Service | None = None
        self._stopping = False
        self._remote = cluster.is_remote(config)
        self._figures = Figures(config)
        self._watch: Watch | None = None
        self._job_suffix = secrets.token_hex(4)
        self._restarts: dict[str, tuple[float, float]] = {}  # name: when, and after how long a wait
        self._signals = {
            number: signal.signal(number, self._stop) for number in (signal.SIGINT, signal.SIGTERM)
        }

    def __enter__(self) -> "Supervisor":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            for child in self._children():
                child.stop()
            deadline = time.monotonic() + _GIVE_UP_SECONDS
            for child in self._children():
                child.join(max(0.0, deadline - time.monotonic()))
        for child in self._children():
            if child.running:
                child.kill()
        if self._watch:
            self._watch.close()
        for number, handler in self._signals.items():
            signal.signal(number, handler)

    def start_watch(self) -> None:
        """Shows figures and probes where `--metrics-address` says; ConfigurationError if it cannot."""
        if self._config.metrics_address is None:
            return
        from wgtwo_pipeline.watch.lake import LakeWatch  # most runs show nothing, and start sooner without
        from wgtwo_pipeline.watch.server import Watch

        lake = LakeWatch(open_store(self._config.lake), erases=self._config.erasing.every_seconds is not None)
        self._watch = Watch(self._config.metrics_address, self._figures, lake)

    def start_sandbox(self) -> Service:
        """Starts the embedded event service; returns where it listens."""
        settings = SandboxSettings(address=works.SANDBOX.target)
        self._sandbox = Child("sandbox", works.sandbox, self._config, settings)
        deadline = time.monotonic() + _START_SECONDS
        while "address" not in self._sandbox.poll():
            works.check(self._sandbox.facts)
            if time.monotonic() > deadline or not self._sandbox.running:
                raise PipelineError(
                    "the embedded sandbox did not start; try `wgtwo-pipeline sandbox` by itself"
                )
            time.sleep(_POLL_SECONDS)
        _LOG.info("the embedded sandbox makes up events; --endpoint HOST:PORT connects to a real service")
        return replace(works.SANDBOX, target=self._sandbox.facts["address"])

    def start_publisher(self) -> None:
        """Starts publishing, again and again."""
        self._publisher = Child("publisher", works.publish, self._config)

    def start_erasing(self) -> None:
        """Starts looking for revocations now and then, and obeying them."""
        self._erasing = Erasing(self._config, self._figures.ended)

    def start_registrar(self) -> None:
        """Starts keeping a catalog up with what is published. Whatever becomes of it, nothing else ends with it."""
        self._registrar = Child("registrar", works.register, self._config)

    def start_members(self, service: Service) -> None:
        """Starts a process for each stream: in one, the in-process runner would let them take turns.

        For a cluster, one process that submits all streams as one job.
        """
        from wgtwo_pipeline.events import api

        self._service = service
        if self._remote:
            self._members = [self._member(0)]
            return
        subscription = self._config.subscription
        streams = len(api.methods(subscription.api, subscription.types)) * subscription.members
        self._members = [self._member(index) for index in range(streams)]

    def watch(self) -> None:
        """Blocks until a signal or a condition of `Stopping`; then drains. Raises what made a child give up."""
        progress = Progress(publishes=self._publisher is not None, remote=self._remote)
        watch = Conditions(self._config.stopping)
        while not self._stopping:
            for child in self._children():
                child.poll()
            self._figures.turned(self._children(), len(self._members))
            counts = self._counts()
            progress.show(counts)
            self._restart_the_dead()
            if self._erasing:
                self._erasing.look()
            there = all(child.facts for child in self._members)
            listening = all(child.facts.get("streams") for child in self._members)
            busy = counts["oldest_unacked_seconds"] > 0 or not listening
            if watch.reached(counts["journaled"], counts["received"], busy, listening or self._remote, there):
                break
            time.sleep(_POLL_SECONDS)
        progress.end()
        self._figures.stopping()
        self._drain()

    def _drain(self) -> None:
        """What was received is journaled and acked; then it is published; then nobody needs the sandbox."""
        if self._remote:
            _LOG.info("stopping: cancelling the job; what it has not acked comes again to the next")
        else:
            verbs = "journaling, acking and publishing" if self._publisher else "journaling and acking"
            _LOG.info("stopping: %s what was received", verbs)
        # What a member that was killed had not acked comes again: only the publisher's work is still to be done.
        self._end([child for child in self._members if not self._was_killed(child)])
        if self._publisher and self._was_killed(self._publisher):
            self.start_publisher()
        self._end([child for child in (self._publisher,) if child])
        if self._erasing:
            self._erasing.end(
                once_more=self._sandbox is not None
            )  # so that the closing table shows what it does
        self._end_registrar()
        counts = self._counts()
        self._end([child for child in (self._sandbox,) if child])
        if self._remote:
            _LOG.info("stopped: journaled %d", int(counts["journaled"]))
            return
        _LOG.info(
            "stopped: received %d, journaled %d, acked %d, failed acks %d",
            *(int(counts[name]) for name in ("received", "journaled", "acked", "acks_failed")),
        )

    def _end(self, children: Sequence[Child]) -> None:
        for child in children:
            child.stop()
        for child in children:
            child.join()
            child.sweep()
            works.check(child.facts)
            if child.exit_code:
                raise PipelineError(
                    f"{child.name} ended with {child.exit_code} before its work was done; nothing acked is lost. "
                    "Start again to go on"
                )

    def _end_registrar(self) -> None:
        """What was published last is registered; if not, that is no failure of the run: the next one does it."""
        registrar = self._registrar
        if registrar is None:
            return
        registrar.stop()
        registrar.join()
        registrar.sweep()
        if registrar.exit_code:
            _LOG.error(
                "registrar ended with %s%s; register does the rest", registrar.exit_code, _said(registrar)
            )

    def _restart_the_dead(self) -> None:
        """A child that gave up ends everything; one that was killed is started again, ever less often."""
        for place, child in enumerate(self._members):
            if not child.running and self._may_restart(child):
                self._figures.replaced(child)
                self._members[place] = self._member(place)
                self._let_go(child)
        publisher = self._publisher
        if publisher and not publisher.running and self._may_restart(publisher):
            self._figures.replaced(publisher)
            self.start_publisher()
            publisher.close()
        registrar = self._registrar
        if registrar and not registrar.running and self._may_restart(registrar, ends_all=False):
            self._figures.replaced(registrar)
            self.start_registrar()
            registrar.close()
        if self._sandbox and not self._sandbox.running:
            raise PipelineError("the embedded sandbox died; start again, the lake is intact")

    def _let_go(self, child: Child) -> None:
        self._ended = {**total((self._ended, child.facts)), "oldest_unacked_seconds": 0.0}
        child.close()

    def _may_restart(self, child: Child, *, ends_all: bool = True) -> bool:
        child.poll()
        if ends_all:
            works.check(child.facts)
        at, wait = self._restarts.get(child.name, (0.0, _RESTART_SECONDS[0]))
        if not at:
            child.sweep()
            if child.age_seconds > _HEALTHY_SECONDS:
                wait = _RESTART_SECONDS[0]
            why = "" if ends_all else _said(child)
            _LOG.error(
                "%s ended with %s%s; starting it again in %.0f s", child.name, child.exit_code, why, wait
            )
            self._restarts[child.name] = (time.monotonic() + wait, wait)
            return False
        if time.monotonic() < at:
            return False
        self._restarts[child.name] = (0.0, min(wait * 2, _RESTART_SECONDS[1]))
        return True

    @staticmethod
    def _was_killed(child: Child) -> bool:
        return not child.running and (child.exit_code or 0) < 0

    def _member(self, index: int) -> Child:
        if self._remote:
            return Child("ingest-job", works.job, self._config, self._service, self._job_suffix)
        return Child(f"member-{index}", works.subscribe, self._config, self._service, index)

    def _children(self) -> list[Child]:
        erasing = self._erasing.children if self._erasing else ()
        others = (self._publisher, self._registrar, self._sandbox)
        return [*self._members, *(child for child in others if child), *erasing]

    def _counts(self) -> dict[str, float]:
        counts = total([self._ended, *(child.facts for child in self._members)])
        if self._publisher:  # a new one does not know it yet
            self._published = self._publisher.facts.get("published", self._published)
        counts["published"] = self._published
        return counts

    def _stop(self, number: int, _: FrameType | None) -> None:
        if self._stopping:  # the second time: at once
            for child in self._children():
                child.kill()
            raise KeyboardInterrupt
        self._stopping = True
        _LOG.info("%s: finishing what was received; once more to stop at once", signal.Signals(number).name)


def _said(child: Child) -> str:
    return f" ({child.facts['error']})" if "error" in child.facts else ""
