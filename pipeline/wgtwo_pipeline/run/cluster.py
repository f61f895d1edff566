"""Ingest as one streaming job of a cluster: submitted, watched and cancelled from here.

The job needs nobody who watches it: who does reads its progress from the lake. Flink is asked through its REST
API where its address is known, since Beam's own `cancel()` leaves a Flink job running.
"""

import logging
import re
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import requests

from wgtwo_pipeline.errors import ConfigurationError, LakeError, PipelineError
from wgtwo_pipeline.lake import history, journal
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation, Store
from wgtwo_pipeline.run.children import Lifeline
from wgtwo_pipeline.run.config import Config
from wgtwo_pipeline.service.settings import Service

_LOG = logging.getLogger(__name__)

_LOCAL: Final = ("DirectRunner", "PrismRunner")
_ENDED: Final = ("FINISHED", "DONE", "FAILED", "CANCELED", "CANCELLED", "DRAINED", "UPDATED")
_POLL_SECONDS, _LISTING_SHARE = 1.0, 0.05
_SUBMIT_SECONDS, _CANCEL_SECONDS = 180.0, 60.0


def is_remote(config: Config) -> bool:
    """Whether the flows run as jobs of a cluster. Takes seconds for runners other than the two local ones."""
    runners = [each.partition("=")[2] for each in config.beam_args if each.startswith("--runner=")]
    if all(runner in _LOCAL for runner in runners):
        return False
    from wgtwo_pipeline.run import jobs

    return not jobs.is_local(config)


def prepared(config: Config) -> Config:
    """The configuration as a cluster's workers need it; ConfigurationError for what cannot work there."""
    from wgtwo_pipeline.run import jobs

    chosen = jobs.options(config, streaming=False).get_all_options()
    runner = str(chosen["runner"])
    if config.command == "run" and config.service is None:
        raise ConfigurationError(
            f"run needs --endpoint HOST:PORT with --runner={runner}: no worker would reach a sandbox in here"
        )
    return replace(config, lake=_seen_by_workers(config.lake))


def _seen_by_workers(lake: LakeLocation) -> LakeLocation:
    if "://" in lake.url:
        return lake
    path = open_store(lake).uri("")
    _LOG.warning("the lake %s is a folder: every worker of the cluster must see the same one there", path)
    return replace(lake, url=path)


def ingest(config: Config, lifeline: Lifeline, service: Service, suffix: str) -> None:
    """Runs the ingest flow with all members as one job, until asked to stop; then cancels it.

    What the job had received and not acked by then comes again, to whoever subscribes next. `suffix` makes the
    job's name its own: where it runs already (this process was killed and started again), it is taken over.
    Raises PipelineError if the job ends by itself.
    """
    progress = _Journaled(open_store(config.lake))
    job = _job(config, service, suffix)
    next_look_at, told = 0.0, ""
    while not lifeline.stopping.wait(_POLL_SECONDS):
        state, why = job.state()
        if state != told and state:
            told = state
            _LOG.log(
                logging.WARNING if why else logging.INFO,
                "the job %s is %s%s",
                job.name,
                state,
                why and f": {why}",
            )
        if state in _ENDED:
            raise PipelineError(
                f"the job {job.name} has ended: {state}{why and f': {why}'}; start it again to go on"
            )
        if time.monotonic() > next_look_at:
            started = time.monotonic()
            lifeline.report(**progress.look())
            next_look_at = started + (time.monotonic() - started) / _LISTING_SHARE
    job.cancel()
    lifeline.report(**progress.look())


def submit(config: Config, service: Service, suffix: str) -> str:
    """Starts the ingest flow with all members as one job, which needs nobody from then on; returns its id.

    Flink's, once it runs there; else Beam's. Raises PipelineError if it does not start.
    """
    return _job(config, service, suffix).identity


