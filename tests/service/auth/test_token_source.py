"""Tokens: fetched as OAuth 2.0 client credentials, renewed in time, by one thread, and never shown.

It is over 300 lines because each way in which a token endpoint answers is one short test.
"""

import email.utils
import itertools
import logging
import pickle
import socket
import threading
import time
import traceback
from concurrent import futures
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import PATIENCE_SECONDS, wait_until
from token_servers import SECRET
from wgtwo_pipeline.errors import PipelineError, ServiceError
from wgtwo_pipeline.service.auth import TokenSource, TokenUnavailableError
from wgtwo_pipeline.service.settings import Secret


def test_client_credentials_are_asked_for_as_the_service_wants(endpoint, oauth):
    """The form holds grant_type and the scopes separated by spaces; id and secret travel as basic auth only."""
    source = TokenSource(replace(oauth, scopes=("events.sms.subscribe", "events.voice.subscribe")))
    assert source.token() == "token-1"
    assert endpoint.requests == [
        {"grant_type": "client_credentials", "scope": "events.sms.subscribe events.voice.subscribe"}
    ]


def test_no_scopes_are_no_field(endpoint, oauth):
    """A client that needs no scopes (consent revocations only) does not send an empty one."""
    TokenSource(replace(oauth, scopes=())).token()
    assert endpoint.requests == [{"grant_type": "client_credentials"}]


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(lifetime=st.floats(1, 100_000), step=st.floats(0.01, 0.3))
def test_a_token_is_renewed_before_it_expires(endpoint, oauth, clock, lifetime, step):
    """No token is given out in the last third of its life (at most a minute), nor fetched more often than needed."""
    endpoint.lifetime_seconds = lifetime
    source = TokenSource(oauth, clock)
    fetched_at, current = clock.now, source.token()
    for _ in range(20):
        clock.now += step * lifetime
        token = source.token()
        leeway = min(60, lifetime / 3)
        age = clock.now - fetched_at
        if token == current:
            assert age < lifetime - leeway + 1e-6 * lifetime
        else:
            assert age > lifetime - leeway - 1e-6 * lifetime
            fetched_at, current = clock.now, token


def test_an_answer_without_a_lifetime_is_renewed_now_and_then(endpoint, oauth, clock):
    """Where the endpoint does not say how long a token lasts, five minutes are assumed."""
    endpoint.lifetime_seconds = None
    source = TokenSource(oauth, clock)
    assert source.token() == "token-1"
    clock.now += 200
    assert source.token() == "token-1"
    clock.now += 100
    assert source.token() == "token-2"


def test_one_refresh_at_a_time(endpoint, oauth):
    """Threads that need a token at once get the same one from one request."""
    endpoint.delay_seconds = 0.2
    source = TokenSource(oauth)
    with futures.ThreadPoolExecutor(8) as pool:
        tokens = set(pool.map(lambda _: source.token(), range(8)))
    assert tokens == {"token-1"}
    assert len(endpoint.requests) == 1


def test_nobody_waits_for_a_refresh_while_the_old_token_lasts(endpoint, oauth, clock):
    """During a slow refresh other threads go on with the token that is not expired yet."""
    source = TokenSource(oauth, clock)
    source.token()
    clock.now += 3550
    endpoint.answers.clear()
    with futures.ThreadPoolExecutor(1) as pool:
        refreshed = pool.submit(source.token)
        wait_until(lambda: endpoint.at_once, what="the refresh is under way")
        assert source.token() == "token-1"
        assert not refreshed.done()
        endpoint.answers.set()
        assert refreshed.result(PATIENCE_SECONDS) == "token-2"
    assert endpoint.most_at_once == 1


def test_a_failing_endpoint_is_left_alone_for_a_while(endpoint, oauth, clock, caplog):
    """Each failure doubles the pause, jittered, in which nobody asks but everybody hears of the failure."""
    endpoint.failures = [(503, b"down")] * 4
    source = TokenSource(oauth, clock)
    asked_at: list[float] = []
    while endpoint.failures:
        with pytest.raises(TokenUnavailableError, match="503"):
            source.token()
        asked_at += [clock.now] * (len(endpoint.requests) - len(asked_at))
        clock.now += 0.01
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked_at)]
    assert len(pauses) == 3
    for pause, expected in zip(pauses, (0.2, 0.4, 0.8), strict=True):
        assert 0.5 * expected <= pause <= 1.5 * expected + 0.02
    clock.now += 5
    assert source.token() == "token-1"


def test_a_failing_refresh_does_not_hurt_while_the_old_token_lasts(endpoint, oauth, clock, caplog):
    """Only when the token has expired is its failing renewal anybody's problem."""
    source = TokenSource(oauth, clock)
    source.token()
    endpoint.failures = [(500, b""), (401, b'{"error": "invalid_client"}'), (500, b"")]
    clock.now += 3545
    assert source.token() == "token-1"
    clock.now += 1
    assert source.token() == "token-1"
    clock.now += 60
    with pytest.raises(TokenUnavailableError):
        source.token()


