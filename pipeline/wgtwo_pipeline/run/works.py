"""What the child processes of `run` and `ingest` do."""

import asyncio
import logging
from typing import Any

from wgtwo_pipeline.errors import JobError, LakeError, PipelineError
from wgtwo_pipeline.lake import history
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.metrics.outcomes import Outcomes
from wgtwo_pipeline.run.children import Lifeline
from wgtwo_pipeline.run.config import Config
from wgtwo_pipeline.sandbox.options import SandboxSettings
from wgtwo_pipeline.service.settings import Service

_LOG = logging.getLogger(__name__)

_LOOK_SECONDS, _RETRY_SECONDS = 10.0, 60.0
"""How often the journal is listed at most, to see whether what waits is worth an epoch: at full speed that takes
longer to come. And how soon a failed publication is tried again."""
_REGISTER_SECONDS = 30.0
"""The longest time between two looks whether something was committed: one listing each."""

SANDBOX = Service("127.0.0.1:0", plaintext=True)


def subscribe(config: Config, lifeline: Lifeline, service: Service, index: int) -> None:
    """One member of each subscription, until asked to stop; then what was received is journaled and acked."""
    with lifeline.expendable():
        from wgtwo_pipeline.ingest.worker import worker
        from wgtwo_pipeline.run import jobs

    process = worker()
    lifeline.on_stop(process.stopping.set)
    lifeline.report_regularly(process.facts)
    try:
        jobs.ingest(config, service, (jobs.members(config)[index],))
    finally:
        process.close()
        lifeline.report(**process.facts())


def job(config: Config, lifeline: Lifeline, service: Service, suffix: str) -> None:
    """All members as one job of a cluster, until asked to stop; then the job is cancelled."""
    from wgtwo_pipeline.run import cluster

    cluster.ingest(config, lifeline, service, suffix)


def publish(config: Config, lifeline: Lifeline) -> None:
    """Publishes whenever what waits is worth it; asked to stop, once more and for the last time, all of it.

    A lake or cluster that can't be reached is waited for, with the events safe in the journal.
    """
    from wgtwo_pipeline.run import jobs

    publisher, outcomes = jobs.Publisher(config), Outcomes("publish")
    lifeline.report(ready=True)
    while True:
        final = lifeline.stopping.is_set()
        pause_seconds = max(0.1, min(_LOOK_SECONDS, config.publishing.publish_every_seconds / 5))
        outcomes.begins()
        try:
            for manifest in publisher.publish_all() if final else publisher.publish_due():
                outcomes.did()
                totals = history.load(open_store(config.lake)).totals
                lifeline.report(published=totals.published, epoch=manifest.epoch, **outcomes.facts())
            outcomes.ended_well()
        except (LakeError, JobError) as error:
            outcomes.failed()
            if final:
                raise
            _LOG.error("publishing failed and will be tried again: %s", error)
            pause_seconds = min(_RETRY_SECONDS, config.publishing.publish_every_seconds)
        lifeline.report(**outcomes.facts())
        if final:
            return
        lifeline.stopping.wait(pause_seconds)


def erase(config: Config, lifeline: Lifeline) -> None:
    """Obeys the revocations that were published by now; asked to stop, it ends after the erasure at hand.

    Where the lake or cluster can't be reached it is left to the next time.
    """
    from wgtwo_pipeline.run.erasing import Eraser, follow

    outcomes = Outcomes("erase")
    try:
        for receipt in Eraser(config).erase():
            outcomes.did()
            lifeline.report(erasure=receipt.erasure, **outcomes.facts())
            follow(open_store(config.lake))
            if lifeline.stopping.is_set():
                return
        outcomes.ended_well()
    except (LakeError, JobError) as error:
        outcomes.failed()
        _LOG.error("erasing failed and will be tried again: %s", error)
    lifeline.report(**outcomes.facts())


def register(config: Config, lifeline: Lifeline) -> None:
    """Brings a catalog up to what is committed, again and again; asked to stop, once more and for the last time.

    Never in the way: whatever goes wrong is logged and tried again, with the events safe in the tables' files.
    """
    from wgtwo_pipeline.register.register import Registrar

    assert config.catalog is not None, "the supervisor starts no registrar without one"
    registrar = Registrar(open_store(config.lake), config.catalog)
    pause = min(max(config.publishing.publish_every_seconds / 10, 1.0), _REGISTER_SECONDS)
    outcomes = Outcomes("register")
    while True:
        final = lifeline.stopping.is_set()
        outcomes.begins()
        try:
            lifeline.report(registered=registrar.bring_up().epoch)
            outcomes.did()
            outcomes.ended_well()
        except PipelineError as error:
            outcomes.failed()
            when = "next time" if final else "again"
            _LOG.error("registering failed and will be tried %s: %s", when, error)
        lifeline.report(**outcomes.facts())
        if final:
            return
        lifeline.stopping.wait(pause)


def sandbox(config: Config, lifeline: Lifeline, settings: SandboxSettings) -> None:
    """Serves made-up events until asked to stop; reports the address."""
    from wgtwo_pipeline.sandbox.server import Sandbox

    async def serve() -> None:
        server = Sandbox(settings)
        await server.start()
        lifeline.report(address=server.address)
        while not lifeline.stopping.is_set():
            await asyncio.sleep(0.1)
        await server.stop()

    asyncio.run(serve())


def check(child_facts: Any) -> None:
    """Raises what a child reported as its error."""
    if "error" in child_facts:
        error = PipelineError(child_facts["error"])
        error.exit_code = child_facts["exit_code"]
        raise error
