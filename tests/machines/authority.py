"""A private authority, as companies have one, and a certificate of it for this machine."""

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

PEM = serialization.Encoding.PEM


def make(folder: Path) -> None:
    """Writes `authority.pem`, `server.pem` and `server.key`, for localhost and 127.0.0.1."""
    folder.mkdir()
    authority_key, server_key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a private authority")])
    server = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a server")])
    (folder / "authority.pem").write_bytes(_signed(authority, authority, authority_key, authority_key))
    (folder / "server.pem").write_bytes(_signed(server, authority, server_key, authority_key))
    secret = server_key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.key").write_bytes(secret)


def _signed(subject, issuer, key, issuers_key) -> bytes:
    now, day = datetime.datetime.now(datetime.UTC), datetime.timedelta(days=1)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + 30 * day)
        .add_extension(x509.BasicConstraints(ca=subject == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .sign(issuers_key, hashes.SHA256())
        .public_bytes(PEM)
    )
