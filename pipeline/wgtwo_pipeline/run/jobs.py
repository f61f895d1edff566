"""Starts the flows on Beam's runners."""

import logging
import re
import secrets
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
)

from wgtwo_pipeline import errors, flows
from wgtwo_pipeline.erase.rooms import EraseSettings
from wgtwo_pipeline.errors import ConfigurationError, JobError, LakeError, PipelineError, ServiceError
from wgtwo_pipeline.events import api
from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.lake import epochs, history
from wgtwo_pipeline.lake.manifest import Manifest, Parameters
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.publish import shelf
from wgtwo_pipeline.publish.helper import Helper
from wgtwo_pipeline.publish.rooms import PublishSettings
from wgtwo_pipeline.run import memory, runners
from wgtwo_pipeline.run.config import Config
from wgtwo_pipeline.service.settings import Service

_LOG = logging.getLogger(__name__)

_IN_PROCESS = "FnApiRunner"


class _FlinkOptions(PipelineOptions):
    """What Flink's job server takes and Beam's Python SDK does not know."""

    @classmethod
    def _add_argparse_args(cls, parser: Any) -> None:
        # None is not sent, to whatever runner it is.
        parser.add_argument("--finish_bundle_before_checkpointing", action="store_true", default=None)


def options(config: Config, *, streaming: bool) -> PipelineOptions:
    """Beam's options for a flow; ConfigurationError where its runner cannot do that, or would download something."""
    checked = chosen(config, streaming=streaming)
    runners.check(config.command, str(checked.view_as(StandardOptions).runner), checked.get_all_options())
    return checked


def chosen(config: Config, *, streaming: bool) -> PipelineOptions:
    """Beam's options as they were given.

    Beam's DirectRunner would first try to download Prism, and fall back to its in-process runner with alarming
    words; this names the in-process runner itself, unless a Prism is at hand.
    """
    found = PipelineOptions(list(config.beam_args), streaming=streaming)
    standard = found.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        has_prism = found.get_all_options().get("prism_location")
        standard.runner = "PrismRunner" if has_prism else _IN_PROCESS
    return found


def is_local(config: Config) -> bool:
    """Whether the flows run on this machine, in processes that this one starts."""
    return chosen(config, streaming=False).view_as(StandardOptions).runner in (
        *StandardOptions.LOCAL_RUNNERS,
        _IN_PROCESS,
    )


def in_one_process(given: PipelineOptions) -> bool:
    """Whether all of a flow runs in the process that starts it."""
    runs_as: str = given.view_as(DirectOptions).direct_running_mode
    runner: str = given.view_as(StandardOptions).runner
    return runner == _IN_PROCESS and runs_as != "multi_processing"


def members(config: Config) -> tuple[Member, ...]:
    """Every stream to keep open: each method of the API, `--subscriptions` times."""
    subscription = config.subscription
    name = quote(subscription.durable_name or subscription.queue_name or "regular", safe="")
    return tuple(
        Member(
            method,
            f"{method.api}.{name}" if method.api == "v0" else f"{method.api}.{method.name}.{name}",
            index,
        )
        for method in api.methods(subscription.api, subscription.types)
        for index in range(subscription.members)
    )


def job_name(config: Config, suffix: str) -> str:
    """What a cluster calls the ingest job: `--job_name` or our own, and a suffix."""
    return f"{chosen(config, streaming=True).get_all_options()['job_name'] or 'wgtwo-ingest'}-{suffix}"


def flink_master(config: Config) -> str | None:
    """The address of Flink's REST API, where one is named: job servers know one without telling."""
    master = str(chosen(config, streaming=False).get_all_options()["flink_master"]).strip()
    if master.startswith("["):
        return None
    return master if "://" in master else f"http://{master}"


def ingest(config: Config, service: Service, of: Sequence[Member]) -> Any:
    """Runs the ingest flow for some members; blocks until it ends, which it does only when asked to."""
    pipeline = beam.Pipeline(options=options(config, streaming=True))
    flows.ingest(pipeline, _ingest_settings(config, service), of)
    return _finish(pipeline)


def submit(config: Config, service: Service, name: str) -> Any:
    """Starts the ingest flow with all members as a job of a cluster; returns Beam's result while it runs."""
    named = options(config, streaming=True)
    named.view_as(GoogleCloudOptions).job_name = name  # every runner's, in spite of the class
    if named.view_as(StandardOptions).runner in ("FlinkRunner", "PortableRunner"):
        # Else Flink keeps what a bundle puts out during a checkpoint until the next bundle begins. After the
        # bundle of the first element there is none: with a checkpoint in it the job would never begin (BEAM-10558).
        named.view_as(_FlinkOptions).finish_bundle_before_checkpointing = True
    pipeline = beam.Pipeline(options=named)
    branches(pipeline, config, service)
    return pipeline.run()


