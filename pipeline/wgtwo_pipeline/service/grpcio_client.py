"""grpcio's client: the second one, to compare ours with, or to fall back on. Only this file knows it.

A call costs it 100 to 130 µs of CPU, and a delivery 23: use it where that is of no interest.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, Final

import grpc
from grpc.experimental import ChannelOptions

from wgtwo_pipeline.service import diagnose
from wgtwo_pipeline.service.calls import MOST_RESPONSE_BYTES
from wgtwo_pipeline.service.proxy import proxy_for
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.statuses import one_line
from wgtwo_pipeline.service.streams import EventStream
from wgtwo_pipeline.service.transport import MAX_MESSAGE_BYTES, SILENT_SECONDS, CallResult, Done

_LOG = logging.getLogger(__name__)

_KEEPALIVE_TIMEOUT_SECONDS: Final = 20.0
_WINDOW_BYTES: Final = 8 << 20
KEEPALIVE_SECONDS: Final = SILENT_SECONDS - _KEEPALIVE_TIMEOUT_SECONDS
_CLOSE_SECONDS: Final = 5.0


class GrpcioClient:
    """A `Client`."""

    def __init__(self, service: Service, keepalive_seconds: float = KEEPALIVE_SECONDS) -> None:
        """ConfigurationError if the CA file or a proxy cannot be used."""
        self._channel = _channel(service, keepalive_seconds)
        self._readings: set[_Reading] = set()
        self._under_way = 0
        self._closed = False
        self._lock = threading.Lock()

    def open(self, method: str, request: bytes, token: str | None, stream: EventStream) -> None:
        """See `Client.open`."""
        with self._lock:
            if not self._closed:
                reading = _Reading(self._channel, method, request, token, stream)
                self._readings = {other for other in self._readings if other.alive} | {reading}
                reading.start()
                return
        stream.over("CANCELLED", "closed on this side")

    def start(
        self, method: str, requests: Sequence[bytes], timeout_seconds: float, token: str | None, done: Done
    ) -> None:
        """See `Client.start`."""
        requests = [bytes(request) for request in requests]  # a wrong one is found before any is sent
        with self._lock:
            closed = self._closed
            self._under_way += not closed
        if closed:
            done([CallResult("CANCELLED", "closed on this side", None)] * len(requests))
            return

        def ended(results: list[CallResult]) -> None:
            self._ended()
            done(results)

        if not requests:
            ended([])
        calls = _Calls(len(requests), ended)
        call = self._channel.unary_unary(method, None, None)
        for index, request in enumerate(requests):
            future = call.future(request, timeout=timeout_seconds, metadata=_metadata(token))
            future.add_done_callback(partial(calls.settle, index))

    def close(self) -> None:
        """See `Client.close`."""
        with self._lock:
            readings, self._readings = self._readings, set()
            was_closed, self._closed = self._closed, True
            idle = not self._under_way
        for reading in readings:
            reading.cancel()
        for reading in readings:
            reading.join(_CLOSE_SECONDS)
        if idle and not was_closed:
            self._close_channel()

    def _ended(self) -> None:
        with self._lock:
            self._under_way -= 1
            last = self._closed and not self._under_way
        if last:  # not in grpcio's own thread, which its channel would wait for
            threading.Thread(target=self._close_channel, daemon=True).start()

    def _close_channel(self) -> None:
        _let_watcher_end(self._channel)
        self._channel.close()


class _Calls:
    """The futures of one `Client.start`; grpcio settles them in a thread of its own."""

    def __init__(self, count: int, done: Done) -> None:
        self._results: list[Any] = [None] * count
        self._left, self._done = count, done
        self._lock = threading.Lock()

    def settle(self, index: int, future: Any) -> None:
        """Notes how a call has ended."""
        self._results[index] = _result(future)
        with self._lock:
            self._left -= 1
            last = not self._left
        if last:
            self._done(self._results)


class _Reading:
    """A thread that reads from one call; also the `Reading` of its stream."""

    def __init__(
        self, channel: grpc.Channel, method: str, request: bytes, token: str | None, stream: EventStream
    ) -> None:
        self._channel, self._stream = channel, stream
        self._call: Any = channel.unary_stream(method, None, None)(request, metadata=_metadata(token))
        self._cancelled = False
        self._room = threading.Event()
        self._thread = threading.Thread(target=self._read, name="stream-reader", daemon=True)

    @property
    def alive(self) -> bool:
        """Whether it still reads."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Starts reading."""
        self._stream.read_by(self)
        self._thread.start()

    def resume(self) -> None:
        """See `Reading.resume`."""
        self._room.set()

    def cancel(self) -> None:
        """See `Reading.cancel`."""
        self._cancelled = True
        self._call.cancel()
        self._room.set()

    def join(self, timeout_seconds: float) -> None:
        """Waits for the thread to end."""
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join(timeout_seconds)

    def _read(self) -> None:
        code, detail = "OK", ""
        try:
            with self._watching():
                for payload in self._call:
                    self._stream.deliver(payload)
                    if self._stream.full:
                        self._pause()
        except grpc.RpcError as error:
            code, detail = _status(error)
        except Exception as error:  # a reader that dies silently would leave its receiver waiting for ever
            _LOG.exception("reading the event stream failed")
            code, detail = "INTERNAL", type(error).__name__
        self._stream.over(code, detail)

    def _pause(self) -> None:
        """Leaves the rest with the connection until the receiver has taken some."""
        while self._stream.full and not self._cancelled:
            self._room.clear()
            if self._stream.full and not self._cancelled:
                self._room.wait()

    @contextlib.contextmanager
    def _watching(self) -> Iterator[None]:
        """Notes, in another thread, as soon as there is a connection."""

        def changed(state: grpc.ChannelConnectivity) -> None:
            if state is grpc.ChannelConnectivity.READY:
                self._stream.connected = True
                self._channel.unsubscribe(changed)  # watching costs a thread

        self._channel.subscribe(changed)
        try:
            yield
        finally:
            self._channel.unsubscribe(changed)


