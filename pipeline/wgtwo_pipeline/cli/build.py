"""Builds the configuration from what was given, and refuses what cannot work together.

Each refusal is one sentence that names the value, where it came from and the fix.
"""

import math
import re
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from wgtwo_pipeline import logs
from wgtwo_pipeline.cli import beam_options
from wgtwo_pipeline.cli.command import Settings
from wgtwo_pipeline.cli.options import options_of
from wgtwo_pipeline.cli.types import format_duration, nearest
from wgtwo_pipeline.erase.settings import Erasing
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.events.api import CONSENT_TABLES, SCOPES, TABLES
from wgtwo_pipeline.ingest.settings import Subscription
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.machine import at_home
from wgtwo_pipeline.run.config import Config, Publishing, Stopping
from wgtwo_pipeline.sandbox.options import SandboxSettings
from wgtwo_pipeline.service.settings import OAuth, Secret, Service, is_loopback, split_address

TLS_PORT: Final = 443
SANDBOX_PUBLISH_EVERY_SECONDS: Final = 10.0
SANDBOX_ERASE_EVERY_SECONDS: Final = 30.0
LINGER_SHARE: Final = 4
"""The ack timeout must be at least this many lingers: the put, the ack and a retry need their time, too."""


def build(settings: Settings) -> Config:
    """The checked configuration of a command that runs the flows; ConfigurationError names what cannot work."""
    runner = beam_options.runner_name(settings["runner"], settings.origin("runner"))
    service = _service(settings) if settings.command in ("run", "ingest", "check") else None
    return Config(
        command=settings.command,
        lake=lake_of(settings),
        service=service,
        transport=settings["transport"],
        subscription=_subscription(settings),
        stopping=Stopping(settings["for"], settings["max-events"], settings["until-idle"]),
        publishing=_publishing(settings, embedded=service is None),
        beam_args=(f"--runner={runner}", *settings.beam_args),
        log_format=settings["log-format"],
        log_level=settings["log-level"],
        erasing=_erasing(settings),
        detach=_detached(settings) if settings.command == "ingest" else False,
        catalog=settings["catalog"] if settings.command in ("run", "check") else None,
        metrics_address=settings["metrics-address"],
        metrics_file=settings["metrics-file"],
    )


def _erasing(settings: Settings) -> Erasing:
    every = settings["erase-every"]
    embedded = settings.command == "run" and settings["endpoint"] is None
    if embedded and settings.is_default("erase-every"):
        every = SANDBOX_ERASE_EVERY_SECONDS
    return Erasing(
        every_seconds=None if every == math.inf else every,
        grace_seconds=settings["grace"],
        suppress_seconds=settings["suppress-for"],
        country=settings["country"],
    )


def build_sandbox(settings: Settings) -> SandboxSettings:
    """What the `sandbox` command was asked for; ConfigurationError names what cannot work."""
    chosen = {}
    for option in options_of("sandbox").values():
        unit = "_seconds" if option.kind.name == "duration" else ""
        chosen[option.name + unit] = settings[option.key]
    if "all" in chosen["types"]:
        chosen["types"] = ()
    logs.hide((chosen["oauth_client"] or "").partition(":")[2])
    for general in ("config", "log_format", "log_level"):
        del chosen[general]
    try:
        return SandboxSettings(**chosen)
    except ConfigurationError as error:
        raise ConfigurationError(_with_options(str(error), settings)) from None


def _with_options(message: str, settings: Settings) -> str:
    """The message of a field that cannot work, with options for the names of fields, which users do not know."""

    def named(match: re.Match[str]) -> str:
        option = match[0].replace("_", "-")
        is_field = option in options_of("sandbox") and (match.start() == 0 or option != match[0])
        return settings.origin(option) if is_field else match[0]

    return re.sub(r"\w+", named, message)


def lake_of(settings: Settings) -> LakeLocation:
    """Which lake was named."""
    url = settings["lake"]
    if not url.startswith("s3://"):
        refuse_unused(settings, ("s3-endpoint", "s3-region"), "works only with --lake s3://bucket/prefix")
    return LakeLocation(url, settings["s3-endpoint"], settings["s3-region"])


def refuse_unused(settings: Settings, names: Iterable[str], why: str) -> None:
    """Refuses flags that would do nothing; a file or the environment may hold them for other commands."""
    for name in names:
        if settings.is_flag(name):
            raise ConfigurationError(f"--{name} {why}")


def _service(settings: Settings) -> Service | None:
    if settings["endpoint"] is None:
        if settings.command == "ingest":
            raise ConfigurationError(
                "ingest needs --endpoint HOST:PORT (or WGTWO_ENDPOINT), such as api.wgtwo.com:443"
            )
        connection = ("plaintext", "ca-file", "token-url", "client-id", "client-secret", "client-secret-file")
        refuse_unused(settings, (*connection, "scope"), "needs --endpoint HOST:PORT")
        return None
    host, port = split_address(settings["endpoint"])
    plaintext, ca_file = settings["plaintext"], settings["ca-file"]
    if port is None and plaintext:
        raise ConfigurationError(
            f"{settings.origin('endpoint')} {host} needs a port with {settings.origin('plaintext')}: "
            f"write {host}:PORT"
        )
    if ca_file is not None:
        if plaintext:
            raise ConfigurationError(
                f"{settings.origin('plaintext')} and {settings.origin('ca-file')} exclude each other: "
                "without TLS there is no certificate to check"
            )
        if not at_home(ca_file).is_file():
            raise ConfigurationError(f"{settings.origin('ca-file')} {ca_file} is no file: name a PEM file")
        ca_file = str(at_home(ca_file))
    oauth = _oauth(settings)
    if oauth is not None and plaintext and not is_loopback(host):
        raise ConfigurationError(
            f"OAuth over {settings.origin('plaintext')} would send the token readably to {host}: "
            f"leave {settings.origin('plaintext')} out, or {settings.origin('client-id')}"
        )
    return Service(f"{host}:{TLS_PORT if port is None else port}", plaintext, ca_file, oauth)