def branches(root: Any, config: Config, service: Service) -> None:
    """The ingest flow of every member, each in a branch: in one, a runner may let members take turns of a bundle."""
    settings = _ingest_settings(config, service)
    for number, member in enumerate(members(config), 1):
        _ = root | f"Member {number}" >> _Branch(settings, member)


class _Branch(beam.PTransform):
    """The ingest flow of one member."""

    def __init__(self, settings: IngestSettings, member: Member) -> None:
        super().__init__()
        self._settings, self._member = settings, member

    def expand(self, root: Any) -> Any:
        return flows.ingest(root, self._settings, [self._member])


def _ingest_settings(config: Config, service: Service) -> IngestSettings:
    return IngestSettings(
        service=replace(service, transport=config.transport),
        lake=config.lake,
        terms=config.subscription.terms,
        start=config.subscription.start,
        linger_seconds=config.subscription.linger_seconds,
        history_seconds=config.subscription.history_seconds,
    )


class Publisher:
    """Publishes what the journal holds, with a helper if there is one; keeps what is worth keeping between runs."""

    def __init__(self, config: Config, helper: Helper | None = None) -> None:
        self._config, self._store, self._helper = config, open_store(config.lake), helper
        self._has_run = False
        self._settings = PublishSettings(
            lake=config.lake,
            writer=secrets.token_hex(4),
            parameters=Parameters(
                "", partition_by="hour" if config.publishing.partition_by == "hour" else "date"
            ),
            limits=epochs.Limits(),
            retention_seconds=config.publishing.journal_retention_seconds,
            suppress_seconds=config.erasing.suppress_seconds,
        )
        self._enough = epochs.Enough(config.publishing.publish_every_seconds)

    def publish_due(self) -> Iterator[Manifest]:
        """Publishes epoch after epoch while what waits is worth one; yields each manifest."""
        return self._publish_while(lambda past: epochs.due(self._store, past, self._enough))

    def publish_all(self) -> Iterator[Manifest]:
        """Publishes epoch after epoch until nothing waits that was there at the start; yields each manifest.

        What comes meanwhile is left to the next time, so that epochs do not get small.
        """
        started_at = datetime.now(UTC)
        suppress_for = timedelta(seconds=self._settings.suppress_seconds)
        has_published = False
        for manifest in self._publish_while(
            lambda past: epochs.waiting(self._store, past, started_at, suppress_for)
        ):
            has_published = True
            yield manifest
        # Else committing has seen to it: a copy that came late must not stay until then.
        if not has_published:
            retention = timedelta(seconds=self._settings.retention_seconds)
            epochs.expire(self._store, history.load(self._store), retention)

    def _publish_while(self, goes_on: Callable[[history.History], bool]) -> Iterator[Manifest]:
        past = history.load(self._store)
        while goes_on(past):
            given = options(self._config, streaming=False)
            with shelf.shelf(self._helper) if in_one_process(given) else nullcontext() as on:
                pipeline = beam.Pipeline(options=given)
                flows.publish(pipeline, replace(self._settings, shelf=on))
                self._run(pipeline)
            now = history.load(self._store, past)
            if now.committed == past.committed:
                raise LakeError(
                    f"epoch {past.committed + 1} was not committed although its job ended; see the runner's log"
                )
            # A checkpoint that has come since stands for them.
            known = now.base == past.base
            new = now.manifests if known else history.manifests(self._store, past.committed)
            yield from (manifest for manifest in new if manifest.epoch > past.committed)
            past = now

    def _run(self, pipeline: beam.Pipeline) -> None:
        if self._has_run:
            memory.release()
        self._has_run = True
        try:
            _finish(pipeline)
        except Exception as error:
            if is_local(self._config):
                raise
            why = error if isinstance(error, PipelineError) else f"{type(error).__name__}: {error}"
            raise JobError(f"the job that publishes failed: {why}") from error


def erase(config: Config, settings: EraseSettings) -> None:
    """Runs the erase flow for one erasure; blocks until its receipt is durable."""
    pipeline = beam.Pipeline(options=options(config, streaming=False))
    flows.erase(pipeline, settings)
    _finish(pipeline)


def _finish(pipeline: beam.Pipeline) -> Any:
    handler = signal.getsignal(signal.SIGINT)
    result = pipeline.run()
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, handler)  # Prism's starter takes it over
    try:
        result.wait_until_finish()
    except Exception as error:
        raise ours(error) from error
    return result


def ours(error: Exception) -> Exception:
    """The error of ours that a runner in other processes has made text of, if it is one; else as it is."""
    found = re.findall(r"wgtwo_pipeline\.errors\.(\w+): (.*)", str(error))
    if isinstance(error, PipelineError) or not found:
        return error
    name, message = found[-1]
    kind = getattr(errors, name, PipelineError)
    for known in (LakeError, ServiceError, ConfigurationError):
        if issubclass(kind, known):
            return known(message)
    return PipelineError(message)
