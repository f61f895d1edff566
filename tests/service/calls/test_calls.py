"""Calls of every client are gRPC: for the same server, the same codes and responses as grpcio's own.

It is over 300 lines because it is one suite, which every client passes whole.
"""

import socket
import threading
import time

import grpc
import pytest
from clients import CLIENTS, Caller
from http2_server import (
    DATA,
    END_STREAM,
    GOAWAY,
    RST_STREAM,
    Hangup,
    Http2Server,
    answer,
    frame,
    headers,
    message,
)  # fmt: skip
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from patience import PATIENCE_SECONDS, wait_until
from scripted_server import CALL, Relay, ScriptedServer
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import CallResult

GRPC = ("content-type", "application/grpc")
FINE = CallResult("OK", "", b"fine")


def test_each_call_gets_its_own_answer(both, serve):
    """Results come in the order of the requests, however many there are, empty messages included."""
    requests = [b"", *(b"%d" % number for number in range(300))]
    results = both(serve().target, CALL, requests)
    assert results == [CallResult("OK", "", b"re:" + request) for request in requests]


def test_no_requests_are_no_calls(open_caller):
    """Nothing to call needs no server, and gives nothing."""
    assert open_caller("127.0.0.1:1").call_many(CALL, [], 1.0, None) == []


@pytest.mark.parametrize("code", list(grpc.StatusCode))
def test_every_status_code_passes(both, serve, code):
    """Whatever status the service ends a call with is the one that is told, with its detail in one line."""

    def call(request, context):
        if code is not grpc.StatusCode.OK:
            context.abort(code, "bécause\nof 100 % this")
        return b"fine"

    server = serve()
    server.call = call
    (result,) = both(server.target, CALL, [b"x"])
    assert result.code == code.name
    assert result.detail == ("" if code is grpc.StatusCode.OK else "bécause of 100 % this")


def test_some_of_many_may_fail(both, serve):
    """A call that fails takes none of the others with it."""

    def call(request, context):
        if request == b"bad":
            context.abort(grpc.StatusCode.NOT_FOUND, "gone")
        return request

    server = serve()
    server.call = call
    codes = [result.code for result in both(server.target, CALL, [b"1", b"bad", b"2", b"bad"])]
    assert codes == ["OK", "NOT_FOUND", "OK", "NOT_FOUND"]


def test_an_unknown_method_is_unimplemented(both, serve):
    """A service that does not offer the method is told by its status, not by an exception."""
    assert both(serve().target, "/test.Service/Other", [b"x"])[0].code == "UNIMPLEMENTED"


def test_the_token_goes_along_as_a_header(both, serve):
    """A token is sent as `authorization: Bearer …`; without one there is no such header."""
    seen = []

    def call(request, context):
        seen.append(dict(context.invocation_metadata()).get("authorization"))
        return b""

    server = serve()
    server.call = call
    both(server.target, CALL, [b"x"], token="first.token")
    both(server.target, CALL, [b"x"])
    assert seen == ["Bearer first.token"] * 2 + [None] * 2


def test_a_newer_token_replaces_the_older_one(open_caller, serve):
    """Handles and connections are used again, headers are not."""
    seen = []

    def call(request, context):
        seen.append(dict(context.invocation_metadata()).get("authorization"))
        return b""

    server = serve()
    server.call = call
    caller = open_caller(server.target)
    for token in ("old", "new", None):
        caller.call_many(CALL, [b"x"], 10, token)
    assert seen == ["Bearer old", "Bearer new", None]


def test_big_messages_pass_both_ways(both, serve):
    """A request of 3 MiB and a response of as much: more than HTTP/2's first window."""
    request = bytes(range(256)) * 4096 * 3
    assert both(serve().target, CALL, [request])[0].response == b"re:" + request


