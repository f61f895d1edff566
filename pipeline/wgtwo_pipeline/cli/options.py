"""Every option of the command line, once: its name, kind, default, commands and help.

Flags, environment variables, the TOML file, the help text and the checks of single values all come from this
table; what several values must satisfy together is in `wgtwo_pipeline.run.config`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from wgtwo_pipeline.cli.types import KINDS, default_text
from wgtwo_pipeline.sandbox.options import OPTIONS as SANDBOX_OPTIONS

COMMANDS: Final = MappingProxyType(
    {
        "sandbox": "serve the event APIs with made-up events",
        "run": "ingest and publish together until stopped; without --endpoint with a sandbox inside",
        "ingest": "only subscribe, journal and ack",
        "publish": "publish what the journal holds now, then exit",
        "query": "answer SQL over the lake; without SQL give an overview",
        "status": "show what the lake holds: tables, lag, journal backlog, gaps",
        "audit": "prove that every journaled event is published, duplicate, quarantined or erased, once",
    }
)
NOTES: Final = MappingProxyType(
    {
        "query": "Views: each table (sms, voice, …), events (what all tables share), quarantine and journal. "
        'Try "SELECT type, count(*) FROM events GROUP BY type", or "DESCRIBE sms" for its columns.',
    }
)
"""What the help of a command says besides."""
FLOWS: Final = ("run", "ingest", "publish")
"""The commands that run Beam pipelines, and so take Beam's options."""
_INGEST: Final = ("run", "ingest")
_LAKE: Final = tuple(command for command in COMMANDS if command != "sandbox")


@dataclass(frozen=True)
class Option:
    """One option: `--name` on the command line, `WGTWO_NAME` in the environment, `name` in a file.

    `default`, `low` and `high` are written as a user would write them; None means no value or no bound.
    """

    name: str
    kind: str
    default: str | None
    help: str
    choices: tuple[str, ...] = ()
    low: str | None = None
    high: str | None = None
    form: str = ""
    fallback_variable: str | None = None

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return "WGTWO_" + self.name.upper().replace("-", "_")

    @property
    def usage(self) -> str:
        """How the help writes it."""
        form = self.form or "|".join(self.choices) or KINDS[self.kind].form
        return f"--{self.name} {form}".rstrip()

    def parse(self, text: str) -> Any:
        """The value that a text stands for; ValueError says what is wrong with it and what would be right."""
        if not text:
            raise ValueError("is empty: leave the option out or give it a value")
        if self.choices and text not in self.choices:
            raise ValueError(f"must be {' or '.join(self.choices)}")
        parse = KINDS[self.kind].parse
        value = parse(text)
        too_low = self.low is not None and value < parse(self.low)
        if too_low or (self.high is not None and value > parse(self.high)):
            bounds = [f"at least {self.low}"] if self.low is not None else []
            bounds += [f"at most {self.high}"] if self.high is not None else []
            raise ValueError(f"is out of range: it must be {' and '.join(bounds)}")
        return value


@dataclass(frozen=True)
class Section:
    """Options that stand together in the help, and the commands that have them."""

    title: str
    commands: tuple[str, ...]
    options: tuple[Option, ...]


