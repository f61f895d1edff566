"""What the sandbox can be told, each option said once: its name, kind, default and help.

A field of `SandboxSettings` is an option of the command line. A duration's is named with its unit: option
`--cut-streams` is field `cut_streams_seconds`.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.sandbox.events.kinds import KINDS, kinds_named

OptionKind = Literal["address", "duration", "float", "int", "list", "path", "secret", "str"]
SERVING, EVENTS, FAULTS = "Serving", "Events", "Faults and behaviour"
"""Under which titles the help has them."""

MALFORMATIONS = (
    "unset_oneof",
    "unknown_member",
    "unknown_enum",
    "unknown_fields",
    "invalid_utf8",
    "truncated",
)


@dataclass(frozen=True)
class Option:
    """One command line option of the sandbox. `field` is what `SandboxSettings` calls it.

    `narrower` is what the command line is told besides: the form of the value, a least one, the names there are.
    """

    name: str
    kind: OptionKind
    default: Any
    help: str
    section: str
    narrower: Mapping[str, Any]

    @property
    def field(self) -> str:
        """The settings' field."""
        return self.name.replace("-", "_") + ("_seconds" if self.kind == "duration" else "")


def _option(kind: OptionKind, default: Any, text: str, section: str = FAULTS, **narrower: Any) -> Any:
    metadata = {"kind": kind, "help": text, "section": section, "narrower": narrower}
    return field(default=default, metadata=metadata, repr=kind != "secret")


