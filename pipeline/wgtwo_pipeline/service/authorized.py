"""Makes a transport of a client: with tokens, and with a verdict on what an end means."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NoReturn

from wgtwo_pipeline.errors import PipelineError, ServiceError
from wgtwo_pipeline.service import diagnose
from wgtwo_pipeline.service.auth import TokenSource, TokenUnavailableError
from wgtwo_pipeline.service.client import Client
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.streams import EventStream
from wgtwo_pipeline.service.transport import CallResult, Done, StreamEndedError

_TRIES: Final = 2


class AuthorizedTransport:
    """A `Transport` over any client. Whatever may block is done in a thread of its own."""

    def __init__(self, service: Service, client: Client) -> None:
        self._service, self._client = service, client
        self._tokens = TokenSource(service.oauth) if service.oauth else None
        self._reached_before = False
        self._streams: set[EventStream] = set()
        self._lock = threading.Lock()

    def __reduce__(self) -> NoReturn:
        raise TypeError("a transport owns threads and sockets: pickle its Service and open another one")

    @property
    def token_requests(self) -> Mapping[str, int]:
        """See `Transport.token_requests`."""
        return self._tokens.requests if self._tokens is not None else {}

    def stream(self, method: str, request: bytes) -> EventStream:
        """See `Transport.stream`."""
        used: list[str | None] = [None]

        def over(code: str, detail: str) -> None:
            if code == "OK" or stream.has_received:
                self._accepted()
            _in_background(lambda: stream.end(self._verdict(method, code, detail, used[0])))

        def open_it(token: str | None) -> None:
            used[0] = token
            self._client.open(method, request, token, stream)

        stream = EventStream(over)
        with self._lock:
            self._streams = {other for other in self._streams if not other.ended} | {stream}
        self._with_token(open_it, lambda error: stream.end(_passing(error)))
        return stream

    def start_many(self, method: str, requests: Sequence[bytes], timeout_seconds: float, done: Done) -> None:
        """See `Transport.start_many`."""
        tries = _TRIES if self._tokens is not None else 1
        self._start(method, requests, time.monotonic() + timeout_seconds, tries, done)

    def call_many(self, method: str, requests: Sequence[bytes], timeout_seconds: float) -> list[CallResult]:
        """See `Transport.call_many`."""
        return wait(lambda done: self.start_many(method, requests, timeout_seconds, done))

    def close(self) -> None:
        """See `Transport.close`."""
        with self._lock:
            streams, self._streams = self._streams, set()
        for stream in streams:
            stream.cancel()
        self._client.close()

    def _start(self, method: str, requests: Sequence[bytes], deadline: float, tries: int, done: Done) -> None:
        """Calls that the service refuses the token of are made again, with another one."""

        def start(token: str | None) -> None:
            remaining_seconds = max(0.0, deadline - time.monotonic())
            self._client.start(method, requests, remaining_seconds, token, lambda each: ended(token, each))

        def ended(token: str | None, results: list[CallResult]) -> None:
            codes = {result.code for result in results}
            if "OK" in codes:
                self._accepted()
            if "UNAUTHENTICATED" in codes:
                self._refused(token)
            refused = [index for index, result in enumerate(results) if result.code == "UNAUTHENTICATED"]
            if not refused or tries == 1:
                done(results)
                return

            def ended_again(retried: list[CallResult]) -> None:
                for index, result in zip(refused, retried, strict=True):
                    results[index] = result
                done(results)

            self._start(method, [requests[index] for index in refused], deadline, tries - 1, ended_again)

        def failed(error: PipelineError) -> None:
            code = "UNAVAILABLE" if isinstance(error, TokenUnavailableError) else "UNAUTHENTICATED"
            if code == "UNAUTHENTICATED":
                self._end_all(error)
            done([CallResult(code, str(error), None)] * len(requests))

        self._with_token(start, failed)

    def _with_token(self, use: Callable[[str | None], None], fail: Callable[[PipelineError], None]) -> None:
        """Calls the one with a token, None if there is to be none, or the other; now, or later if that takes time."""
        tokens = self._tokens
        at_hand = tokens.at_hand() if tokens is not None else None

        def fetch() -> None:
            assert tokens is not None
            try:
                token = tokens.token()
            except PipelineError as error:
                fail(error)
            else:
                use(token)

        if tokens is None or at_hand is not None:
            use(at_hand)
        else:
            _in_background(fetch)

    def _accepted(self) -> None:
        self._reached_before = True
        if self._tokens is not None:
            self._tokens.accepted()

    def _refused(self, token: str | None) -> None:
        """Notes that calls were refused; two tokens in a row, and there is no point in going on."""
        if self._tokens is not None and token is not None:
            try:
                self._tokens.refused(token)
            except PipelineError as error:
                self._end_all(error)

    def _end_all(self, error: PipelineError) -> None:
        with self._lock:
            streams = set(self._streams)
        for stream in streams:
            stream.end(error)

    def _verdict(self, method: str, code: str, detail: str, token: str | None) -> PipelineError:
        """What a stream that ended so has to report: a ServiceError if another one would fare no better.

        What a service that is being restarted might show, too, is held against it only as long as it has never been
        reached. May block for some seconds.
        """
        why = None
        if code == "UNAVAILABLE" and not self._reached_before:
            why = diagnose.misconfiguration(self._service)
        elif code == "UNAUTHENTICATED" and self._tokens is not None and token is not None:
            try:
                self._tokens.refused(token)
            except ServiceError as error:
                return error
        elif code != "UNIMPLEMENTED" or not self._reached_before:
            why = diagnose.refusal(code, detail, self._service, method)
        return ServiceError(why) if why else StreamEndedError(code, detail)


def wait(start: Callable[[Done], None]) -> list[CallResult]:
    """Starts calls and blocks until they have ended."""
    ended = threading.Event()
    found: list[CallResult] = []

    def done(results: list[CallResult]) -> None:
        found.extend(results)
        ended.set()

    start(done)
    ended.wait()
    return found


def _passing(error: PipelineError) -> PipelineError:
    return StreamEndedError("UNAVAILABLE", str(error)) if isinstance(error, TokenUnavailableError) else error


def _in_background(work: Callable[[], None]) -> None:
    threading.Thread(target=work, name="event-service", daemon=True).start()