SECTIONS: Final = (
    Section(
        "Lake",
        _LAKE,
        (
            Option("lake", "lake", "./lake", "where everything is stored: a folder or s3://bucket/prefix"),
            Option(
                "s3-endpoint",
                "url",
                None,
                "an S3-compatible server, such as http://127.0.0.1:7070; credentials come as boto3 finds them "
                "(AWS_… variables, ~/.aws, roles)",
            ),
            Option(
                "s3-region",
                "str",
                None,
                "the bucket's region, such as eu-west-1; else as boto3 finds it",
                form="REGION",
            ),
        ),
    ),
    Section(
        "Connection",
        _INGEST,
        (
            Option(
                "endpoint",
                "endpoint",
                None,
                "the event service, such as api.wgtwo.com:443 (443 if no port is given); TLS unless --plaintext",
            ),
            Option("plaintext", "flag", "false", "connect without TLS"),
            Option(
                "ca-file", "path", None, "trust the authorities in this file, not the system's", form="PEM"
            ),
            Option("token-url", "url", "https://id.wgtwo.com/oauth2/token", "where OAuth tokens come from"),
            Option(
                "client-id",
                "str",
                None,
                "OAuth client id; also from CLIENT_ID",
                form="ID",
                fallback_variable="CLIENT_ID",
            ),
            Option(
                "client-secret",
                "secret",
                None,
                "OAuth client secret; better from CLIENT_SECRET, which other users of the machine cannot see",
                fallback_variable="CLIENT_SECRET",
            ),
            Option(
                "client-secret-file",
                "path",
                None,
                "file that holds the OAuth client secret, here and on every worker; read anew for each token",
                form="FILE",
            ),
            Option(
                "scope",
                "str",
                None,
                'OAuth scopes, such as "events.sms.subscribe events.voice.subscribe"; '
                "else what the types need",
                form="SCOPES",
            ),
        ),
    ),
    Section(
        "Subscription",
        _INGEST,
        (
            Option("api", "choice", "v0", "version of the event API", choices=("v0", "v1")),
            Option(
                "types",
                "list",
                "all",
                "tables to fill, such as sms,voice; consent revocations are always added",
                form="A,B,…|all",
            ),
            Option(
                "queue-name", "str", "wgtwo-pipeline", "queue whose members share the events", form="NAME"
            ),
            Option(
                "durable-name",
                "str",
                "wgtwo-pipeline",
                "name under which the server keeps the position",
                form="NAME",
            ),
            Option(
                "subscriptions",
                "int",
                "1",
                "members of the queue; locally a process each",
                low="1",
                high="256",
            ),
            Option(
                "max-in-flight",
                "int",
                "50",
                "most unacked events of one member; v1 allows 1 to 200",
                low="1",
                high="10000",
            ),
            Option(
                "ack-timeout",
                "duration",
                "30s",
                "after so long the server sends an unacked event again; v1 allows 10s to 10m",
                low="1s",
                high="1h",
            ),
            Option(
                "start",
                "start",
                "oldest",
                "where to begin if the server holds no position, such as 4711, 2026-11-23T09:30:00Z or -30m",
                form="oldest|new|last|SEQUENCE|TIMESTAMP|-DURATION",
            ),
            Option(
                "history",
                "duration",
                "30m",
                "how long the service keeps events: an outage longer than this is recorded as a gap",
                low="1s",
            ),
            Option(
                "linger",
                "duration",
                "200ms",
                "longest time an event waits for its segment to fill",
                low="1ms",
            ),
        ),
    ),
    Section(
        "Stopping by itself",
        _INGEST,
        (
            Option("for", "duration", None, "after this time", low="1ms"),
            Option("max-events", "int", None, "after this many journaled events", low="1"),
            Option("until-idle", "duration", None, "after no event came for so long, such as 10s", low="1ms"),
        ),
    ),
    Section(
        "Publishing",
        ("run",),
        (
            Option(
                "publish-every",
                "duration",
                "1m",
                "time between two publications; 10s with the embedded sandbox",
                low="100ms",
            ),
        ),
    ),
    Section(
        "Publishing",
        ("run", "publish"),
        (
            Option("journal-retention", "duration", "24h", "how long published segments are kept"),
            Option(
                "partition-by", "choice", "date", "one folder of a table a day or an hour", ("date", "hour")
            ),
        ),
    ),
    Section(
        "Output",
        ("query",),
        (
            Option("fresh", "flag", "false", "include what is journaled and not yet published"),
            Option("format", "choice", "table", "form of the result", ("table", "csv", "json", "parquet")),
            Option("output", "path", None, "write the result to this file", form="FILE"),
        ),
    ),
    Section(
        "Depth",
        ("audit",),
        (Option("deep", "flag", "false", "read all rows and segments, not only manifests and footers"),),
    ),
    Section(
        "Output", ("status", "audit"), (Option("json", "flag", "false", "one JSON object instead of text"),)
    ),
    Section(
        "Serving",
        ("sandbox",),
        (
            Option("address", "address", "127.0.0.1:50051", "where to listen; port 0 takes a free one"),
            Option(
                "tls-dir",
                "path",
                None,
                "serve TLS with a self-signed certificate for localhost and 127.0.0.1, written to DIR/cert.pem",
                form="DIR",
            ),
            Option(
                "oauth-address",
                "address",
                None,
                "serve /oauth2/token there (plain HTTP) and demand a valid token of those who call",
            ),
            Option(
                "oauth-client",
                "secret",
                None,
                "the only client that gets tokens (default: any)",
                form="ID:SECRET",
            ),
            Option("token-lifetime", "duration", "1h", "how long a token is valid", low="1s"),
            Option(
                "admin-address",
                "address",
                None,
                "serve the page that shows and changes what the sandbox does",
            ),
        ),
    ),
    Section(
        "Events",
        ("sandbox",),
        (
            Option("rate", "float", "50", "events a second", form="EV/S", low="0"),
            Option("count", "int", None, "make no more events than these", low="0"),
            Option("seed", "int", "0", "the same seed makes the same events"),
            Option("types", "list", "all", "types of event to make, such as sms,voice", form="A,B,…|all"),
        ),
    ),
    Section(
        "Faults and behaviour",
        ("sandbox",),
        tuple(
            Option(option.name, option.kind, default_text(option.kind, option.default), option.help)
            for option in SANDBOX_OPTIONS
        ),
    ),
    Section(
        "Beam",
        FLOWS,
        (
            Option(
                "runner",
                "str",
                "DirectRunner",
                "Beam's runner; other options of Beam can be given as they are (--parallelism=2), "
                "and all after a lone -- goes to Beam untouched",
                form="NAME",
            ),
        ),
    ),
    Section(
        "General",
        tuple(COMMANDS),
        (
            Option(
                "config",
                "path",
                None,
                'TOML file with options as keys, such as lake = "./lake"; flags and WGTWO_… variables win',
                form="FILE",
            ),
            Option(
                "log-format", "choice", "text", "form of the logs on standard error", choices=("text", "json")
            ),
            Option(
                "log-level",
                "choice",
                "info",
                "least severe message to log",
                choices=("debug", "info", "warning", "error"),
            ),
        ),
    ),
)


def options_of(command: str) -> dict[str, Option]:
    """The options that a command has, by name."""
    return {
        option.name: option
        for section in SECTIONS
        if command in section.commands
        for option in section.options
    }


def all_options() -> Iterator[Option]:
    """Every option of every command; `types` and `history` are there twice."""
    for section in SECTIONS:
        yield from section.options