@pytest.mark.parametrize(
    ("status", "body", "words"),
    [
        (401, b'{"error": "invalid_client"}', ["invalid_client", "client-1", "CLIENT_SECRET"]),
        (400, b'{"error": "unauthorized_client"}', ["unauthorized_client", "CLIENT_ID"]),
        (400, b'{"error": "invalid_scope"}', ["invalid_scope", "events.sms.subscribe", "--scope"]),
        (400, b'{"error": "unsupported_grant_type"}', ["--token-url"]),
        (401, b"<html>", ["CLIENT_SECRET"]),
        (403, b"", ["CLIENT_SECRET"]),
        (404, b"not here", ["404", "--token-url"]),
        (302, b"", ["--token-url"]),
        (200, b"<html>welcome", ["--token-url"]),
        (200, b"[1]", ["--token-url"]),
        (200, b'{"token": 1}', ["--token-url"]),
        (200, b'{"access_token": "a\\nb"}', ["--token-url"]),
    ],
)
def test_what_waiting_cannot_mend_is_an_error(endpoint, oauth, status, body, words):
    """A wrong client, secret, scope or URL ends with one sentence that names it and the fix."""
    endpoint.failures = [(status, body)]
    with pytest.raises(ServiceError) as error:
        TokenSource(oauth).token()
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize("status", [408, 425, 429, 500, 502, 503, 504])
def test_what_may_pass_is_tried_again(endpoint, oauth, clock, status, caplog):
    """A token endpoint that is overloaded or down is asked again later."""
    endpoint.failures = [(status, b'{"error": "slow_down"}')]
    source = TokenSource(oauth, clock)
    with pytest.raises(TokenUnavailableError, match=str(status)):
        source.token()
    clock.now += 1
    assert source.token() == "token-1"


