"""Whom to trust over TLS: one set of authorities for streams, acks, tokens and S3, decided here.

The system's own bundle comes first, since a company's private authority is often nowhere else; an image without one
gets certifi's, as every library that is used here would by itself, each in its own way or not at all.
"""

import functools
import os
import ssl
from pathlib import Path
from typing import Final

from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.machine import at_home

_SYSTEM_BUNDLES: Final = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Alpine, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora, RHEL, Amazon Linux
    "/etc/ssl/ca-bundle.pem",  # SUSE
    "/etc/ssl/cert.pem",  # macOS, BSD, Alpine
)


def bundle() -> str:
    """The path of the PEM file with the authorities to trust where nobody has named one.

    OpenSSL's SSL_CERT_FILE, else the system's, else certifi's. ConfigurationError if the file named there is none.
    """
    return _bundle(os.environ.get("SSL_CERT_FILE"))


@functools.cache
def _bundle(named: str | None) -> str:
    if named:
        return checked(named, "SSL_CERT_FILE")
    built_in = ssl.get_default_verify_paths().openssl_cafile
    for path in (built_in, *_SYSTEM_BUNDLES):
        if _holds_certificates(path):
            return path
    import certifi  # only where it is needed

    return checked(certifi.where(), "certifi")


def checked(path: str, origin: str) -> str:
    """The path, if it is a PEM file with certificates; ConfigurationError naming `origin` if not."""
    path = str(at_home(path))
    if not _holds_certificates(path):
        raise ConfigurationError(f"{origin} {path} holds no certificate that can be read: name a PEM file")
    return path


def _holds_certificates(path: str) -> bool:
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cadata=pem(path))
    except (OSError, ValueError):  # SSLError is an OSError
        return False
    return True


def pem(path: str) -> str:
    """The text of a PEM file; comments in it may be in any encoding."""
    return Path(path).read_text(encoding="ascii", errors="replace")
