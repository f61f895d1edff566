"""A real gRPC server whose two methods a test scripts, and the certificates it may show."""

import datetime
import ipaddress
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from dataclasses import dataclass

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

STREAM = "/test.Service/Stream"
CALL = "/test.Service/Call"


class ScriptedServer(grpc.GenericRpcHandler):
    """Serves `stream` and `call`; a test replaces the one it cares about, while the server runs."""

    def __init__(self, port: int = 0, certificate: "Certificate | None" = None, **options: int) -> None:
        self.stream: Callable[[bytes, grpc.ServicerContext], Iterator[bytes]] = lambda request, context: iter(
            ()
        )
        self.call: Callable[[bytes, grpc.ServicerContext], bytes] = lambda request, context: b"re:" + request
        settings = {"max_send_message_length": -1, "so_reuseport": 0} | options
        arguments = [(f"grpc.{name}", value) for name, value in settings.items()]
        self._server = grpc.server(futures.ThreadPoolExecutor(32), (self,), options=arguments)
        if certificate is None:
            self.port = self._server.add_insecure_port(f"127.0.0.1:{port}")
        else:
            credentials = grpc.ssl_server_credentials([(certificate.key, certificate.pem)])
            self.port = self._server.add_secure_port(f"127.0.0.1:{port}", credentials)
        self.target = f"127.0.0.1:{self.port}"
        self._server.start()

    def service(self, handler_call_details):
        if handler_call_details.method == STREAM:
            return grpc.unary_stream_rpc_method_handler(lambda r, c: self.stream(r, c))
        if handler_call_details.method == CALL:
            return grpc.unary_unary_rpc_method_handler(lambda r, c: self.call(r, c))
        return None

    def stop(self) -> None:
        self._server.stop(0).wait()


@dataclass(frozen=True)
class Certificate:
    key: bytes
    pem: bytes


def self_signed(host: str) -> Certificate:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    try:
        general_name = x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        general_name = x509.DNSName(host)
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([general_name]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = serialization.PrivateFormat.PKCS8
    return Certificate(
        key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()),
        certificate.public_bytes(serialization.Encoding.PEM),
    )


class Relay:
    """Passes bytes between a client and a port of this host, until it is told to go silent: no data, no end."""

    def __init__(self, port: int) -> None:
        self.silent = threading.Event()
        self._passed_at = time.monotonic()
        self._port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._sockets = [self._listener]
        self.target = f"127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> "Relay":
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *error: object) -> None:
        for each in self._sockets:
            each.close()

    def quiet_seconds(self) -> float:
        return time.monotonic() - self._passed_at

    def forget(self) -> None:
        """Lets new connections through; the silent ones stay so, unknown to their ends."""
        self.silent = threading.Event()

    def _greet(self, client: socket.socket) -> None:
        """What a proxy does before it passes on."""

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                self._greet(client)
                service = socket.create_connection(("127.0.0.1", self._port))
            except OSError:  # the service has gone, or the client has: the other one notices
                client.close()
                continue
            self._sockets += [client, service]
            for pair in ((client, service), (service, client)):
                threading.Thread(target=self._pass, args=(*pair, self.silent), daemon=True).start()

    def _pass(self, source: socket.socket, sink: socket.socket, silent: threading.Event) -> None:
        try:
            while data := source.recv(65536):
                self._passed_at = time.monotonic()
                if not silent.is_set():
                    sink.sendall(data)
        except OSError:
            return
