"""Why an event service cannot be used: tells a wrong configuration from a service that is down right now.

gRPC calls both UNAVAILABLE, often with the same words, so this asks the other side itself: it knocks once, as a
plain TLS or HTTP/2 client would, and says in one sentence what to change; or nothing if waiting may help.
"""

import socket
import ssl
from typing import Final

from wgtwo_pipeline import trust
from wgtwo_pipeline.service.proxy import proxy_for
from wgtwo_pipeline.service.settings import Service, split_address

_PROBE_SECONDS: Final = 3.0
_HTTP2_GREETING: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes((0, 0, 0, 4, 0, 0, 0, 0, 0))
_SETTINGS_FRAME: Final = b"\x04"  # with a frame of this type a server begins
_TLS_ALERT: Final = b"\x15\x03"
_NO_GRPC: Final = "does not speak gRPC (HTTP/2): check the port of --endpoint"
_OTHER_HOST: Final = (62, 64)  # OpenSSL's X509_V_ERR_HOSTNAME_MISMATCH and X509_V_ERR_IP_ADDRESS_MISMATCH
_NO_SUCH_NAME: Final = (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME))


def authorities(ca_file: str | None) -> str:
    """The PEM certificates to trust: those of `ca_file`, else those that everything else here trusts.

    ConfigurationError if they cannot be used.
    """
    return trust.pem(trust.checked(ca_file, "--ca-file") if ca_file else trust.bundle())


def refusal(code: str, detail: str, service: Service, method: str) -> str | None:
    """What to change if a service that ended a stream of `method` so will never serve it; None otherwise."""
    said = f" ({' '.join(detail.split())[:300]})" if detail else ""
    oauth = service.oauth
    match code:
        case "INVALID_ARGUMENT":
            return f"{service.target} refuses the subscription{said}: change the option that it speaks of"
        case "UNIMPLEMENTED":
            return f"{service.target} does not offer {method}{said}: check --endpoint and --api"
        case "UNAUTHENTICATED" | "PERMISSION_DENIED" if oauth is None:
            return f"{service.target} lets nobody in without a token{said}: set CLIENT_ID and CLIENT_SECRET"
        case "PERMISSION_DENIED" if oauth is not None:
            return (
                f"{service.target} denies {method} to the client {oauth.client_id}{said}: let it have the scopes "
                f"{' '.join(oauth.scopes) or '(none)'}, or ask for others with --scope, or for fewer --types"
            )
    return None


def misconfiguration(service: Service) -> str | None:
    """What to change if no connection to this service can come about as configured; None if waiting may help.

    Connects to it; blocks for some seconds at most. Says nothing about a service behind an HTTP proxy.
    """
    host, port = split_address(service.target)
    host = host.strip("[]")
    if proxy_for(service.target) is not None:
        return None
    if unresolvable(host):
        return f"there is no host named {host}: check --endpoint"
    address = (host, port or 443)
    problem = _plaintext_problem(address) if service.plaintext else _tls_problem(address, service.ca_file)
    return f"{service.target} {problem}" if problem else None


def unresolvable(host: str) -> bool:
    """Whether the name service knows that there is no such host; False where it cannot tell."""
    try:
        socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return error.errno in _NO_SUCH_NAME
    except UnicodeError:
        return True
    return False


def _tls_problem(address: tuple[str, int], ca_file: str | None) -> str | None:
    context = ssl.create_default_context(cadata=authorities(ca_file))
    try:
        protocol = _handshake(address, context)
    except ssl.SSLCertVerificationError as error:
        if error.verify_code in _OTHER_HOST:
            return "shows a certificate of another host: name the host by --endpoint as its certificate does"
        return f"shows a certificate that is not trusted ({error.verify_message}): name its authority by --ca-file"
    except OSError:  # also what is no TLS at all
        reply = _greet(address)
        return "does not speak TLS: use --plaintext" if _is_http2(reply) else _stranger(reply)
    return None if protocol == "h2" else _NO_GRPC


def _plaintext_problem(address: tuple[str, int]) -> str | None:
    reply = _greet(address)
    if _is_http2(reply):
        return None
    trusting = ssl.create_default_context()
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE  # only asks, sends nothing
    try:
        _handshake(address, trusting)
    except OSError:
        return _stranger(reply)
    return "speaks TLS: leave --plaintext out"


def _is_http2(reply: bytes) -> bool:
    return reply[3:4] == _SETTINGS_FRAME


def _stranger(reply: bytes) -> str | None:
    """Silence may have many reasons, and a TLS alert as well; another answer comes from another kind of server."""
    return _NO_GRPC if reply and not reply.startswith(_TLS_ALERT) else None


def _handshake(address: tuple[str, int], context: ssl.SSLContext) -> str | None:
    """The protocol agreed upon; OSError (ssl.SSLError is one) if there is no TLS to be had."""
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(address, _PROBE_SECONDS) as raw,
        context.wrap_socket(raw, server_hostname=address[0]) as tls,
    ):
        return tls.selected_alpn_protocol()


def _greet(address: tuple[str, int]) -> bytes:
    """The first bytes of the answer to an HTTP/2 client in plaintext; none if there is no answer."""
    try:
        with socket.create_connection(address, _PROBE_SECONDS) as raw:
            raw.sendall(_HTTP2_GREETING)
            return raw.recv(16)
    except OSError:
        return b""
