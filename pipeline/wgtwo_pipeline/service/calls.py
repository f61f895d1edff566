"""Many small unary gRPC calls at once, through libcurl and its HTTP/2.

An ack is a unary call, and with grpcio a call costs 100 to 130 µs of CPU: it bounds ingest. libcurl sends and
receives the same few frames for about 16 µs. What goes over the wire is gRPC as its specification has it
(grpc/doc/PROTOCOL-HTTP2.md): a POST with a 5-byte prefix before the message, the status in the trailers.
"""

import contextlib
import os
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import unquote

import grpc
import pycurl

from wgtwo_pipeline.service import diagnose
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import CallResult

_CONNECT_SECONDS: Final = 10
_IDLE_SECONDS: Final = 60  # a connection idle for longer may have been dropped silently: it is not used again
_DETAIL_CHARACTERS: Final = 500
_MOST_RESPONSE_BYTES: Final = 4 << 20  # as grpcio has it
_PREFIX: Final = struct.Struct(">BI")
_CODES: Final = {code.value[0]: code.name for code in grpc.StatusCode}
# What a proxy's answer means that is not gRPC's: grpc/doc/http-grpc-status-mapping.md
_HTTP_CODES: Final = {
    400: "INTERNAL", 401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "UNIMPLEMENTED",
    429: "UNAVAILABLE", 502: "UNAVAILABLE", 503: "UNAVAILABLE", 504: "UNAVAILABLE",
}  # fmt: skip
# As grpcio looks for them, whatever the scheme: streams and calls must go the same way.
_PROXIES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
_NO_PROXIES: Final = ("no_grpc_proxy", "no_proxy")


class Caller:
    """Calls methods of one service. Threads may share it: each call of `call_many` has a connection to itself."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._base = f"{'http' if service.plaintext else 'https'}://{service.target}"
        self._authorities = None if service.plaintext else diagnose.authorities(service.ca_file)
        self._idle: list[_Connection] = []
        self._closed = False
        self._lock = threading.Lock()

    def call_many(
        self, method: str, requests: Sequence[bytes], timeout_seconds: float, token: str | None
    ) -> list[CallResult]:
        """Makes all calls at once over one connection; see `Transport.call_many`."""
        with self._lock:
            if self._closed:
                return [CallResult("CANCELLED", "closed on this side", None)] * len(requests)
            connection = self._idle.pop() if self._idle else _Connection(self._service, self._authorities)
        usable = False
        try:
            results = connection.call_many(self._base + method, requests, timeout_seconds, token)
            # One that brought no answer at all may be dead without anyone having said so: TCP itself would take a
            # quarter of an hour to notice.
            usable = connection.answered
        finally:
            with self._lock:
                usable = usable and not self._closed
                if usable:
                    self._idle.append(connection)
            if not usable:
                connection.close()
        return results

    def close(self) -> None:
        """Takes no more calls; connections end at once, or with the calls that use them. Idempotent."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


class _Connection:
    """One thread at a time uses it."""

    def __init__(self, service: Service, authorities: str | None) -> None:
        self._tls, self._authorities = not service.plaintext, authorities
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_PIPELINING, pycurl.PIPE_MULTIPLEX)
        self._multi.setopt(pycurl.M_MAX_HOST_CONNECTIONS, 1)
        self._handles: list[_Call] = []
        self.answered = False
        """Whether the other side has answered anything of what was asked last."""

    def call_many(
        self, url: str, requests: Sequence[bytes], timeout_seconds: float, token: str | None
    ) -> list[CallResult]:
        while len(self._handles) < len(requests):
            self._handles.append(_Call(self._tls, self._authorities))
        calls = self._handles[: len(requests)]
        headers = ["content-type: application/grpc", "te: trailers", "expect:", "user-agent: wgtwo-pipeline"]
        headers.append(f"grpc-timeout: {max(1, int(timeout_seconds * 1000))}m")
        if token is not None:
            headers.append(f"authorization: Bearer {token}")
        for call, request in zip(calls, requests, strict=True):
            call.prepare(url, headers, request, timeout_seconds)
            self._multi.add_handle(call.curl)
        try:
            self._await(len(calls), time.monotonic() + timeout_seconds)
        finally:
            for call in calls:
                self._multi.remove_handle(call.curl)
        self.answered = not calls or any(call.answered for call in calls)
        return [call.result() for call in calls]

    def _await(self, pending: int, deadline: float) -> None:
        while pending and (remaining := deadline - time.monotonic()) > 0:
            self._multi.perform()
            ended, failed = self._ended()
            for curl in ended:
                curl.call.done = True
            for curl, number, message in failed:
                curl.call.fail(number, message)
            pending -= len(ended) + len(failed)
            if pending and not ended and not failed:
                timer_ms = self._multi.timeout()
                with contextlib.suppress(pycurl.error):  # a signal
                    self._multi.select(min(remaining, 1.0 if timer_ms < 0 else timer_ms / 1000))

    def _ended(self) -> tuple[list[Any], list[Any]]:
        ended: list[Any] = []
        failed: list[Any] = []
        queued = 1
        while queued:
            queued, more_ended, more_failed = self._multi.info_read()
            ended += more_ended
            failed += more_failed
        return ended, failed

    def close(self) -> None:
        for call in self._handles:
            call.curl.close()
        self._multi.close()


