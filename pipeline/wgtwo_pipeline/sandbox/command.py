"""The sandbox as a process of its own."""

import asyncio
import logging
import signal

from wgtwo_pipeline.sandbox.options import SandboxSettings
from wgtwo_pipeline.sandbox.server import Sandbox

logger = logging.getLogger(__name__)


def run(settings: SandboxSettings) -> int:
    """Serves until SIGINT or SIGTERM, then ends all streams and returns 0. Raises ConfigurationError."""
    return asyncio.run(_run(settings))


async def _run(settings: SandboxSettings) -> int:
    sandbox = Sandbox(settings)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        # Once: a second signal ends the process at once.
        loop.add_signal_handler(number, _stop_once, loop, stopped)
    await sandbox.start()
    logger.info("sandbox listening on %s", sandbox.address)
    if sandbox.oauth_address:
        logger.info("tokens at http://%s/oauth2/token", sandbox.oauth_address)
    if sandbox.admin_address:
        logger.info("admin page at http://%s/", sandbox.admin_address)
    await stopped.wait()
    await sandbox.stop()
    return 0


def _stop_once(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    stopped.set()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)
        signal.signal(number, signal.SIG_DFL)