def _channel(service: Service, keepalive_seconds: float) -> grpc.Channel:
    timeout_ms = int(min(keepalive_seconds, _KEEPALIVE_TIMEOUT_SECONDS) * 1000)
    options: list[tuple[str, Any]] = [
        # Iterating reads the socket in the iterating thread: one thread switch less a message.
        (ChannelOptions.SingleThreadedUnaryStream, 1),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        # Its own guess of a window grows with the round trip, which on a busy machine is long: without bound.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.http2.lookahead_bytes", _WINDOW_BYTES),
        # A connection of its own, which ends with the channel.
        ("grpc.use_local_subchannel_pool", 1),
        # Whatever a middlebox dropped silently ends after keepalive plus timeout. Pings go out only while there is a
        # call, and a server that finds them too frequent says so: then grpcio doubles the time by itself.
        ("grpc.keepalive_time_ms", int(keepalive_seconds * 1000)),
        ("grpc.keepalive_timeout_ms", timeout_ms),
        ("grpc.http2.ping_timeout_ms", timeout_ms),  # else a minute, whatever the line above says
        ("grpc.http2.max_pings_without_data", 0),
        # Whoever reopens streams backs off by himself; the channel should not be much slower than that.
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 5_000),
    ]
    proxy = proxy_for(service.target)
    options.append(("grpc.enable_http_proxy", 1 if proxy else 0))
    if proxy:
        options.append(("grpc.http_proxy", proxy.url))
    if service.plaintext:
        return grpc.insecure_channel(service.target, options)
    credentials = grpc.ssl_channel_credentials(
        diagnose.authorities(service.ca_file).encode("ascii", "replace")
    )
    return grpc.secure_channel(service.target, credentials, options)


def _let_watcher_end(channel: grpc.Channel) -> None:
    """Waits for grpcio's thread that watches the connection, which ends within 0.2 s of the last unsubscribing.

    It would print a traceback if the channel closed under it. grpcio shows it nowhere in public.
    """
    watching = getattr(channel, "_connectivity_state", None)
    deadline = time.monotonic() + _CLOSE_SECONDS
    while getattr(watching, "polling", False) and time.monotonic() < deadline:
        time.sleep(0.01)


def _metadata(token: str | None) -> tuple[tuple[str, str], ...]:
    return (("authorization", f"Bearer {token}"),) if token else ()


def _status(error: Any) -> tuple[str, str]:
    return error.code().name, one_line(error.details() or "")


def _result(future: Any) -> CallResult:
    try:
        response = future.result()
    except grpc.FutureCancelledError:
        return CallResult("CANCELLED", "closed on this side", None)
    except grpc.RpcError as error:
        return CallResult(*_status(error), None)
    if response is None:
        return CallResult("INTERNAL", "an answer without one readable message", None)
    if len(response) > MOST_RESPONSE_BYTES:  # the channel takes more, for the sake of streams
        return CallResult("RESOURCE_EXHAUSTED", f"an answer of more than {MOST_RESPONSE_BYTES} bytes", None)
    return CallResult("OK", "", response)