class _Call:
    """One request and what came back; used again and again."""

    def __init__(self, tls: bool, authorities: str | None) -> None:
        curl: Any = pycurl.Curl()
        curl.call = self
        http2 = pycurl.CURL_HTTP_VERSION_2TLS if tls else pycurl.CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE
        curl.setopt(pycurl.HTTP_VERSION, http2)
        curl.setopt(pycurl.PIPEWAIT, 1)  # rather wait for the one connection than open another
        curl.setopt(pycurl.CONNECTTIMEOUT, _CONNECT_SECONDS)
        curl.setopt(pycurl.MAXAGE_CONN, _IDLE_SECONDS)
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.POST, 1)
        curl.setopt(pycurl.PROXY, _variable(_PROXIES))  # an empty one means none
        curl.setopt(pycurl.NOPROXY, _variable(_NO_PROXIES))
        curl.setopt(pycurl.HTTPPROXYTUNNEL, 1)
        if authorities is not None:
            for built_in in (
                pycurl.CAINFO,
                pycurl.CAPATH,
            ):  # an image may not have what libcurl was built with
                curl.unsetopt(built_in)
            curl.set_ca_certs(authorities)
        curl.setopt(pycurl.HEADERFUNCTION, self._header)
        curl.setopt(pycurl.WRITEFUNCTION, self._write)
        self.curl = curl
        self.done = False

    def prepare(self, url: str, headers: list[str], request: bytes, timeout_seconds: float) -> None:
        self._code, self._detail, self._body = "", "", bytearray()
        self.done = False
        self.curl.setopt(pycurl.URL, url)
        self.curl.setopt(pycurl.HTTPHEADER, headers)
        self.curl.setopt(pycurl.TIMEOUT_MS, max(1, int(timeout_seconds * 1000)))
        self.curl.setopt(pycurl.POSTFIELDS, _PREFIX.pack(0, len(request)) + request)

    def fail(self, number: int, message: str) -> None:
        self.done = True
        if not self._code:
            late = number == pycurl.E_OPERATION_TIMEDOUT
            self._code, self._detail = ("DEADLINE_EXCEEDED" if late else "UNAVAILABLE"), message

    @property
    def answered(self) -> bool:
        return self.done and bool(self.curl.getinfo(pycurl.RESPONSE_CODE))

    def result(self) -> CallResult:
        if not self.done:
            return CallResult("DEADLINE_EXCEEDED", "no answer in time", None)
        if not self._code:
            status = self.curl.getinfo(pycurl.RESPONSE_CODE)
            return CallResult(
                _HTTP_CODES.get(status, "UNKNOWN"), f"HTTP status {status}, no gRPC status", None
            )
        if self._code != "OK":
            return CallResult(self._code, self._detail, None)
        prefix, message = bytes(self._body[: _PREFIX.size]), bytes(self._body[_PREFIX.size :])
        if prefix != _PREFIX.pack(0, len(message)):
            return CallResult("INTERNAL", "an answer without one readable message", None)
        return CallResult("OK", "", message)

    def _header(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        match name.lower():
            case b"grpc-status":
                number = value.strip()
                self._code = _CODES.get(int(number) if number.isdigit() else 2, "UNKNOWN")
            case b"grpc-message":
                self._detail = " ".join(unquote(value.strip().decode("latin-1")).split())[:_DETAIL_CHARACTERS]

    def _write(self, data: bytes) -> int:
        if len(self._body) + len(data) > _MOST_RESPONSE_BYTES:
            self._code, self._detail = (
                "RESOURCE_EXHAUSTED",
                f"an answer of more than {_MOST_RESPONSE_BYTES} bytes",
            )
            return 0  # ends the call
        self._body += data
        return len(data)


def _variable(names: Sequence[str]) -> str:
    return next(filter(None, map(os.environ.get, names)), "")