def test_an_answer_without_end_is_cut_off(both, serve):
    """What does not fit gRPC's usual limit of 4 MiB is refused as grpcio refuses it: memory is bounded."""
    server = serve()
    server.call = lambda request, context: bytes(5 << 20)
    assert both(server.target, CALL, [b"x"])[0].code == "RESOURCE_EXHAUSTED"


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(requests=st.lists(st.binary(max_size=300), max_size=8))
def test_any_bytes_come_back_as_they_went(requests, echo):
    """Payloads are bytes: nothing in them has a meaning on the way."""
    assert [result.response for result in echo.call_many(CALL, requests, PATIENCE_SECONDS, None)] == [
        b"re:" + request for request in requests
    ]


@pytest.fixture(scope="module", params=CLIENTS)
def echo(request):
    server = ScriptedServer()
    caller = Caller(request.param, Service(server.target, plaintext=True))
    yield caller
    caller.close()
    server.stop()


# TLS


def test_tls_is_verified_against_the_named_authority(both, serve, certificate, ca_file):
    """With the authority of --ca-file calls go through, encrypted."""
    server = serve(certificate=certificate)
    assert both(server.target, CALL, [b"x"], ca_file=ca_file)[0].response == b"re:x"


def test_a_stranger_s_certificate_gets_no_call(both, serve, tmp_path, certificate):
    """A certificate that the authority has not signed is refused before anything is sent."""
    from scripted_server import self_signed

    seen = []
    server = serve(certificate=self_signed("127.0.0.1"))
    server.call = lambda request, context: seen.append(request) or b""
    other = tmp_path / "other.pem"
    other.write_bytes(certificate.pem)
    assert both(server.target, CALL, [b"x"], token="secret", ca_file=str(other))[0].code == "UNAVAILABLE"
    assert not seen


def test_a_certificate_of_another_host_gets_no_call(both, serve, tmp_path):
    """The name in the certificate has to be the one that was asked for."""
    from scripted_server import self_signed

    certificate = self_signed("elsewhere.example")
    path = tmp_path / "ca.pem"
    path.write_bytes(certificate.pem)
    server = serve(certificate=certificate)
    assert both(server.target, CALL, [b"x"], ca_file=str(path))[0].code == "UNAVAILABLE"


def test_plaintext_where_tls_is_expected(both, serve, ca_file):
    """A server without TLS is not talked to in plaintext."""
    assert both(serve().target, CALL, [b"x"], ca_file=ca_file)[0].code == "UNAVAILABLE"


# Time


def test_a_slow_answer_is_late(both, serve, release):
    """After timeout_seconds a call is DEADLINE_EXCEEDED; those that were answered are not."""

    def call(request, context):
        if request == b"slow":
            release.wait(PATIENCE_SECONDS)
        return request

    server = serve()
    server.call = call
    # With the first of these times that is enough for the quick ones on this machine.
    for timeout_seconds in (0.4, 2.0, 10.0, 50.0):
        results = both(server.target, CALL, [b"1", b"slow", b"2"], timeout_seconds=timeout_seconds)
        assert results[1].code == "DEADLINE_EXCEEDED"
        if {results[0].code, results[2].code} == {"OK"}:
            break
    assert [result.code for result in results] == ["OK", "DEADLINE_EXCEEDED", "OK"]


def test_the_server_knows_the_deadline(open_caller, serve):
    """The service is told how long anyone waits, so that it need not work for nobody.

    Within a tenth, either way: grpcio's server reckons by a wall clock, which was seen to be stepped by ten seconds.
    """
    left = []
    server = serve()
    server.call = lambda request, context: left.append(context.time_remaining()) or b""
    open_caller(server.target).call_many(CALL, [b"x"], 10 * PATIENCE_SECONDS, None)
    assert 9 * PATIENCE_SECONDS < left[0] < 11 * PATIENCE_SECONDS


def test_waiting_costs_no_cpu(open_caller, serve, release):
    """While nothing comes, the caller sleeps: with a call under way, and while it only connects."""

    def call(request, context):
        release.wait(PATIENCE_SECONDS)
        return b""

    server = serve()
    server.call = call
    with Relay(server.port) as relay:
        relay.silent.set()
        for target in (server.target, relay.target):
            spent = time.thread_time()
            open_caller(target).call_many(CALL, [b"x"], 0.5, None)
            assert time.thread_time() - spent < 0.15


