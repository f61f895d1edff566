"""The command `publish`: epoch after epoch in this process, with a helper where there is much to do."""

import contextlib
import logging
import signal
import threading
from collections.abc import Iterator
from types import FrameType

from wgtwo_pipeline import machine
from wgtwo_pipeline.lake import journal
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.metrics import outcomes
from wgtwo_pipeline.publish import shard
from wgtwo_pipeline.publish.helper import Helper
from wgtwo_pipeline.run.config import Config
from wgtwo_pipeline.run.prepare import prepared

_LOG = logging.getLogger(__name__)

_HELPED_BYTES, _HELPED_ROWS = 2**31, 100_000
"""Who has less gets no helper: events of megabytes take several times the usual memory; fewer rows are one group."""


def publish(config: Config) -> int:
    """Publishes what the journal holds now, or what of it is due. Blocks; in this process, on the chosen runner.

    Asked to stop, it commits the epoch at hand and leaves the others to the next time.
    """
    config = prepared(config)
    published = []
    with (
        outcomes.left_in(config.metrics_file, "publish") as outcome,
        _stoppable() as stopping,
        _helper(config) as helper,
    ):
        from wgtwo_pipeline.run import jobs  # takes a second, in which the helper starts

        publisher = jobs.Publisher(config, helper)
        for manifest in (
            publisher.publish_due() if config.publishing.only_when_due else publisher.publish_all()
        ):
            outcome.did()
            published.append(manifest.published)
            if stopping.is_set():
                break
    _LOG.info("published %d events in %d epochs", sum(published), len(published))
    return 0


def _helper(config: Config) -> contextlib.AbstractContextManager[Helper | None]:
    """A second process where this one is to do all, much waits, and the machine has a second core and the memory."""
    does_all = config.beam_args == ("--runner=DirectRunner",)
    has_room = machine.cores() >= 2 and machine.memory_bytes() >= _HELPED_BYTES
    if does_all and has_room and journal.holds(open_store(config.lake), _HELPED_ROWS):
        try:
            return Helper(shard.prepare, config.log_format, config.log_level)
        except OSError as error:  # the system allows no more processes, say
            _LOG.warning("no second process to publish with: %s", error)
    return contextlib.nullcontext()


@contextlib.contextmanager
def _stoppable() -> Iterator[threading.Event]:
    """An event that the first SIGINT or SIGTERM sets; the second one ends the process at once."""
    stopping = threading.Event()

    def stop(number: int, _: FrameType | None) -> None:
        for each in handlers:
            signal.signal(each, signal.SIG_DFL)
        stopping.set()
        _LOG.info("%s: finishing the epoch at hand; once more to stop at once", signal.Signals(number).name)

    handlers = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stopping
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
