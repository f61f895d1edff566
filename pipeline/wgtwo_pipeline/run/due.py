"""When `run` looks for revocations: soon after its start, then once in a while, each time in a process of its own."""

import logging
import time
from collections.abc import Callable

from wgtwo_pipeline.run import works
from wgtwo_pipeline.run.children import Child
from wgtwo_pipeline.run.config import Config

_LOG = logging.getLogger(__name__)

_FIRST_SECONDS = 60.0
"""Whoever is started again every day must look in between, too."""
_AGAIN_SECONDS = 30.0
_PATIENCE_SECONDS = 20.0


class Erasing:
    """Starts the process that erases when that is due, and ends it; an erasure that is cut off goes on next time."""

    def __init__(self, config: Config, ended: Callable[[Child], None] = lambda _: None) -> None:
        """`ended` is told of each process that has ended."""
        self._told = ended
        self._config, self._every = config, config.erasing.every_seconds
        self._child: Child | None = None
        self._due_at = time.monotonic() + min(self._every or 0.0, _FIRST_SECONDS)
        if self._every is None:
            _LOG.info(
                "--erase-every never: consent revocations are stored, and not obeyed until `erase` is run"
            )

    @property
    def children(self) -> list[Child]:
        """The process, while there is one."""
        return [self._child] if self._child else []

    def look(self) -> None:
        """Starts it if it is due, and sees whether it has ended. Raises what made it give up."""
        if self._every is None:
            return
        if self._child is None:
            if time.monotonic() >= self._due_at:
                self._child = Child("eraser", works.erase, self._config)
        elif not self._child.running:
            self._reap(self._child, self._every)

    def end(self, *, once_more: bool) -> None:
        """Lets the erasure at hand finish, or cuts it off after a while; `once_more` erases what has come since."""
        if self._child:
            self._child.stop()
            self._child.join(_PATIENCE_SECONDS)
            if self._child.running:
                _LOG.info("the erasure at hand goes on at the next start, or with `erase`")
                self._child.kill()
            self._told(self._child)
            self._child.close()
            self._child = None
        if once_more and self._every is not None:
            last = Child("eraser", works.erase, self._config)
            last.join()
            last.sweep()
            works.check(last.poll())
            last.close()

    def _reap(self, child: Child, every: float) -> None:
        works.check(child.poll())
        child.sweep()
        if child.exit_code:
            _LOG.error("the eraser ended with %s and will be started again", child.exit_code)
        self._due_at = time.monotonic() + (min(every, _AGAIN_SECONDS) if child.exit_code else every)
        self._told(child)
        child.close()
        self._child = None
