"""What cannot work as configured ends `ingest` and `run` in seconds, with exit 1 and one sentence that names the fix.

The sentence comes from a child process that connects; it must reach the user through the whole tree, alone.
"""

import time
from collections.abc import Callable, Iterator
from concurrent import futures
from pathlib import Path

import grpc
import pytest
from network import Listener
from patience import at_most
from processes import Command
from witness import CLIENT, CREDENTIALS, SECRET, Stand

END_SECONDS = 15.0
"""About 4 s on an idle machine, most of them imports."""
WRONG = CREDENTIALS | {"CLIENT_SECRET": "not-the-secret"}


@pytest.fixture(scope="module")
def stand(tmp_path_factory) -> Iterator[Stand]:
    """TLS, and tokens demanded."""
    folder = tmp_path_factory.mktemp("stand")
    tls = folder / "tls"
    oauth = ("--oauth-address", "127.0.0.1:0", "--oauth-client", f"{CLIENT}:{SECRET}")
    service = Stand(folder, "--rate", 1, "--tls-dir", tls, *oauth)
    service.authority = tls / "cert.pem"
    yield service
    service.command.end()


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Iterator[Stand]:
    """Neither."""
    service = Stand(tmp_path_factory.mktemp("plain"), "--rate", 1)
    yield service
    service.command.end()


@pytest.fixture
def refused(command, lake) -> Callable[..., str]:
    """The one sentence with which a command ends that is never let in."""

    def start(*options: object, env: dict[str, str] | None = None, flow: str = "ingest") -> str:
        began = time.monotonic()
        process: Command = command(flow, "--lake", lake, *options, env=env)
        code = process.wait()
        took = time.monotonic() - began
        assert code == 1, process.stderr
        assert took < at_most(END_SECONDS), f"took {took:.1f} s\n{process.stderr}"
        assert process.stdout == ""
        assert "Traceback" not in process.stderr
        sentences = [
            line for line in process.stderr.splitlines() if line.startswith("wgtwo-pipeline: error: ")
        ]
        assert len(sentences) == 1, process.stderr
        assert "unexpected" not in sentences[0]
        assert not any(" ERROR " in line for line in process.stderr.splitlines()), process.stderr
        assert SECRET not in process.stderr
        return sentences[0]

    return start


def secured(stand: Stand, *options: object) -> tuple[object, ...]:
    return (
        "--endpoint",
        stand.address,
        "--ca-file",
        stand.authority,
        "--token-url",
        stand.token_url,
        *options,
    )


def test_a_wrong_secret(stand, refused):
    """Names CLIENT_SECRET."""
    sentence = refused(*secured(stand), env=WRONG)
    assert "CLIENT_SECRET" in sentence


def test_plaintext_against_tls(stand, refused):
    """Says to leave --plaintext out; through `run`, whose publisher ends as well."""
    sentence = refused("--endpoint", stand.address, "--plaintext", flow="run")
    assert "--plaintext" in sentence


heavy = pytest.mark.heavy


@heavy
@pytest.mark.parametrize("flow", ["run", "ingest"])
def test_tls_against_plaintext(plain, refused, flow):
    """Says to use --plaintext."""
    assert "--plaintext" in refused("--endpoint", plain.address, flow=flow)


@heavy
@pytest.mark.parametrize("flow", ["run", "ingest"])
def test_a_host_that_does_not_exist(refused, flow):
    """Names the host and --endpoint."""
    sentence = refused("--endpoint", "no-such-host.invalid:443", flow=flow)
    assert "no-such-host.invalid" in sentence
    assert "--endpoint" in sentence


