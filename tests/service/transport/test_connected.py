"""A stream says whether it has reached the service: what is not heard from must not count as quiet."""

import pytest
from clients import transport_of
from patience import PATIENCE_SECONDS, wait_until
from scripted_server import STREAM, Relay
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import StreamEndedError


def test_a_quiet_stream_is_connected(connect, server, release):
    """Also where the service sends nothing, not even headers; and a second stream over the same connection."""

    def stream(request, context):
        release.wait(PATIENCE_SECONDS)
        yield from ()

    server.stream = stream
    transport = connect(server.target)
    for _ in range(2):
        open_stream = transport.stream(STREAM, b"")
        wait_until(lambda open_stream=open_stream: open_stream.connected)
        assert open_stream.receive(1, 1, 0, 0) == []


def test_a_stream_that_reaches_nobody_is_not_connected(connect, server):
    """A connection on which nobody answers, as behind a broken middlebox, is none."""
    with Relay(server.port) as relay:
        relay.silent.set()
        open_stream = connect(relay.target).stream(STREAM, b"")
        assert open_stream.receive(1, 1, 0, 0.5) == []
        assert not open_stream.connected


def test_a_service_that_comes_late_is_noticed(connect, server, release):
    """Once a later stream reaches the service it says so."""
    with Relay(server.port) as relay:
        relay.silent.set()
        transport = connect(relay.target)
        first = transport.stream(STREAM, b"")
        assert first.receive(1, 1, 0, 0.2) == []
        first.cancel()
        with pytest.raises(StreamEndedError):
            first.receive(1, 1, 0, PATIENCE_SECONDS)
        assert not first.connected

    def stream(request, context):
        release.wait(PATIENCE_SECONDS)
        yield from ()

    server.stream = stream
    second = connect(server.target).stream(STREAM, b"")
    wait_until(lambda: second.connected)


def test_grpcio_closes_its_connection_only_when_nobody_watches_it(server, monkeypatch):
    """grpcio's watching thread would print a traceback: what it is told by is private, so a release may move it."""
    transport = transport_of("grpc", Service(server.target, plaintext=True))
    channel = transport._client._channel
    watched = []
    close = channel.close
    monkeypatch.setattr(
        channel, "close", lambda: (watched.append(channel._connectivity_state.polling), close())
    )
    stream = transport.stream(STREAM, b"")
    wait_until(lambda: channel._connectivity_state.polling or stream.ended)
    transport.close()
    assert watched == [False]