class _Journaled:
    """How many deliveries came into the lake since the first look, whoever wrote them."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._past: history.History | None = None
        self._writers: set[str] = set()
        self._most = 0
        self._connected = False
        self._before, self._known = self._count(), frozenset(self._writers)

    def look(self) -> dict[str, int]:
        """Facts for a parent: `streams` as soon as a member has written something, were it a heartbeat."""
        try:
            journaled = self._count() - self._before
        except LakeError as error:
            _LOG.warning("no progress can be shown: %s", error)
            journaled = self._most
        # What is published between the two looks of a count is missing in it, until the next.
        self._most = max(self._most, journaled)
        self._connected = self._connected or self._most > 0 or bool(self._writers - self._known)
        return {"received": self._most, "journaled": self._most, "streams": int(self._connected)}

    def _count(self) -> int:
        self._past = history.load(self._store, self._past)
        names = [journal.SegmentName.parse(info.key) for info in history.backlog(self._store, self._past)]
        self._writers = {name.writer for name in names}
        return self._past.totals.received + sum(name.rows for name in names)


def _job(config: Config, service: Service, suffix: str) -> "_FlinkJob | _BeamJob":
    from wgtwo_pipeline.run import jobs

    name = jobs.job_name(config, suffix)
    master = jobs.flink_master(config)
    if master is None:
        _LOG.warning(
            "the job is only known to Beam; if Flink runs it, name --flink_master, or a stop may leave it running"
        )
        return _BeamJob(name, jobs.submit(config, service, name))
    flink = Flink(master)
    found = flink.find(name)
    if found:
        _LOG.info("the job %s runs already", name)
        return _FlinkJob(name, flink, found)
    result = jobs.submit(config, service, name)
    deadline = time.monotonic() + _SUBMIT_SECONDS
    while not (found := flink.find(name)):
        state, why = _BeamJob(name, result).state()
        if state in _ENDED or time.monotonic() > deadline:
            raise PipelineError(f"Flink at {flink.url} has not started the job {name}: {why or state}")
        time.sleep(0.5)
    _LOG.info("submitted the job %s to %s, which calls it %s", name, flink.url, found)
    return _FlinkJob(name, flink, found)


class Flink:
    """Flink's REST API."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def find(self, name: str) -> str | None:
        """The id of the job of this name that has not ended."""
        for job in self.call("/jobs/overview")["jobs"]:
            if job["name"] == name and job["state"] not in _ENDED:
                return str(job["jid"])
        return None

    def version(self) -> str:
        """Of the cluster, such as 1.19.3; PipelineError where there is no answer, or another server's."""
        try:
            return str(self.call("/config")["flink-version"])
        except (KeyError, TypeError) as error:
            raise self._odd(error) from None

    def call(self, path: str, method: str = "GET") -> Any:
        """The decoded answer; PipelineError where there is none."""
        try:
            answer = requests.request(method, self.url + path, timeout=10)
            answer.raise_for_status()
            return answer.json() if answer.content else None
        except (requests.RequestException, ValueError) as error:
            raise self._odd(error) from None

    def _odd(self, error: Exception) -> PipelineError:
        return PipelineError(
            f"Flink's REST API at {self.url} does not answer as it should ({type(error).__name__}): "
            "check --flink_master"
        )


class _FlinkJob:
    """A job that Flink is asked about."""

    def __init__(self, name: str, flink: Flink, job: str) -> None:
        self.name, self.identity = name, job
        self._flink, self._job = flink, job

    def state(self) -> tuple[str, str]:
        """Flink's word for it, and why, if it does not go well; nothing while Flink does not answer."""
        try:
            state = str(self._flink.call(f"/jobs/{self._job}")["state"])
            if state in ("RESTARTING", "FAILING", "FAILED"):
                return state, _reason(self._flink.call(f"/jobs/{self._job}/exceptions?maxExceptions=1"))
        except PipelineError as error:
            _LOG.debug("%s", error)
            return "", ""
        return state, ""

    def cancel(self) -> None:
        """Returns when the job has ended."""
        _wait_for_end(self.state, self._ask, f"{self.name} ({self._job} at {self._flink.url})")

    def _ask(self) -> None:
        self._flink.call(f"/jobs/{self._job}?mode=cancel", "PATCH")


class _BeamJob:
    """A job that is only known through Beam."""

    def __init__(self, name: str, result: Any) -> None:
        self.name, self._result = name, result
        self.identity = str(getattr(result, "_job_id", name))  # what every portable runner's has

    def state(self) -> tuple[str, str]:
        """Beam's word for it; nothing while the job server does not answer."""
        try:
            return str(self._result.state), ""
        except Exception as error:  # whatever a runner's client raises
            _LOG.debug("%s", error)
            return "", ""

    def cancel(self) -> None:
        """Returns when the job has ended, as far as Beam knows: it says so of a Flink job that goes on."""
        _wait_for_end(self.state, self._result.cancel, self.name)


def _wait_for_end(state: Callable[[], tuple[str, str]], ask: Callable[[], Any], job: str) -> None:
    deadline = time.monotonic() + _CANCEL_SECONDS
    problem: object = None
    while (now := state()[0]) not in _ENDED:
        if time.monotonic() > deadline:
            raise PipelineError(
                f"the job {job} is still {now or 'unreachable'} after it was cancelled: end it there ({problem})"
            )
        try:
            ask()
        except Exception as error:  # whatever a runner's client raises
            problem = error
        time.sleep(0.5)


def _reason(exceptions: Any) -> str:
    """The one line of a Java stack that says what happened, our own error if there is one."""
    entries = (exceptions.get("exceptionHistory") or {}).get("entries") or []
    text = str(entries[0].get("stacktrace", "")) if entries else str(exceptions.get("root-exception") or "")
    ours = re.findall(r"^wgtwo_pipeline\.errors\.\w+: (.*)$", text, re.MULTILINE)
    return str(ours[-1]) if ours else text.partition("\n")[0][:300]
