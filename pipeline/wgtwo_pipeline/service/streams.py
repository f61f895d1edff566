"""grpcio's streams and libcurl's calls behind the seam of `transport.py`: only this file knows grpcio's client.

A transport belongs to the process that made it: it owns threads and sockets that neither pickling nor `fork` carries
over. A child must open its own; if it is forked, then before its parent opens one (grpcio's threads do not
survive it).
"""

import contextlib
import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NoReturn

import grpc
from grpc.experimental import ChannelOptions

from wgtwo_pipeline.errors import PipelineError, ServiceError
from wgtwo_pipeline.service import diagnose
from wgtwo_pipeline.service.auth import TokenSource, TokenUnavailableError
from wgtwo_pipeline.service.calls import Caller
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import (
    MAX_MESSAGE_BYTES,
    MAX_WAITING_BYTES,
    SILENT_SECONDS,
    CallResult,
    Received,
    StreamEndedError,
)

_LOG = logging.getLogger(__name__)

_KEEPALIVE_TIMEOUT_SECONDS: Final = 20.0
KEEPALIVE_SECONDS: Final = SILENT_SECONDS - _KEEPALIVE_TIMEOUT_SECONDS
_CLOSE_SECONDS: Final = 5.0
_BYTES_BESIDES_PAYLOAD: Final = 200  # what Python adds to a waiting delivery
_DETAIL_CHARACTERS: Final = 500


class GrpcTransport:
    """Streams share one connection; calls have their own (see `calls.py` for why)."""

    def __init__(self, service: Service, keepalive_seconds: float = KEEPALIVE_SECONDS) -> None:
        self._service = service
        self._tokens = TokenSource(service.oauth) if service.oauth else None
        self._connected_before = False
        self._channel = _channel(service, keepalive_seconds)
        self._caller = Caller(service)
        self._streams: set[GrpcStream] = set()
        self._lock = threading.Lock()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a transport owns threads and sockets: pickle its Service and open another one")

    def stream(self, method: str, request: bytes) -> "GrpcStream":
        """See `Transport.stream`."""
        stream = GrpcStream(self, method, request)
        with self._lock:
            self._streams = {other for other in self._streams if not other.ended} | {stream}
        return stream

    def call_many(self, method: str, requests: Sequence[bytes], timeout_seconds: float) -> list[CallResult]:
        """See `Transport.call_many`."""
        deadline = time.monotonic() + timeout_seconds
        results = self._call_all(method, requests, timeout_seconds)
        refused = [index for index, result in enumerate(results) if result.code == "UNAUTHENTICATED"]
        if refused and self._tokens is not None:
            remaining = max(0.0, deadline - time.monotonic())
            retried = self._call_all(method, [requests[index] for index in refused], remaining)
            for index, result in zip(refused, retried, strict=True):
                results[index] = result
        return results

    def close(self) -> None:
        """See `Transport.close`."""
        with self._lock:
            streams, self._streams = self._streams, set()
        for stream in streams:
            stream.cancel()
        for stream in streams:
            stream.join(_CLOSE_SECONDS)
        _let_watcher_end(self._channel)
        self._channel.close()
        self._caller.close()

    def _call_all(self, method: str, requests: Sequence[bytes], timeout_seconds: float) -> list[CallResult]:
        try:
            token = self.token()
            results = self._caller.call_many(method, requests, timeout_seconds, token)
            codes = {result.code for result in results}
            if "OK" in codes:
                self.accepted()
            if "UNAUTHENTICATED" in codes and self._tokens is not None and token is not None:
                self._tokens.refused(token)
        except TokenUnavailableError as error:
            return [CallResult("UNAVAILABLE", str(error), None)] * len(requests)
        except PipelineError as error:
            with self._lock:
                for stream in self._streams:
                    stream.cancel(error)
            return [CallResult("UNAUTHENTICATED", str(error), None)] * len(requests)
        return results

    def open(self, method: str, request: bytes, token: str | None) -> Any:
        """Starts a server-streaming call; iterating over it gives the payloads."""
        return self._channel.unary_stream(method, None, None)(request, metadata=_metadata(token))

    @contextlib.contextmanager
    def watching(self, ready: Callable[[], None]) -> Iterator[None]:
        """Calls `ready` as soon as there is a connection, in another thread."""

        def changed(state: grpc.ChannelConnectivity) -> None:
            if state is grpc.ChannelConnectivity.READY:
                ready()
                self._channel.unsubscribe(changed)  # watching costs a thread

        self._channel.subscribe(changed)
        try:
            yield
        finally:
            self._channel.unsubscribe(changed)

    def token(self) -> str | None:
        """The token to send along, if there is to be one. See `TokenSource.token`."""
        return self._tokens.token() if self._tokens else None

    def accepted(self) -> None:
        """Notes that the service has served a call."""
        self._connected_before = True
        if self._tokens is not None:
            self._tokens.accepted()

    def verdict(self, method: str, code: str, detail: str, token: str | None) -> PipelineError:
        """What a stream that ended so has to report: a ServiceError if another one would fare no better.

        What a service that is being restarted might show, too, is held against it only as long as it has never been
        reached.
        """
        why = None
        if code == "UNAVAILABLE" and not self._connected_before:
            why = diagnose.misconfiguration(self._service)
        elif code == "UNAUTHENTICATED" and self._tokens is not None and token is not None:
            try:
                self._tokens.refused(token)
            except ServiceError as error:
                return error
        elif code != "UNIMPLEMENTED" or not self._connected_before:
            why = diagnose.refusal(code, detail, self._service, method)
        return ServiceError(why) if why else StreamEndedError(code, detail)


