"""The token travels with the stream and with every call; a refused one is replaced, a second refusal is an error."""

import pytest
from clients import CLIENTS, transport_of
from patience import PATIENCE_SECONDS, wait_until
from token_servers import CALL, STREAM
from wgtwo_pipeline.errors import ServiceError
from wgtwo_pipeline.service.open import open_transport
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import StreamEndedError


@pytest.fixture(params=CLIENTS)
def transport(request, service, oauth):
    transport = transport_of(request.param, Service(service.target, plaintext=True, oauth=oauth))
    yield transport
    transport.close()


def first_payload(transport) -> bytes:
    (item,) = transport.stream(STREAM, b"").receive(1, 1, 0, PATIENCE_SECONDS)
    return item.payload


def test_streams_and_calls_carry_the_token(transport, service, endpoint):
    """`authorization: Bearer …` is on the stream and on each call; one token serves them all."""
    assert first_payload(transport) == b"token-1"
    assert [result.response for result in transport.call_many(CALL, [b""] * 3, PATIENCE_SECONDS)] == [
        b"token-1"
    ] * 3
    assert service.seen == [(STREAM, "token-1"), (CALL, "token-1"), (CALL, "token-1"), (CALL, "token-1")]
    assert len(endpoint.requests) == 1


def test_without_oauth_no_token_is_sent(service, endpoint):
    """A service without authorization is not asked for, or shown, a token."""
    transport = open_transport(Service(service.target, plaintext=True))
    try:
        assert transport.call_many(CALL, [b""], PATIENCE_SECONDS)[0].code == "UNAUTHENTICATED"
        with pytest.raises(ServiceError, match="CLIENT_ID"):
            transport.stream(STREAM, b"").receive(1, 1, 0, PATIENCE_SECONDS)
    finally:
        transport.close()
    assert {token for _, token in service.seen} == {""}
    assert endpoint.requests == []


def test_calls_refused_once_are_repeated_with_a_new_token(transport, service):
    """Calls whose token was revoked succeed within the same call_many."""
    service.revoked = {"token-1"}
    assert [result.response for result in transport.call_many(CALL, [b""] * 3, PATIENCE_SECONDS)] == [
        b"token-2"
    ] * 3


def test_a_stream_refused_once_can_be_opened_again(transport, service):
    """A stream whose token is refused ends like any other; the next one has a new token."""
    service.revoked = {"token-1"}
    with pytest.raises(StreamEndedError) as end:
        first_payload(transport)
    assert end.value.code == "UNAUTHENTICATED"
    assert first_payload(transport) == b"token-2"


def test_a_stream_refused_twice_is_an_error(transport, service):
    """The second refusal names the scope."""
    service.refuse_all = True
    with pytest.raises(StreamEndedError):
        first_payload(transport)
    with pytest.raises(ServiceError, match=r"--scope"):
        first_payload(transport)


def test_calls_refused_twice_end_the_stream_with_an_error(transport, service):
    """Acks that no token gets through end the stream that they belong to, since none of its events can be acked."""
    stream = transport.stream(STREAM, b"")
    assert len(stream.receive(1, 1, 0, PATIENCE_SECONDS)) == 1
    service.refuse_all = True
    assert {result.code for result in transport.call_many(CALL, [b""] * 3, PATIENCE_SECONDS)} == {
        "UNAUTHENTICATED"
    }
    with pytest.raises(ServiceError, match=r"--scope"):
        stream.receive(1, 1, 0, PATIENCE_SECONDS)


def test_short_tokens_under_way(transport, service, endpoint):
    """With tokens of 3 seconds calls go on for several lifetimes, and so does a stream whose token has died."""
    endpoint.lifetime_seconds = 3.0
    stream = transport.stream(STREAM, b"")
    codes = set()
    while len(endpoint.requests) < 3:  # each is good for two seconds
        codes |= {result.code for result in transport.call_many(CALL, [b""] * 5, PATIENCE_SECONDS)}
    assert codes == {"OK"}
    assert len(stream.receive(1, 1, 0, PATIENCE_SECONDS)) == 1
    assert stream.receive(1, 1, 0, 0) == []


def test_a_token_endpoint_that_fails_at_first(transport, service, endpoint, caplog):
    """While there is no token, streams end as UNAVAILABLE and calls are UNAVAILABLE; then all goes on by itself."""
    endpoint.failures = [(503, b"")] * 3
    with pytest.raises(StreamEndedError) as end:
        first_payload(transport)
    assert (end.value.code, "503" in end.value.detail) == ("UNAVAILABLE", True)
    assert transport.call_many(CALL, [b""], PATIENCE_SECONDS)[0].code == "UNAVAILABLE"
    wait_until(lambda: transport.call_many(CALL, [b""], PATIENCE_SECONDS)[0].code == "OK")
    assert first_payload(transport) == b"token-1"
    assert endpoint.failures == []


def test_a_client_that_the_endpoint_refuses(transport, endpoint):
    """What the token endpoint refuses for good ends the stream with its error, not with an endless retry."""
    endpoint.failures = [(401, b'{"error": "invalid_client"}')]
    with pytest.raises(ServiceError, match="CLIENT_SECRET"):
        first_payload(transport)
