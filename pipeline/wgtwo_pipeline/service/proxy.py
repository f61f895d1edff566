"""Whether the event service is reached through a proxy: decided here for streams and calls, whoever makes them."""

import base64
import ipaddress
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.service.settings import is_loopback, split_address

# As gRPC looks for them, whatever the scheme of the service; in capitals as well, as most programs do.
_PROXIES: Final = ("grpc_proxy", "https_proxy", "http_proxy")
_EXCEPTIONS: Final = ("no_grpc_proxy", "no_proxy")
_DEFAULT_PORT: Final = 80


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy that makes tunnels."""

    host: str
    port: int
    user: str = field(default="", repr=False)
    """`name:password`, percent-encoded, or empty."""

    @property
    def url(self) -> str:
        """As grpcio takes it; holds the password."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{self.user}{'@' if self.user else ''}{host}:{self.port}"

    @property
    def authorization(self) -> str:
        """The value of the field Proxy-Authorization; empty if there is to be none."""
        return f"Basic {base64.b64encode(unquote(self.user).encode()).decode()}" if self.user else ""


def proxy_for(target: str) -> Proxy | None:
    """The proxy between here and `host:port`, or None. ConfigurationError for one that cannot be used.

    There is none for what stays on this machine, nor for what `no_proxy` names: hosts, domains, networks, or `*`.
    """
    name, value = _variable(_PROXIES)
    host = split_address(target)[0].strip("[]").lower()
    if not value or is_loopback(host) or _excepted(host, _variable(_EXCEPTIONS)[1]):
        return None
    url = urlsplit(value if "://" in value else f"http://{value}")
    try:
        port = url.port or _DEFAULT_PORT
    except ValueError:
        port = 0
    if url.scheme != "http" or not url.hostname or not port:
        raise ConfigurationError(
            f"the proxy in the environment variable {name} cannot be used for {target}: it has to be an HTTP proxy, "
            f"such as http://proxy.example:3128; name one in grpc_proxy, or except the service by no_proxy={host}"
        )
    return Proxy(url.hostname, port, url.netloc.rpartition("@")[0])


def _variable(names: Sequence[str]) -> tuple[str, str]:
    """The first of them that is set and not empty, and its value."""
    for name in (*names, *(name.upper() for name in names)):
        if value := os.environ.get(name, "").strip():
            return name, value
    return "", ""


def _excepted(host: str, exceptions: str) -> bool:
    for exception in exceptions.lower().split(","):
        name = exception.strip().removeprefix("*.").removeprefix(".").strip("[]")
        if name == "*" or (name and (host == name or host.endswith(f".{name}"))):
            return True
        try:
            if "/" in name and ipaddress.ip_address(host) in ipaddress.ip_network(name, strict=False):
                return True
        except ValueError:  # not a network, or the host is a name
            continue
    return False
