"""Runs a sandbox: in an event loop of one's own, or in a thread beside a test or the pipeline."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.sandbox.broker.core import Core
from wgtwo_pipeline.sandbox.broker.state import state
from wgtwo_pipeline.sandbox.certificate import certificate
from wgtwo_pipeline.sandbox.faults.reset import reset_connections
from wgtwo_pipeline.sandbox.options import SandboxSettings
from wgtwo_pipeline.sandbox.services.descriptor_set import FILES
from wgtwo_pipeline.sandbox.services.events_v0 import EventsService
from wgtwo_pipeline.sandbox.services.sms_v0 import sms_handler
from wgtwo_pipeline.sandbox.services.streams_v1 import v1_handlers
from wgtwo_pipeline.sandbox.web.admin import Admin
from wgtwo_pipeline.sandbox.web.tokens import answer_token_request
from wgtwo_pipeline.web import Answer, Request, WebServer

logger = logging.getLogger(__name__)
T = TypeVar("T")

TICK_SECONDS = 0.02
STOP_SECONDS = 1.0
MAX_EVENTS_AT_ONCE = 100  # between two looks at what else there is to do

SERVER_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a port that is taken is an error, not shared
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Clients ping every minute or more often: that is no reason to hang up on them.
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 1_000),
    ("grpc.http2.max_ping_strikes", 0),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
)


class Sandbox:
    """The event service in the running event loop, with what serves beside it. `core` is its state.

    After `start` the addresses say where each listens: with the port that was free where 0 was asked for, empty
    where the settings name none.
    """

    def __init__(self, settings: SandboxSettings) -> None:
        self.settings = settings
        self.core = Core(settings)
        self.address = self.oauth_address = self.admin_address = ""
        self._server: grpc.aio.Server | None = None
        self._web: list[WebServer] = []
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Listens and starts making events. Raises ConfigurationError if it cannot listen."""
        settings = self.settings
        try:
            self.address = await self._serve_events()
            if settings.oauth_address is not None:
                self.oauth_address = self._serve_web(
                    settings.oauth_address, partial(answer_token_request, self.core), "--oauth-address"
                )
            if settings.admin_address is not None:
                admin = Admin(self.core, self.reset_connections)
                self.admin_address = self._serve_web(settings.admin_address, admin.answer, "--admin-address")
        except BaseException:
            await self.stop()
            raise
        self._tasks = [asyncio.create_task(self._make_events()), asyncio.create_task(self._tick())]

    def _serve_web(self, address: str, handle: Callable[[Request], Answer], option: str) -> str:
        """Its threads read requests; they are answered here, between two steps of the event loop."""
        loop = asyncio.get_running_loop()

        async def answer(request: Request) -> Answer:
            return handle(request)

        server = WebServer(
            address, lambda request: asyncio.run_coroutine_threadsafe(answer(request), loop).result(), option
        )
        self._web.append(server)
        return server.address

    async def _serve_events(self) -> str:
        server = grpc.aio.server(options=SERVER_OPTIONS)
        server.add_generic_rpc_handlers(
            (EventsService(self.core).handler(), sms_handler(self.core), *v1_handlers(self.core))
        )
        await _add_health_and_reflection(server)
        address = self.settings.address
        try:
            if self.settings.tls_dir is None:
                port = server.add_insecure_port(address)
            else:
                pair = certificate(self.settings.tls_dir)
                port = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
        except RuntimeError as error:
            raise ConfigurationError(
                f"cannot listen on {address}: give another --address, port 0 for any free one"
            ) from error
        except (OSError, ValueError) as error:
            raise ConfigurationError(
                f"no usable certificate in {self.settings.tls_dir} ({error}): give another --tls-dir"
            ) from error
        await server.start()
        self._server = server
        return f"{address.rpartition(':')[0]}:{port}"

    def reset_connections(self) -> int:
        """Resets every TCP connection to the event service; returns how many."""
        count = reset_connections(int(self.address.rpartition(":")[2]))
        self.core.counts["connections_reset"] += count
        return count

    async def stop(self) -> None:
        """Ends all streams and stops listening. May be called again."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for web in self._web:
            await asyncio.to_thread(web.stop)
        self._web = []
        if self._server is not None:
            # Streams end by themselves: grpc would log a traceback for each that it has to cancel.
            self.core.stopping.set()
            self.core.cut_streams()
            await self._server.stop(STOP_SECONDS)
            self._server = None

    async def _make_events(self) -> None:
        """Makes events at the rate by real time; what a busy loop missed is made up for, up to a second's worth."""
        loop = asyncio.get_running_loop()
        last, owed = loop.time(), 0.0
        while not self.core.exhausted:
            now = loop.time()
            owed = min(owed + (now - last) * self.core.rate, max(1.0, self.core.rate))
            last = now
            batch = min(int(owed), MAX_EVENTS_AT_ONCE)
            for _ in range(batch):
                self.core.make_next()
            owed -= batch
            await asyncio.sleep(0 if owed >= 1 else 0.005)

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        last_reset = loop.time()
        while True:
            self.core.engine.tick(self.core.clock.now_us())
            period = self.core.faults.reset_connections_seconds
            if period and loop.time() >= last_reset + period:
                self.reset_connections()
                last_reset = loop.time()
            await asyncio.sleep(TICK_SECONDS)


async def _add_health_and_reflection(server: grpc.aio.Server) -> None:
    names = [service.full_name for file in FILES for service in file.services_by_name.values()]
    servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]  # missing in the stubs
    for name in ("", *names):
        await servicer.set(name, health_pb2.HealthCheckResponse.SERVING)
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    reflection.enable_server_reflection((*names, health.SERVICE_NAME, reflection.SERVICE_NAME), server)


class SandboxHandle:
    """A sandbox in a thread of its own. Its methods may be called from any other thread."""

    def __init__(self, settings: SandboxSettings) -> None:
        self._loop = asyncio.new_event_loop()
        self._sandbox = Sandbox(settings)
        self._thread = threading.Thread(target=self._loop.run_forever, name="sandbox", daemon=True)
        self._thread.start()
        self._stopped = False
        try:
            self._run(self._sandbox.start()).result()
        except BaseException:
            self.stop()
            raise

    @property
    def address(self) -> str:
        """Where the event service listens, `host:port`."""
        return self._sandbox.address

    @property
    def oauth_address(self) -> str:
        """Where the token endpoint `/oauth2/token` listens; empty if nowhere."""
        return self._sandbox.oauth_address

    @property
    def admin_address(self) -> str:
        """Where the admin page listens; empty if nowhere."""
        return self._sandbox.admin_address

    def call(self, function: Callable[[Core], T]) -> T:
        """Runs the function on the sandbox's state, between two of its steps, and returns what it returns."""

        async def run() -> T:
            return function(self._sandbox.core)

        result: T = self._run(run()).result()
        return result

    def state(self) -> dict[str, Any]:
        """What `GET /state` of the admin page answers."""
        return self.call(state)

    def stop(self) -> None:
        """Ends all streams and the thread. May be called again."""
        if self._stopped:
            return
        self._stopped = True
        try:
            self._run(self._sandbox.stop()).result(10)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _run(self, work: Any) -> "Future[Any]":
        return asyncio.run_coroutine_threadsafe(work, self._loop)


def start_sandbox(settings: SandboxSettings) -> SandboxHandle:
    """Starts a sandbox in a background thread; returns once it listens. Raises ConfigurationError if it cannot."""
    return SandboxHandle(settings)