def test_a_connection_that_went_silent_is_given_up(client, open_caller, serve):
    """Where a connection brings no answer any more, the next calls take a new one: it may be dead unsaid."""
    if client == "grpc":
        pytest.skip("grpcio keeps it until a ping is not answered")
    with Relay(serve().port) as relay:
        caller = open_caller(relay.target)
        assert caller.call_many(CALL, [b"x"], PATIENCE_SECONDS, None)[0].code == "OK"
        relay.silent.set()
        assert caller.call_many(CALL, [b"x"], 0.3, None)[0].code == "DEADLINE_EXCEEDED"
        relay.forget()
        assert caller.call_many(CALL, [b"x"], PATIENCE_SECONDS, None)[0].response == b"re:x"


def test_a_connection_is_used_again(open_caller):
    """One connection serves one caller's calls, one after the other."""
    with Http2Server(answer) as server:
        caller = open_caller(server.target)
        for _ in range(5):
            assert caller.call_many(CALL, [b"x"] * 10, PATIENCE_SECONDS, None) == [FINE] * 10
        assert server.connections == 1


# Servers that go, and limits


def test_nobody_there_is_unavailable(both):
    """A refused connection is told at once, for each call."""
    with socket.create_server(("127.0.0.1", 0)) as closed:
        target = f"127.0.0.1:{closed.getsockname()[1]}"
    assert [result.code for result in both(target, CALL, [b"1", b"2"], PATIENCE_SECONDS)] == [
        "UNAVAILABLE"
    ] * 2


def test_a_server_that_comes_back_is_reached(client, open_caller, serve):
    """After a restart of the service the same caller goes on."""
    first = serve()
    caller = open_caller(first.target)
    assert caller.call_many(CALL, [b"x"], PATIENCE_SECONDS, None)[0].code == "OK"
    first.stop()
    assert caller.call_many(CALL, [b"x"], PATIENCE_SECONDS, None)[0].code == "UNAVAILABLE"
    serve(port=first.port)
    if client == "grpc":  # it backs off before it connects again
        wait_until(lambda: caller.call_many(CALL, [b"x"], PATIENCE_SECONDS, None)[0].code == "OK")
    assert caller.call_many(CALL, [b"x"], PATIENCE_SECONDS, None)[0].response == b"re:x"


@pytest.mark.parametrize("limit", [1, 3, 20])
def test_few_streams_at_once_are_enough(open_caller, serve, limit):
    """A server that allows few concurrent streams gets the calls in turn.

    Those that it refuses all the same are UNAVAILABLE, as with grpcio: a new connection has not heard how many
    are allowed, and the server may count a stream that has just ended. Trying again at once is enough.
    """
    caller = open_caller(serve(max_concurrent_streams=limit).target)
    requests, rounds = [b"%d" % number for number in range(50)], 0
    while requests:
        results = caller.call_many(CALL, requests, PATIENCE_SECONDS, None)
        assert {result.code for result in results} <= {"OK", "UNAVAILABLE"}
        requests = [request for request, result in zip(requests, results, strict=True) if result.code != "OK"]
        rounds += 1
    assert rounds <= 5


def test_a_server_that_ends_connections_by_age_loses_no_call(open_caller, serve):
    """GOAWAY between calls, as load balancers send it all the time, is nothing that a caller hears of."""
    server = serve(max_connection_age_ms=150, max_connection_age_grace_ms=int(PATIENCE_SECONDS * 1000))
    caller = open_caller(server.target)
    ends = time.monotonic() + 1.0
    while time.monotonic() < ends:
        results = caller.call_many(CALL, [b"x"] * 20, PATIENCE_SECONDS, None)
        assert [result.code for result in results] == ["OK"] * 20


def test_calls_that_a_goaway_has_refused_are_made_again(both):
    """GOAWAY with a last stream before ours says that it was not processed: the call goes to a new connection."""
    seen = []

    def script(stream):
        seen.append(stream)
        if len(seen) in (1, 3):
            raise Hangup(frame(GOAWAY, 0, 0, bytes(8)))
        return answer(stream)

    with Http2Server(script) as server:
        assert both(server.target, CALL, [b"x"]) == [FINE]
        assert len(seen) == 4


