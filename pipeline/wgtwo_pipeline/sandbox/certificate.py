"""Makes the self-signed certificate that the sandbox serves TLS with."""

import datetime
import ipaddress
import os
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

VALID_DAYS = 30


def certificate(directory: str) -> tuple[bytes, bytes]:
    """The private key and the certificate, PEM, for localhost, 127.0.0.1 and ::1; made if need be.

    The certificate is its own authority: `cert.pem` in the directory is what a client must trust. A pair that is
    there and still valid for a day is used again, so that clients need not be told anew.
    """
    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    key_file, cert_file = folder / "key.pem", folder / "cert.pem"
    now = datetime.datetime.now(datetime.UTC)
    if key_file.exists() and cert_file.exists():
        key, cert = key_file.read_bytes(), cert_file.read_bytes()
        if x509.load_pem_x509_certificate(cert).not_valid_after_utc > now + datetime.timedelta(days=1):
            return key, cert
    key, cert = _make(now)
    key_file.unlink(missing_ok=True)
    with os.fdopen(os.open(key_file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(key)
    cert_file.write_bytes(cert)
    return key, cert


def _make(now: datetime.datetime) -> tuple[bytes, bytes]:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "wgtwo-pipeline sandbox")])
    names = x509.SubjectAlternativeName(
        [
            x509.DNSName("localhost"),
            x509.IPAddress(ipaddress.ip_address("127.0.0.1")),
            x509.IPAddress(ipaddress.ip_address("::1")),
        ]
    )
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=VALID_DAYS))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(private, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    key = private.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return key, made.public_bytes(pem)
