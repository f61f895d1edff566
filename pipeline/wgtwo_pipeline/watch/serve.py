"""The command `serve`: a lake's figures and page, for clusters, where nobody else has a port."""

import contextlib
import logging
import signal
import threading
from collections.abc import Sequence

from wgtwo_pipeline.lake.open import open_to_read
from wgtwo_pipeline.metrics.samples import Samples
from wgtwo_pipeline.watch.audits import AuditWatch
from wgtwo_pipeline.watch.lake import LakeWatch
from wgtwo_pipeline.watch.members import Member
from wgtwo_pipeline.watch.server import Watch
from wgtwo_pipeline.watch.settings import Serving

_LOG = logging.getLogger(__name__)


class LakeAlone:
    """A pipeline of which nothing but the lake is known; see `server.Pipeline`."""

    members: Sequence[Member] = ()

    def __init__(self, lake: LakeWatch, history_seconds: float) -> None:
        self._lake, self.history_seconds = lake, history_seconds

    def add_to(self, samples: Samples) -> None:
        """Nothing: the lake's figures are added for everybody."""

    def live(self) -> Sequence[str]:
        """Whether the lake is still being looked at, with or without success."""
        return () if self._lake.is_alive() else ("the lake is no longer looked at",)

    def ready(self) -> Sequence[str]:
        """Whether what is shown is what the lake holds."""
        return self._lake.problems()


def serve(serving: Serving) -> int:
    """Serves until SIGINT or SIGTERM; then 0. Changes nothing. Raises LakeError without a lake."""
    stopping = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stopping.set())
    store = open_to_read(serving.lake)
    lake = LakeWatch(store, erases=serving.erases)
    pipeline = LakeAlone(lake, serving.history_seconds)
    with contextlib.closing(Watch(serving.address, pipeline, lake, AuditWatch(store))):
        stopping.wait()
    _LOG.info("stopped serving")
    return 0