class GrpcStream:
    """A thread reads from the call into a deque; it wakes the receiver only when there is enough to take."""

    def __init__(self, transport: GrpcTransport, method: str, request: bytes) -> None:
        self._transport, self._method, self._request = transport, method, request
        self._waiting: deque[Received] = deque()
        self._end: PipelineError | None = None
        # Only the reader adds to the one and only the receiver to the other: neither needs a lock.
        self._bytes_read = self._bytes_taken = 0
        self._wanted = sys.maxsize
        self._wake, self._room = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._call: Any = None
        self._connected = threading.Event()
        self._cancelled: PipelineError | None = None
        self._reader = threading.Thread(target=self._read, name="stream-reader", daemon=True)
        self._reader.start()

    @property
    def waiting(self) -> int:
        """See `Stream.waiting`."""
        return len(self._waiting)

    @property
    def connected(self) -> bool:
        """See `Stream.connected`."""
        return self._connected.is_set()

    @property
    def ended(self) -> bool:
        """Whether nothing more will come."""
        return self._end is not None

    def receive(self, max_count: int, linger_seconds: float, timeout_seconds: float) -> list[Received]:
        """See `Stream.receive`."""
        self._await(1, timeout_seconds)
        end = self._end  # looked at before the deque: whatever came, came before the end
        if self._waiting:
            waited_seconds = time.time() - self._waiting[0].received_at_us / 1e6
            self._await(max_count, min(linger_seconds - waited_seconds, linger_seconds))
        elif end is not None:
            raise end.with_traceback(None)
        return self._take(max_count)

    def cancel(self, why: PipelineError | None = None) -> None:
        """See `Stream.cancel`. `why` is what the receiver gets to hear at the end."""
        with self._lock:
            self._cancelled = self._cancelled or why or StreamEndedError("CANCELLED", "from this side")
            if self._call is not None:
                self._call.cancel()
        self._room.set()

    def join(self, timeout_seconds: float) -> None:
        """Waits for the reading thread to end."""
        self._reader.join(timeout_seconds)

    def _await(self, count: int, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        self._wanted = count
        while not self._ready(count):
            # Cleared before the second look: a wake-up between that and the wait is not lost.
            self._wake.clear()
            remaining = deadline - time.monotonic()
            if self._ready(count) or remaining <= 0:
                break
            self._wake.wait(remaining)
        self._wanted = sys.maxsize

    def _ready(self, count: int) -> bool:
        return len(self._waiting) >= count or self._end is not None or self._full()

    def _full(self) -> bool:
        return self._bytes_read - self._bytes_taken >= MAX_WAITING_BYTES

    def _take(self, max_count: int) -> list[Received]:
        waiting = self._waiting
        taken = [waiting.popleft() for _ in range(min(max_count, len(waiting)))]
        self._bytes_taken += sum(len(item.payload) + _BYTES_BESIDES_PAYLOAD for item in taken)
        self._room.set()
        return taken

    def _read(self) -> None:
        try:
            self._end = self._read_to_end()
        except Exception as error:  # a reader that dies silently would leave its receiver waiting for ever
            _LOG.exception("reading the event stream failed")
            self._end = StreamEndedError("INTERNAL", type(error).__name__)
        self._wake.set()

    def _read_to_end(self) -> PipelineError:
        token = None
        try:
            token = self._transport.token()
            self._read_payloads(token)
            code, detail = "OK", ""
        except grpc.RpcError as error:
            code, detail = _status(error)
        except TokenUnavailableError as error:
            return StreamEndedError("UNAVAILABLE", str(error))
        except PipelineError as error:
            return error
        return self._cancelled or self._transport.verdict(self._method, code, detail, token)

    def _read_payloads(self, token: str | None) -> None:
        waiting = self._waiting
        with self._lock:
            if self._cancelled:
                return
            call = self._call = self._transport.open(self._method, self._request, token)
        with self._transport.watching(self._connected.set):
            for payload in call:
                if not self._bytes_read:
                    self._transport.accepted()
                waiting.append(Received(payload, time.time_ns() // 1000))
                self._bytes_read += len(payload) + _BYTES_BESIDES_PAYLOAD
                if len(waiting) >= self._wanted:
                    self._wake.set()
                if self._full():
                    self._pause()
        self._transport.accepted()

    def _pause(self) -> None:
        """Leaves the rest with the connection until the receiver has taken some."""
        self._wake.set()
        while self._full() and not self._cancelled:
            self._room.clear()
            if self._full() and not self._cancelled:
                self._room.wait()


def _channel(service: Service, keepalive_seconds: float) -> grpc.Channel:
    timeout_ms = int(min(keepalive_seconds, _KEEPALIVE_TIMEOUT_SECONDS) * 1000)
    options = [
        # Iterating reads the socket in the iterating thread: one thread switch less a message.
        (ChannelOptions.SingleThreadedUnaryStream, 1),
        ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
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
    if service.plaintext:
        return grpc.insecure_channel(service.target, options)
    pem = diagnose.authorities(service.ca_file)
    credentials = grpc.ssl_channel_credentials(pem.encode("ascii", "replace") if pem else None)
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
    return error.code().name, " ".join((error.details() or "").split())[:_DETAIL_CHARACTERS]