def test_an_endpoint_that_is_down_is_tried_again(endpoint, oauth, clock, caplog):
    """Connection refused says that the endpoint is down now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(TokenUnavailableError, match="cannot be reached"):
        TokenSource(replace(oauth, token_url=f"http://127.0.0.1:{port}/oauth2/token"), clock).token()


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://no-such-host.invalid/oauth2/token", ["no-such-host.invalid", "--token-url"]),
        ("https://127.0.0.1:{port}/oauth2/token", ["does not speak TLS", "--token-url"]),
    ],
)
def test_a_wrong_token_url_is_an_error(endpoint, oauth, url, words):
    """A token URL that nobody can ever answer at is told at once."""
    port = endpoint.url.rsplit(":", 1)[1].split("/")[0]
    with pytest.raises(ServiceError) as error:
        TokenSource(replace(oauth, token_url=url.format(port=port))).token()
    for word in words:
        assert word in str(error.value)


def test_once_it_has_worked_a_strange_answer_may_pass(endpoint, oauth, clock, caplog):
    """A 404 after a token was fetched is a gateway in trouble, not a wrong URL."""
    source = TokenSource(oauth, clock)
    source.token()
    endpoint.failures = [(404, b"")]
    clock.now += 4000
    with pytest.raises(TokenUnavailableError, match="404"):
        source.token()


def test_a_refused_token_is_fetched_anew(oauth):
    """After the service has refused a token, another one is given out."""
    source = TokenSource(oauth)
    first = source.token()
    source.refused(first)
    assert source.token() != first


def test_the_second_refusal_in_a_row_is_an_error(oauth):
    """If the token fetched instead is refused as well, the error names the scopes and the client."""
    source = TokenSource(oauth)
    source.refused(source.token())
    with pytest.raises(ServiceError, match=r"client-1.*events\.sms\.subscribe.*--scope"):
        source.refused(source.token())


def test_a_refusal_counts_once_however_many_calls_meet_it(oauth):
    """Many calls of one token that are all refused are one refusal."""
    source = TokenSource(oauth)
    first = source.token()
    for _ in range(5):
        source.refused(first)
    assert source.token() == "token-2"
    source.refused(first)
    assert source.token() == "token-2"


def test_an_accepted_token_forgives(oauth):
    """Refusals with successes in between are not in a row: tokens may be revoked now and then."""
    source = TokenSource(oauth)
    for _ in range(4):
        source.refused(source.token())
        source.token()
        source.accepted()


def test_a_token_that_expired_on_the_way_proves_nothing(oauth, clock):
    """With tokens of seconds, a refusal of one that has expired meanwhile is not held against the client."""
    source = TokenSource(oauth, clock)
    for _ in range(4):
        token = source.token()
        clock.now += 3600
        source.refused(token)


def test_tokens_and_secrets_are_never_shown(endpoint, oauth, clock, caplog):
    """Neither a token nor the secret is in a repr, a log line, an error or its traceback."""
    caplog.set_level(logging.DEBUG)
    source = TokenSource(oauth, clock)
    shown = []
    for failure in (None, (401, b'{"error": "invalid_client"}'), (503, b"down"), (200, b"<html>")):
        endpoint.failures = [failure] if failure else []
        clock.now += 4000
        try:
            source.token()
        except PipelineError as error:
            shown += [*traceback.format_exception(error), repr(error.__context__)]
    assert "503" in caplog.text
    assert shown.count("None") == 3, "a context would lead to the request, which holds the secret"
    shown += [repr(source), repr(vars(source)), repr(oauth), caplog.text]
    for text in shown:
        assert SECRET not in text
        assert "token-1" not in text


def test_a_token_source_is_not_pickled(oauth):
    """Pickling is refused, before and after a token was fetched; pickled settings hold no secret."""
    source = TokenSource(oauth)
    source.token()
    with pytest.raises(TypeError, match="pickle its OAuth settings"):
        pickle.dumps(source)
    assert SECRET.encode() not in pickle.dumps(oauth)


def test_a_secret_that_is_not_there_is_an_error_at_once(endpoint, oauth, monkeypatch):
    """A worker without the secret says so, and asks nobody."""
    for variable in Secret.VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    with pytest.raises(Exception, match="CLIENT_SECRET"):
        TokenSource(replace(oauth, client_secret=Secret())).token()
    assert endpoint.requests == []


def test_many_threads_with_short_tokens(endpoint, oauth):
    """Under load with tokens of a second, no thread is ever given an expired token, and one refreshes at a time."""
    endpoint.lifetime_seconds = 1.0
    source = TokenSource(oauth)
    began = time.monotonic()
    late: list[str] = []

    def use() -> None:
        while len(endpoint.requests) < 4:
            asked_at = time.monotonic()
            token = source.token()
            if endpoint.expiry[token] < asked_at:
                late.append(token)
            time.sleep(0.001)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert late == []
    assert endpoint.most_at_once == 1
    # One is good for two thirds of a second.
    assert 4 <= len(endpoint.requests) <= (time.monotonic() - began) / (2 / 3) + 2


@pytest.mark.parametrize(
    ("body", "lasts", "ends"),
    [
        (b'{"access_token": "token-1", "expires_in": "3599.5"}', 3500, 3600),
        (b'{"access_token": "token-1", "expires_in": 3599.5}', 3500, 3600),
        (b'{"access_token": "token-1", "expires_in": 1e400}', 364 * 86400, 366 * 86400),
        (b'{"access_token": "token-1", "expires_in": -1}', 0.5, 2),
        (b'{"access_token": "token-1", "expires_in": "soon"}', 200, 301),
        (b'{"access_token": "token-1", "expires_in": NaN}', 200, 301),
        (b'\xef\xbb\xbf{"access_token": "token-1", "expires_in": 3600}', 3500, 3600),
        (b'{"access_token": "token-1\\n", "expires_in": 3600}', 3500, 3600),
    ],
    ids=[
        "text",
        "a fraction",
        "without end",
        "negative",
        "a word",
        "no number",
        "a byte order mark",
        "a line end",
    ],
)
def test_an_endpoint_that_writes_in_its_own_way(endpoint, oauth, clock, body, lasts, ends):
    """Lifetimes that are no whole numbers, a BOM and white space around a token are read as what they mean."""
    endpoint.failures.append((200, body))
    source = TokenSource(oauth, clock)
    assert source.token() == "token-1"
    clock.now += lasts
    source.token()
    assert len(endpoint.requests) == 1
    clock.now += ends - lasts
    source.token()
    assert len(endpoint.requests) == 2


def test_a_secret_that_is_being_rotated_is_waited_for(endpoint, oauth, clock):
    """A client that was let in before and is refused now is asked for again, as long as the service keeps events."""
    source = TokenSource(oauth, clock)
    source.token()
    clock.now += 3600
    started = clock.now
    while clock.now < started + 1700:
        endpoint.failures = [(401, b'{"error": "invalid_client"}')]
        with pytest.raises(TokenUnavailableError, match="which it let in before"):
            source.token()
        clock.now += 60
    assert source.token() == "token-2"
    clock.now += 3600
    endpoint.failures = [(401, b'{"error": "invalid_client"}')] * 2
    with pytest.raises(TokenUnavailableError):
        source.token()
    clock.now += 1801
    with pytest.raises(ServiceError, match="check CLIENT_ID and CLIENT_SECRET"):
        source.token()


def test_retry_after_is_read(endpoint, oauth, clock):
    """The endpoint is left alone for as long as it asks for, in seconds or until a date, but not for ever."""
    source = TokenSource(oauth, clock)
    in_two_minutes = email.utils.formatdate(time.time() + 120, usegmt=True)
    for asked_for, alone, again in (
        ("40", 39, 41),
        (in_two_minutes, 60, 301),
        ("99999", 299, 301),
        ("soon", 0, 31),
    ):
        endpoint.retry_after = asked_for
        endpoint.failures = [(429, b"slow down")]
        before = len(endpoint.requests)
        with pytest.raises(TokenUnavailableError):
            source.token()
        clock.now += alone
        endpoint.failures = [(429, b"slow down")]
        with pytest.raises(TokenUnavailableError):
            source.token()
        if alone:
            assert len(endpoint.requests) == before + 1
        endpoint.retry_after, endpoint.failures = None, []
        clock.now += again
        assert source.token()
        source = TokenSource(oauth, clock)
