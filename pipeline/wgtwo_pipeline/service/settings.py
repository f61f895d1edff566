"""Where the event service is, how to trust it and how to be let in. Frozen, picklable; the pickle holds no secret."""

import ipaddress
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from wgtwo_pipeline import logs
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.machine import at_home


class Secret:
    """The OAuth client secret. Shows itself as `***`; pickled or copied, it only says where to find the value.

    A process that unpickled it finds the value in the file, or in its own environment.
    """

    VARIABLES: Final = ("WGTWO_CLIENT_SECRET", "CLIENT_SECRET")

    def __init__(self, value: str | None = None, file: str | None = None) -> None:
        self._value, self._file = value, file

    @property
    def file(self) -> str | None:
        """The file that holds it, if that is where it comes from."""
        return self._file

    def reveal(self) -> str:
        """The value, which from now on no log line shows. ConfigurationError if this process cannot find it."""
        value = self._value
        if value is None and self._file is not None:
            value = _secret_file(self._file)
        if value is None:
            value = next((os.environ[name] for name in self.VARIABLES if os.environ.get(name)), None)
        if value is None:
            raise ConfigurationError(
                "the OAuth client secret did not reach this process: set CLIENT_SECRET in its environment, "
                "or use --client-secret-file with a file that is there"
            )
        logs.hide(value)
        return value

    def __repr__(self) -> str:
        return "***"

    def __format__(self, format_spec: str) -> str:
        return "***"

    def __reduce__(self) -> tuple[type["Secret"], tuple[None, str | None]]:
        return Secret, (None, self._file)


def _secret_file(path: str) -> str:
    try:
        text = read_text(Path(path)).strip()
    except OSError:
        raise ConfigurationError(
            f"--client-secret-file {path} cannot be read: put the secret there"
        ) from None
    except ValueError as error:
        raise ConfigurationError(f"--client-secret-file {path} {error}") from None
    if not text:
        raise ConfigurationError(f"--client-secret-file {path} is empty: put the secret there")
    return text


def read_text(path: Path) -> str:
    """What a UTF-8 file holds, without a byte order mark. OSError as it comes; ValueError: another encoding."""
    try:
        text = at_home(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:  # as UTF-16 without a mark looks
        raise ValueError("is not UTF-8 text: save it as UTF-8")
    return text


@dataclass(frozen=True)
class OAuth:
    """OAuth 2.0 client credentials, and the scopes to ask for."""

    token_url: str
    client_id: str
    client_secret: Secret
    scopes: tuple[str, ...]


@dataclass(frozen=True)
class Service:
    """The event service: where it is, how to trust it and how to be let in. `target` is `host:port`."""

    target: str
    plaintext: bool = False
    ca_file: str | None = None
    oauth: OAuth | None = None
    transport: str = "http2"
    """Which client speaks to it: `http2` is ours, `grpc` is grpcio's."""


def split_address(text: str) -> tuple[str, int | None]:
    """Host and port of `HOST:PORT`, `HOST` or `[IPv6]:PORT`; ValueError for anything else."""
    form = "write HOST:PORT, such as localhost:50051"
    if "://" in text:
        raise ValueError(f"is a URL: {form}, without {text.partition('://')[0]}://")
    match = re.fullmatch(r"(\[[0-9A-Fa-f:.%]+\]|[A-Za-z0-9._-]+)(?::([0-9]{1,5}))?", text)
    if match is None:
        raise ValueError(f"is no address: {form}")
    port = None if match[2] is None else int(match[2])
    if port is not None and port > 65535:
        raise ValueError("has no possible port: ports go from 1 to 65535")
    return match[1], port


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this machine."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower() == "localhost"