def test_a_lost_reply_is_unavailable(both):
    """A connection that breaks before the status came says nothing of the call: it is no success."""

    def script(stream):
        raise Hangup(headers(stream, (":status", "200"), GRPC), frame(DATA, 0, stream, message(b"fine")))

    with Http2Server(script) as server:
        assert both(server.target, CALL, [b"x"])[0].code == "UNAVAILABLE"


# Answers that are no gRPC


@pytest.mark.parametrize("status", [302, 400, 401, 403, 404, 418, 429, 500, 502, 503, 504])
def test_a_proxy_s_answer_is_read_as_grpc_says(both, status):
    """An HTTP status without a gRPC status is mapped as grpc/doc/http-grpc-status-mapping.md has it."""

    def script(stream):
        html = headers(stream, (":status", str(status)), ("content-type", "text/html"))
        return html + frame(DATA, END_STREAM, stream, b"<p>sorry")

    with Http2Server(script) as server:
        (result,) = both(server.target, CALL, [b"x"])
        assert str(status) in result.detail


def test_a_status_alone_is_an_answer(both):
    """A call may be refused by one frame of headers that has the status."""

    def script(stream):
        fields = (":status", "200"), GRPC, ("grpc-status", "7"), ("grpc-message", "no%20way%21")
        return headers(stream, *fields, end=True)

    with Http2Server(script) as server:
        assert both(server.target, CALL, [b"x"]) == [CallResult("PERMISSION_DENIED", "no way!", None)]


@pytest.mark.parametrize("number", ["17", "-1", "ok", "999999999999999999999"])
def test_a_status_that_does_not_exist_is_unknown(client, open_caller, number):
    """A status that nobody knows is a failure (grpcio calls some of them INTERNAL)."""
    expected = {"http2": ["UNKNOWN"], "grpc": ["UNKNOWN", "INTERNAL"]}[client]

    def script(stream):
        fields = (":status", "200"), GRPC, ("grpc-status", number)
        return headers(stream, *fields, end=True)

    with Http2Server(script) as server:
        (result,) = open_caller(server.target).call_many(CALL, [b"x"], PATIENCE_SECONDS, None)
        assert result.code in expected


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0\0", message(b"fine")[:-1], message(b"fine") + b"!", b"\1" + message(b"fine")[1:]],
    ids=["none", "half a prefix", "cut off", "too long", "compressed"],
)
def test_success_without_one_whole_message_is_none(client, open_caller, body):
    """A status of success does not make an answer of bytes that are no message (grpcio waits for more of some)."""
    seconds, expected = {
        "http2": (PATIENCE_SECONDS, ["INTERNAL"]),
        "grpc": (2, ["INTERNAL", "DEADLINE_EXCEEDED"]),
    }[client]

    def script(stream):
        head = headers(stream, (":status", "200"), GRPC)
        return head + frame(DATA, 0, stream, body) + headers(stream, ("grpc-status", "0"), end=True)

    with Http2Server(script) as server:
        (result,) = open_caller(server.target).call_many(CALL, [b"x"], seconds, None)
        assert result.code in expected
        assert result.response is None


def test_a_stream_that_is_reset_fails_alone(client, open_caller):
    """RST_STREAM ends one call; the connection and the others go on."""
    expected = {"http2": "UNAVAILABLE", "grpc": "INTERNAL"}[client]

    def script(stream):
        return frame(RST_STREAM, 0, stream, b"\0\0\0\x02") if stream == 3 else answer(stream)

    with Http2Server(script) as server:
        results = open_caller(server.target).call_many(CALL, [b"x"] * 3, PATIENCE_SECONDS, None)
        codes = [result.code for result in results]
        if client == "grpc":  # whose streams are not in the order of the calls
            codes.remove(expected)
            codes.insert(1, expected)
        assert codes == ["OK", expected, "OK"]
        assert server.connections == 1


