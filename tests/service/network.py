"""What stands between a client and a service: a relay that can fall silent, TLS for names one does not own."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Listener:
    """Accepts connections on a free port of loopback, each in a thread of its own."""

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._socket.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._guarded, args=(connection,), daemon=True).start()

    def _guarded(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            self._serve(connection)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class Middlebox(Listener):
    """Relays to `upstream`; `forget` makes it drop silently what comes on the connections that are open then."""

    def __init__(self, upstream: str) -> None:
        self._upstream = upstream
        self._forgotten: set[int] = set()
        self.connections = 0
        super().__init__(self._relay)

    def forget(self) -> None:
        self._forgotten.update(range(self.connections))

    def _relay(self, client: socket.socket) -> None:
        number = self.connections
        self.connections += 1
        with connect(self._upstream) as server:
            relay(client, server, lambda: number in self._forgotten)


class Proxy(Listener):
    """An HTTP proxy that takes `CONNECT name:443`, shows a certificate of that name and serves it from an upstream.

    So `api.wgtwo.com:443` can be said and a sandbox be meant; nothing leaves the machine.
    """

    def __init__(self, upstreams: dict[str, str], folder: Path) -> None:
        self._upstreams = upstreams
        self.certificate = folder / "authority.pem"
        self.asked: list[str] = []
        hosts = [target.partition(":")[0] for target in upstreams]
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(_certificate(hosts, self.certificate))
        super().__init__(self._connect)

    @property
    def environment(self) -> dict[str, str]:
        """Sends a process's connections here, and makes the machine's roots be this proxy's certificate."""
        return {
            "https_proxy": f"http://{self.address}",
            "no_proxy": "",
            "SSL_CERT_FILE": str(self.certificate),
            "REQUESTS_CA_BUNDLE": str(self.certificate),
        }

    def _connect(self, client: socket.socket) -> None:
        request = b""
        while b"\r\n\r\n" not in request:
            request += client.recv(4096)
        target = request.split()[1].decode()
        self.asked.append(target)
        client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        # gRPC wants h2; the token endpoint speaks HTTP/1.1.
        self._context.set_alpn_protocols(["h2" if "api" in target else "http/1.1"])
        with (
            self._context.wrap_socket(client, server_side=True) as tls,
            connect(self._upstreams[target]) as server,
        ):
            relay(tls, server)


def connect(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    return socket.create_connection((host, int(port)), timeout=10)


def relay(client: socket.socket, server: socket.socket, silent: Callable[[], bool] = lambda: False) -> None:
    """Copies both ways until both have ended; drops everything, ends included, while `silent`."""

    def copy(source: socket.socket, sink: socket.socket) -> None:
        source.settimeout(None)
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if not silent():
                    sink.sendall(data)
        if not silent():
            with contextlib.suppress(OSError):
                sink.shutdown(socket.SHUT_WR)

    there = threading.Thread(target=copy, args=(client, server), daemon=True)
    there.start()
    copy(server, client)
    there.join()


def _certificate(hosts: list[str], path: Path) -> Path:
    """Writes a self-signed certificate for the hosts to `path`; returns the file that holds its key, too."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(private, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM)
    path.write_bytes(pem)
    key = private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    both = path.with_suffix(".key.pem")
    both.write_bytes(key + pem)
    return both