@heavy
def test_a_port_where_another_service_listens(refused):
    """A web server, say."""
    other = Listener(lambda client: (client.recv(100), client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    assert "--endpoint" in refused("--endpoint", other.address, "--plaintext")
    other.close()


@heavy
def test_a_certificate_that_is_not_trusted(stand, refused):
    """Names --ca-file."""
    assert "--ca-file" in refused("--endpoint", stand.address)


@heavy
def test_a_service_that_wants_a_token(stand, refused):
    """Names CLIENT_ID and CLIENT_SECRET."""
    sentence = refused("--endpoint", stand.address, "--ca-file", stand.authority)
    assert "CLIENT_ID" in sentence


@heavy
def test_a_scope_that_does_not_exist(stand, refused):
    """Names the scope and --scope."""
    sentence = refused(*secured(stand, "--scope", "events.telepathy.subscribe"), env=CREDENTIALS)
    assert "events.telepathy.subscribe" in sentence
    assert "--scope" in sentence


@heavy
@pytest.mark.parametrize(
    ("api", "types", "scope"),
    [
        ("v0", "sms", "events.voice.subscribe"),
        ("v1", "handset_change", "subscription.first_attachment:read"),
    ],
)
def test_a_scope_that_does_not_cover_the_types(stand, refused, api, types, scope):
    """Names the scopes asked for, --scope and --types; on v1 although another stream is let in."""
    options = ("--api", api, "--types", types, "--scope", scope)
    sentence = refused(*secured(stand, *options), env=CREDENTIALS, flow="run")
    assert scope in sentence
    assert "--scope" in sentence
    assert "--types" in sentence


@heavy
def test_tokens_that_are_always_refused(sandbox, refused):
    """The second refusal in a row is the last: names the scopes and --token-url."""
    service = sandbox(
        *("--rate", 1, "--token-validity", "1ms"),
        *("--oauth-address", "127.0.0.1:0", "--oauth-client", f"{CLIENT}:{SECRET}"),
    )
    sentence = refused(
        *("--endpoint", service.address, "--plaintext", "--token-url", service.token_url, "--types", "sms"),
        env=CREDENTIALS,
    )
    assert "events.sms.subscribe" in sentence
    assert "--token-url" in sentence


@heavy
def test_a_token_endpoint_that_is_none(plain, stand, refused):
    """Another path of the host answers 404: names --token-url."""
    wrong = stand.token_url.replace("/oauth2/token", "/oauth2/tokens")
    options = ("--endpoint", stand.address, "--ca-file", stand.authority, "--token-url", wrong)
    assert "--token-url" in refused(*options, env=CREDENTIALS)


class Answering(grpc.GenericRpcHandler):
    """Ends every stream with a status."""

    def __init__(self, code: grpc.StatusCode, detail: str) -> None:
        self._code, self._detail = code, detail

    def service(self, handler_call_details):
        def stream(request, context):
            context.abort(self._code, self._detail)

        return grpc.unary_stream_rpc_method_handler(stream)


@heavy
@pytest.mark.parametrize(
    ("code", "detail", "names"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, "queue_name must not contain dots", "queue_name must not"),
        (grpc.StatusCode.UNIMPLEMENTED, "no such method", "--api"),
    ],
)
def test_a_service_that_refuses_the_request(refused, code, detail, names):
    """What the service says stands in the sentence."""
    server = grpc.server(futures.ThreadPoolExecutor(4), (Answering(code, detail),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sentence = refused("--endpoint", f"127.0.0.1:{port}", "--plaintext")
    server.stop(0).wait()
    assert names in sentence
    assert detail in sentence


@heavy
def test_a_range_of_v1_is_refused_before_connecting(command, lake):
    """In-flight and ack timeout outside the contract's ranges: exit 2, whatever the endpoint."""
    for option in (("--max-in-flight", 201), ("--ack-timeout", "9s"), ("--ack-timeout", "11m")):
        process = command(
            *("ingest", "--api", "v1", "--endpoint", "127.0.0.1:1", "--plaintext", "--lake", lake, *option)
        )
        assert process.wait(20) == 2
        assert option[0] in process.stderr
    assert not Path(lake).exists()