def test_http_1_is_no_grpc(both):
    """A server of another kind is a failure, soon, and no exception."""

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            for _ in range(2):
                client, _ = listener.accept()
                with client:
                    client.recv(1000)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n")

        thread = threading.Thread(target=serve)
        thread.start()
        caller_results = both(f"127.0.0.1:{listener.getsockname()[1]}", CALL, [b"x"], PATIENCE_SECONDS)
        thread.join()
    assert caller_results[0].code == "UNAVAILABLE"


# Threads


def test_threads_share_a_caller(open_caller, serve):
    """Several threads call at once, each over a connection of its own, and get their own answers."""
    server = serve()
    caller = open_caller(server.target)
    wrong, barrier = [], threading.Barrier(4)

    def work(name):
        barrier.wait()
        for number in range(20):
            requests = [b"%s-%d-%d" % (name, number, index) for index in range(10)]
            results = caller.call_many(CALL, requests, PATIENCE_SECONDS, None)
            if [result.response for result in results] != [b"re:" + request for request in requests]:
                wrong.append(results)

    threads = [threading.Thread(target=work, args=(b"%d" % index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_closing_during_a_call_waits_for_nothing(serve, open_caller, release):
    """`close` returns at once; a call under way still gets its answer, and later ones are CANCELLED."""
    asked = threading.Event()

    def call(request, context):
        asked.set()
        release.wait(PATIENCE_SECONDS)
        return b"late"

    server = serve()
    server.call = call
    caller = open_caller(server.target)
    results = []
    thread = threading.Thread(
        target=lambda: results.extend(caller.call_many(CALL, [b"x"], PATIENCE_SECONDS, None))
    )
    thread.start()
    assert asked.wait(PATIENCE_SECONDS)
    caller.close()  # before `release`: the call is still under way
    caller.close()
    assert caller.call_many(CALL, [b"x"], PATIENCE_SECONDS, None)[0].code == "CANCELLED"
    release.set()
    thread.join(PATIENCE_SECONDS)
    assert results == [CallResult("OK", "", b"late")]


# Proxies


class ConnectProxy(Relay):
    """A proxy that makes tunnels, and remembers to where."""

    def __init__(self, port):
        super().__init__(port)
        self.asked = []

    def _greet(self, client):
        self.asked.append(client.recv(65536).split(b"\r\n")[0].decode())
        client.sendall(b"HTTP/1.1 200 OK\r\n\r\n")


@pytest.mark.parametrize("variable", ["grpc_proxy", "https_proxy", "http_proxy"])
def test_calls_go_through_the_proxy_that_streams_go_through(both, serve, monkeypatch, variable):
    """The variables that grpcio heeds lead our calls through the same proxy, by a tunnel."""
    server = serve()
    with ConnectProxy(server.port) as proxy:
        monkeypatch.setenv(variable, f"http://{proxy.target}")
        monkeypatch.delenv("no_proxy", raising=False)
        target = f"events.example:{server.port}"  # which only the proxy knows
        assert both(target, CALL, [b"x"])[0].response == b"re:x"
        assert proxy.asked == [f"CONNECT {target} HTTP/1.1"] * 2


@pytest.mark.parametrize("variable", ["no_grpc_proxy", "no_proxy"])
def test_a_host_may_be_excepted_from_the_proxy(both, serve, monkeypatch, variable):
    """So do the variables that except hosts."""
    server = serve()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv(variable, "localhost,127.0.0.1")
    assert both(server.target, CALL, [b"x"])[0].response == b"re:x"


def test_requests_of_a_wrong_kind_do_not_spoil_the_caller(open_caller, serve):
    """An exception, which only a wrong use can cause, leaves the caller usable."""
    caller = open_caller(serve().target)
    with pytest.raises(TypeError):
        caller.call_many(CALL, [b"x", None], PATIENCE_SECONDS, None)
    assert caller.call_many(CALL, [b"x"], PATIENCE_SECONDS, None)[0].response == b"re:x"
