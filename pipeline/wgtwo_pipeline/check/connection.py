"""The event service: a connection, a token, and for each method a stream that is opened and closed unacked."""

import time
from collections.abc import Iterator
from functools import partial
from typing import Final

from wgtwo_pipeline.check.findings import Finding, not_tried, tried
from wgtwo_pipeline.errors import ServiceError
from wgtwo_pipeline.events import api
from wgtwo_pipeline.events.api import Method
from wgtwo_pipeline.run.config import Config
from wgtwo_pipeline.service import diagnose
from wgtwo_pipeline.service.auth import TokenSource
from wgtwo_pipeline.service.connect import connector
from wgtwo_pipeline.service.open import open_transport
from wgtwo_pipeline.service.settings import OAuth, Service
from wgtwo_pipeline.service.transport import StreamEndedError, Transport

_ACCEPTED_AFTER_SECONDS: Final = 1.0
"""A stream that has been connected for so long was not refused: refusals come at once."""
_STREAM_SECONDS: Final = 15.0


def examine(config: Config) -> Iterator[Finding]:
    """A line for the connection, one for the token, one for each stream."""
    service = config.service
    if service is None:
        yield not_tried("connection", "no --endpoint: a run would start a sandbox inside")
        return
    connected = tried("connection", lambda: _connect(service))
    yield connected
    letting_in = (
        tried("token", lambda: _token(service.oauth))
        if service.oauth
        else not_tried("token", "not asked for: neither CLIENT_ID nor CLIENT_SECRET is set")
    )
    yield letting_in
    methods = api.methods(config.subscription.api, config.subscription.types)
    if not connected.passed or letting_in.passed is False:
        yield not_tried("stream", "there is no connection" if not connected.passed else "there is no token")
        return
    transport = open_transport(service)
    try:
        for method in methods:
            yield tried("stream", partial(_stream, transport, method, config))
    finally:
        transport.close()


def _connect(service: Service) -> str:
    try:
        connector(service)().close()
    except OSError as error:
        why = diagnose.misconfiguration(service)
        raise ServiceError(
            why or f"{service.target} cannot be reached ({error}): check --endpoint, and whether it is up"
        ) from None
    how = "without TLS" if service.plaintext else "by TLS, with a certificate that is trusted"
    return f"{service.target} answers {how}"


def _token(oauth: OAuth | None) -> str:
    assert oauth is not None, "asked for only with OAuth"
    TokenSource(oauth).token()
    return f"{oauth.token_url} gives one to the client {oauth.client_id}"


def _stream(transport: Transport, method: Method, config: Config) -> str:
    """Raises the ServiceError with which ingest would end.

    Of a kind of its own, without a queue and without a name: no member's events go to it, and the service keeps
    nothing of it.
    """
    stream = transport.stream(method.stream, api.probe_request(method, config.subscription.terms))
    deadline = time.monotonic() + _STREAM_SECONDS
    connected_at = None
    try:
        while time.monotonic() < deadline:
            received = stream.receive(1, 1, 0.0, 0.1)
            if stream.connected and connected_at is None:
                connected_at = time.monotonic()
            lived = connected_at is not None and time.monotonic() - connected_at > _ACCEPTED_AFTER_SECONDS
            if received or lived:
                return f"{method.name} was opened, and closed unacked"
    except StreamEndedError as end:
        raise ServiceError(f"{method.name}: {end}; try again, and ask wgtwo if it stays") from None
    finally:
        stream.cancel()
    raise ServiceError(f"{method.name} was not answered within {_STREAM_SECONDS:.0f} s: check --endpoint")