@dataclass(frozen=True, kw_only=True)
class Faults:
    """What goes wrong on purpose. Probabilities are 0 to 1; nothing goes wrong by default."""

    cut_streams_seconds: float = _option("duration", 0.0, "end every stream after this time; 0: never")
    cut_status: str = _option("str", "unavailable", "how streams are cut: ok, unavailable, or both by chance")
    stall_streams_seconds: float = _option(
        "duration", 0.0, "send nothing more on a stream after this time, without ending it; 0: never"
    )
    reset_connections_seconds: float = _option(
        "duration", 0.0, "reset every TCP connection this often (Linux); 0: never"
    )
    drop_acks: float = _option("float", 0.0, "probability that an ack is answered and not counted")
    refuse_acks: float = _option(
        "float", 0.0, "probability that an ack fails: UNAVAILABLE on v0, STATUS_CODE_FAILURE on v1"
    )
    lose_ack_replies: float = _option("float", 0.0, "probability that an ack is counted and never answered")
    duplicate_deliveries: float = _option(
        "float", 0.0, "probability that a delivery is sent twice, unmarked as redelivered"
    )
    malform: float = _option("float", 0.0, "probability that an event is malformed")
    malform_kinds: tuple[str, ...] = _option(
        "list", MALFORMATIONS, "in which ways: " + ", ".join(MALFORMATIONS), known=MALFORMATIONS
    )
    latency_seconds: float = _option("duration", 0.0, "delay deliveries and acks by this much each")
    fail_tokens: int = _option("int", 0, "let the first N token requests fail with 503; -1: all")
    token_validity_seconds: float = _option(
        "duration",
        0.0,
        "let tokens expire this long after they were issued, whatever they say; 0: as they say",
    )

    def __post_init__(self) -> None:
        for spec in fields(self):
            value = getattr(self, spec.name)
            if spec.metadata["kind"] not in ("duration", "float", "int") or value is spec.default is None:
                continue
            if not _is_number(value):
                raise ConfigurationError(f"{spec.name} is a number, not {value!r}")
        for name in ("drop_acks", "refuse_acks", "lose_ack_replies", "duplicate_deliveries", "malform"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigurationError(f"{name} is a probability: give 0 to 1, not {getattr(self, name)}")
        for spec in fields(self):
            if spec.name.endswith("_seconds") and getattr(self, spec.name) < 0:
                raise ConfigurationError(f"{spec.name} cannot be negative")
        if self.cut_status not in ("ok", "unavailable", "both"):
            raise ConfigurationError(f"cut_status is ok, unavailable or both, not {self.cut_status!r}")
        unknown = set(self.malform_kinds) - set(MALFORMATIONS)
        if unknown:
            raise ConfigurationError(
                f"malform_kinds: no such kind {', '.join(sorted(unknown))}; there are {', '.join(MALFORMATIONS)}"
            )


@dataclass(frozen=True, kw_only=True)
class SandboxSettings(Faults):
    """Everything the sandbox starts with. Addresses are `host:port`; port 0 is any free one.

    `types` empty means all; names are those of the tables. `count` None: without end. `rate` 0: none by itself.
    Rate and count are each API's own: with types of both, v0 and v1 get as many each.
    """

    address: str = _option("address", "127.0.0.1:50051", "where to listen; port 0 takes a free one", SERVING)
    tls_dir: str | None = _option(
        "path",
        None,
        "serve TLS with a self-signed certificate for localhost and 127.0.0.1, written to DIR/cert.pem",
        SERVING,
        form="DIR",
    )
    oauth_address: str | None = _option(
        "address",
        None,
        "serve /oauth2/token there (plain HTTP) and demand a valid token of those who call",
        SERVING,
    )
    oauth_client: str | None = _option(
        "secret", None, "the only client that gets tokens (default: any)", SERVING, form="ID:SECRET"
    )
    token_lifetime_seconds: float = _option(
        "duration", 3600.0, "how long a token is valid", SERVING, low="1s"
    )
    admin_address: str | None = _option(
        "address", None, "serve the page that shows and changes what the sandbox does", SERVING
    )
    rate: float = _option("float", 50.0, "events a second", EVENTS, form="EV/S", low="0")
    count: int | None = _option("int", None, "make no more events than these", EVENTS, low="0")
    seed: int = _option("int", 0, "the same seed makes the same events", EVENTS)
    types: tuple[str, ...] = _option(
        "list",
        (),
        "types of event to make, such as sms,voice",
        EVENTS,
        form="A,B,…|all",
        known=("all", *KINDS),
    )
    clock_speed: float = _option(
        "float",
        1.0,
        "how many times faster than real its clock goes: history, positions, timeouts, timestamps; not the rate",
    )
    history_seconds: float = _option("duration", 1800.0, "how long events are kept")
    position_seconds: float = _option(
        "duration", 3600.0, "how long a durable position is kept after the last client left (v1: half of it)"
    )
    stream_lifetime_seconds: float = _option(
        "duration", 3600.0, "end each stream after this time, give or take a tenth"
    )
    stream_idle_seconds: float = _option(
        "duration", 600.0, "end a stream on which nothing came for this long"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rate < 0 or (self.count is not None and self.count < 0):
            raise ConfigurationError("rate and count cannot be negative")
        if self.clock_speed <= 0:
            raise ConfigurationError("clock_speed must be greater than 0")
        if self.oauth_client is not None and not all(self.oauth_client.partition(":")):
            raise ConfigurationError("oauth_client has the form ID:SECRET")
        if self.oauth_client is not None and self.oauth_address is None:
            raise ConfigurationError("oauth_client needs an oauth_address, where the client gets its tokens")
        try:
            kinds_named(self.types)
        except KeyError as error:
            raise ConfigurationError(
                f"types: there is no {error.args[0]}; there are {', '.join(KINDS)}"
            ) from None

    def faults(self) -> Faults:
        """What goes wrong from the start."""
        return Faults(**{spec.name: getattr(self, spec.name) for spec in fields(Faults)})


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _of(spec: Any) -> Option:
    told = spec.metadata
    name = spec.name.removesuffix("_seconds") if told["kind"] == "duration" else spec.name
    return Option(
        name.replace("_", "-"), told["kind"], spec.default, told["help"], told["section"], told["narrower"]
    )


OPTIONS: tuple[Option, ...] = tuple(_of(spec) for spec in fields(SandboxSettings))
"""Every option of the sandbox: faults first, then the others in the order of their fields."""