def _oauth(settings: Settings) -> OAuth | None:
    client_id = settings["client-id"]
    secret = _secret(settings)
    if client_id is None and secret is None:
        return None
    if client_id is None or secret is None:
        there, missing = (
            ("client-secret", "client-id") if client_id is None else ("client-id", "client-secret")
        )
        if client_id is None and settings["client-secret"] is None:
            there = "client-secret-file"
        variable = missing.upper().replace("-", "_")
        raise ConfigurationError(
            f"{settings.origin(there)} needs --{missing} (or {variable}), too: OAuth takes both"
        )
    url = settings["token-url"]
    if urlsplit(url).scheme != "https" and not is_loopback(urlsplit(url).hostname or ""):
        raise ConfigurationError(
            f"{settings.origin('token-url')} {url} would send the client secret readably: use https://"
        )
    return OAuth(url, client_id, secret, _scopes(settings))


def _detached(settings: Settings) -> bool:
    """Whether nobody watches the job, who could then stop it, either."""
    if settings["detach"]:
        for name in ("for", "max-events", "until-idle", "metrics-address"):
            if settings[name] is not None:
                raise ConfigurationError(
                    f"{settings.origin(name)} needs somebody who watches the job: leave out it or --detach"
                )
    return bool(settings["detach"])


def _secret(settings: Settings) -> Secret | None:
    value, file = settings["client-secret"], settings["client-secret-file"]
    # A CLIENT_SECRET that happens to be in the environment does not contradict a file that was asked for.
    if file is not None and value is not None and settings.origin("client-secret") != "CLIENT_SECRET":
        raise ConfigurationError(
            f"{settings.origin('client-secret')} and {settings.origin('client-secret-file')} exclude each "
            "other: give one of them"
        )
    if file is not None:
        secret = Secret(file=file)
    elif value is not None:
        secret = Secret(value)
    else:
        return None
    secret.reveal()  # A file that cannot be read is refused now, not at the first token.
    return secret


def _scopes(settings: Settings) -> tuple[str, ...]:
    if settings["scope"] is not None:
        return tuple(settings["scope"].replace(",", " ").split())
    scopes = (SCOPES.get(table) for table in _types(settings))
    return tuple(scope for scope in scopes if scope is not None)


def _types(settings: Settings) -> tuple[str, ...]:
    """The tables asked for, in the order of the contract, and always the consent revocations."""
    version = settings["api"]
    known = TABLES[version]
    wanted = {CONSENT_TABLES[version]}
    for name in settings["types"]:
        table = f"{name}_v1" if f"{name}_v1" in known else name
        if name == "all":
            wanted.update(known)
        elif table in known:
            wanted.add(table)
        else:
            other = "v1" if version == "v0" else "v0"
            hint = f": --api {other} has it" if name in TABLES[other] else nearest(name, known)
            raise ConfigurationError(
                f"{settings.origin('types')} {name!r} is no type of the API {version}{hint} "
                f"(types: {', '.join(known)}, all)"
            )
    return tuple(table for table in known if table in wanted)


def _subscription(settings: Settings) -> Subscription:
    ack_timeout, linger = settings["ack-timeout"], settings["linger"]
    if settings["api"] == "v1":
        _check_v1(settings)
    if linger * LINGER_SHARE > ack_timeout:
        raise ConfigurationError(
            f"{settings.origin('linger')} {format_duration(linger)} is too long for an ack timeout of "
            f"{format_duration(ack_timeout)}: at most a quarter of it, {format_duration(ack_timeout / 4)}, "
            "else events come again before they are acked"
        )
    return Subscription(
        api=settings["api"],
        types=_types(settings),
        queue_name=_name(settings, "queue-name"),
        durable_name=_name(settings, "durable-name"),
        members=settings["subscriptions"],
        max_in_flight=settings["max-in-flight"],
        ack_timeout_seconds=ack_timeout,
        linger_seconds=linger,
        start=settings["start"],
        history_seconds=settings["history"],
    )


def _check_v1(settings: Settings) -> None:
    """The contract's ranges: the service would answer INVALID_ARGUMENT."""
    if settings["max-in-flight"] > 200:
        raise ConfigurationError(
            f"{settings.origin('max-in-flight')} {settings['max-in-flight']} is out of range: "
            "API v1 allows 1 to 200"
        )
    if not 10 <= settings["ack-timeout"] <= 600:
        raise ConfigurationError(
            f"{settings.origin('ack-timeout')} {format_duration(settings['ack-timeout'])} is out of range: "
            "API v1 allows 10s to 10m"
        )
    if settings["start"].kind == "last":
        raise ConfigurationError(
            f"{settings.origin('start')} last is unknown to API v1: choose oldest, new, a sequence, "
            "a time or -DURATION"
        )


def _name(settings: Settings, option: str) -> str:
    name: str = settings[option]
    if len(name) > 200 or any(character.isspace() for character in name):
        raise ConfigurationError(
            f"{settings.origin(option)} must be a name without spaces, of at most 200 characters"
        )
    return name


def _publishing(settings: Settings, *, embedded: bool) -> Publishing:
    every = settings["publish-every"]
    if embedded and settings.is_default("publish-every"):
        every = SANDBOX_PUBLISH_EVERY_SECONDS
    only_when_due = settings.command == "publish" and not settings.is_default("publish-every")
    return Publishing(every, settings["journal-retention"], settings["partition-by"], only_when_due)
