"""What cannot work as configured ends with a sentence that names the fix; what may pass by waiting does not."""

import http.server
import socket
import threading

import grpc
import pytest
from patience import PATIENCE_SECONDS
from scripted_server import STREAM, ScriptedServer, self_signed
from wgtwo_pipeline.errors import ConfigurationError, ServiceError
from wgtwo_pipeline.service.open import open_transport
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import StreamEndedError


def end_of(transport) -> Exception:
    """How a stream ends by itself: not because nobody would wait any longer."""
    with pytest.raises((ServiceError, StreamEndedError)) as end:
        transport.stream(STREAM, b"").receive(1, 1, 0, PATIENCE_SECONDS)
    return end.value


def refused_with(transport, *words: str) -> None:
    end = end_of(transport)
    assert isinstance(end, ServiceError), end
    for word in words:
        assert word in str(end)
    assert "\n" not in str(end)


def retried(transport, code: str = "UNAVAILABLE") -> None:
    end = end_of(transport)
    assert isinstance(end, StreamEndedError), end
    assert end.code == code


@pytest.fixture
def http1_port():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), QuietHandler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


class QuietHandler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture(params=[b"", b"\x15\x03\x01\x00\x02\x02\x28"], ids=["silently", "with a TLS alert"])
def hanging_up(request):
    """A port where every connection is closed at once, as a proxy does whose service is down."""
    listener = socket.create_server(("127.0.0.1", 0))

    def hang_up():
        while True:
            try:
                connection, _ = listener.accept()
                connection.sendall(request.param)
                connection.recv(100)
                connection.close()
            except OSError:
                return

    thread = threading.Thread(target=hang_up)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_tls_with_a_named_authority_works(connect, tls_server, ca_file):
    """--ca-file is enough to trust a server with a self-signed certificate."""
    tls_server.stream = lambda request, context: iter([b"x"])
    stream = connect(tls_server.target, plaintext=False, ca_file=ca_file).stream(STREAM, b"")
    assert [item.payload for item in stream.receive(1, 1, 0, PATIENCE_SECONDS)] == [b"x"]


@pytest.mark.parametrize("plaintext", [True, False])
def test_a_host_that_does_not_exist(connect, plaintext):
    """A host name that the name service does not know is refused, naming --endpoint."""
    refused_with(
        connect("no-such-host.invalid:443", plaintext=plaintext), "no-such-host.invalid", "--endpoint"
    )


@pytest.mark.parametrize("plaintext", [True, False])
def test_a_port_where_nobody_listens_is_retried(connect, plaintext):
    """Connection refused says that the service is down now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    retried(connect(f"127.0.0.1:{port}", plaintext=plaintext))


@pytest.mark.parametrize("plaintext", [True, False])
def test_a_service_that_hangs_up_is_retried(connect, hanging_up, plaintext):
    """A connection that is closed at once proves nothing about the configuration."""
    retried(connect(hanging_up, plaintext=plaintext))


def test_plaintext_to_a_tls_server(connect, tls_server):
    """Plaintext against TLS is refused, naming --plaintext."""
    refused_with(connect(tls_server.target), "speaks TLS", "--plaintext")


def test_tls_to_a_plaintext_server(connect, server):
    """TLS against plaintext is refused, naming --plaintext."""
    refused_with(connect(server.target, plaintext=False), "does not speak TLS", "--plaintext")


def test_an_untrusted_certificate(connect, tls_server):
    """A certificate of an unknown authority is refused, naming --ca-file."""
    refused_with(connect(tls_server.target, plaintext=False), "not trusted", "--ca-file")


def test_a_certificate_of_another_host(connect, tmp_path):
    """A trusted certificate for another name is refused as such."""
    certificate = self_signed("elsewhere.example")
    (tmp_path / "ca.pem").write_bytes(certificate.pem)
    server = ScriptedServer(certificate=certificate)
    try:
        transport = connect(server.target, plaintext=False, ca_file=str(tmp_path / "ca.pem"))
        refused_with(transport, "another host", "--endpoint")
    finally:
        server.stop()


@pytest.mark.parametrize("plaintext", [True, False])
def test_a_port_that_speaks_http1(connect, http1_port, plaintext):
    """An HTTP/1 server is not taken for a service that is down."""
    refused_with(connect(f"127.0.0.1:{http1_port}", plaintext=plaintext), "does not speak gRPC", "--endpoint")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, ["max_in_flight is 1 to 200"]),
        (grpc.StatusCode.PERMISSION_DENIED, ["CLIENT_ID"]),
        (grpc.StatusCode.UNAUTHENTICATED, ["CLIENT_ID", "CLIENT_SECRET"]),
        (grpc.StatusCode.UNIMPLEMENTED, [STREAM, "--api", "--endpoint"]),
    ],
)
def test_refusals_of_the_service(connect, server, code, words):
    """What the service refuses for good is an error with the service's own words and the fix."""
    server.stream = lambda request, context: context.abort(code, "max_in_flight is 1 to 200")
    refused_with(connect(server.target), *words)


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_passing_failures_of_the_service_are_retried(connect, server, code):
    """What may pass is the end of one stream only."""
    server.stream = lambda request, context: context.abort(code, "later")
    retried(connect(server.target), code.name)


def test_a_service_once_reached_is_waited_for(connect, server, certificate):
    """After a connection has once worked, even a server that now speaks TLS is taken for one that restarts."""
    server.stream = lambda request, context: iter([b"x"])
    transport = connect(server.target)
    assert len(transport.stream(STREAM, b"").receive(1, 1, 0, PATIENCE_SECONDS)) == 1
    server.stop()
    other = ScriptedServer(server.port, certificate)
    try:
        retried(transport)
    finally:
        other.stop()


@pytest.mark.parametrize("content", ["", "no certificate", None])
def test_a_ca_file_without_certificates_is_refused(tmp_path, content):
    """A --ca-file that holds no certificate is refused before anything is connected."""
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ConfigurationError, match="--ca-file"):
        open_transport(Service("localhost:1", ca_file=str(path)))
