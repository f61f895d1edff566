"""Every option of the command line, once: its name, the commands that have it, its kind, default and help.

Flags, environment variables, the TOML file and its schema, the help, the reference, shell completion and the checks
of single values all come from this table; what several values must satisfy together is in `build.py`.

It is over 300 lines because it is one table.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

import click
from click.core import ParameterSource

from wgtwo_pipeline.cli import config_file
from wgtwo_pipeline.cli.types import KINDS, default_text
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.events.api import TABLES
from wgtwo_pipeline.sandbox.options import EVENTS, FAULTS, SERVING
from wgtwo_pipeline.sandbox.options import OPTIONS as SANDBOX_OPTIONS

INGEST: Final = ("run", "ingest")
FLOWS: Final = ("run", "ingest", "publish", "erase")
LAKE: Final = (
    *INGEST,
    "publish",
    "query",
    "status",
    "schema",
    "audit",
    "erase",
    "register",
    "serve",
    "report",
)
EVERY: Final = ()


class Option(click.Option):
    """One option: `--name` on the command line, `WGTWO_NAME` in the environment, `name` in a file.

    `of` are the commands that have it (`EVERY`: all), `kind` is a name of `KINDS`, which `narrower` narrows by
    `form`, `choices`, `low`, `high` or `known`. `default` is written as a user would write it; None means no value.
    `fallback` is a variable that serves where ours is not set. A flag that is on can be switched off by `--no-name`.
    """

    def __init__(
        self,
        name: str,
        of: tuple[str, ...],
        kind: str,
        default: str | None,
        text: str,
        *,
        fallback: str | None = None,
        **narrower: Any,
    ) -> None:
        self.of = (*of, "check") if "run" in of else of  # it tries what a run would be given
        self.key = name
        self.kind = replace(KINDS[kind], **narrower)
        self.variables = tuple(filter(None, ("WGTWO_" + name.upper().replace("-", "_"), fallback)))
        super().__init__(
            [f"--{name}/--no-{name}" if kind == "flag" else f"--{name}"],
            type=self.kind,
            default=default,
            help=text,
            metavar=self.kind.form or "|".join(self.kind.choices),
            envvar=self.variables,
        )

    @property
    def usage(self) -> str:
        """How the help writes it."""
        return f"--{self.key} {self.metavar}".rstrip()

    def origin(self, ctx: click.Context) -> str:
        """How a message names it: by where its value came from, such as `WGTWO_LAKE` or `lake in pipeline.toml`."""
        match ctx.get_parameter_source(self.name):
            case ParameterSource.ENVIRONMENT:
                return next(variable for variable in self.variables if os.environ.get(variable))
            case ParameterSource.DEFAULT_MAP:
                return config_file.origin(ctx, self.key)
        return f"--{self.key}"

    def read(self, text: str, origin: str) -> Any:
        """The value that a text stands for; ConfigurationError says what is wrong with it and what would be right."""
        try:
            return self.kind.convert(text, self, None)
        except click.BadParameter as error:
            shown = "***" if self.kind.name in ("secret", "country") else repr(text)
            raise ConfigurationError(f"{origin} {shown} {error.message}") from None

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """The value of a text, which is refused by where it came from; what is no text is a value already."""
        return self.read(value, self.origin(ctx)) if isinstance(value, str) else value

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """What the help says, with the default unless that is no or nothing."""
        shown = self.default is not None and self.kind.name != "flag"
        return self.usage, (self.help or "") + (f" (default {self.default})" if shown else "")


@dataclass(frozen=True)
class Section:
    """Options that stand together in the help."""

    title: str
    options: tuple[Option, ...]


class ConfigOption(Option):
    """`--config`: read before the others, since what it holds is where they find their defaults."""

    def __init__(self, *declared: Any) -> None:
        super().__init__(*declared)
        self.is_eager = True

    def type_cast_value(self, ctx: click.Context, value: Any) -> Any:
        """Reads the file, unless a shell only completes."""
        file = super().type_cast_value(ctx, value)
        if file is not None and not ctx.resilient_parsing:
            kinds = {option.key: option.kind for option in all_options() if option is not self}
            config_file.load(ctx, file, self.origin(ctx), kinds)
        return file


# A table is read by its rows.
# fmt: off
SECTIONS: Final = (
    Section("Lake", (
        Option("lake", LAKE, "lake", "./lake", "where everything is stored: a folder or s3://bucket/prefix"),
        Option("s3-endpoint", LAKE, "url", None, "an S3-compatible server, such as http://127.0.0.1:7070; "
               "credentials come as boto3 finds them (AWS_… variables, ~/.aws, roles)"),
        Option("s3-region", LAKE, "str", None, "the bucket's region, such as eu-west-1; else as boto3 finds it",
               form="REGION"),
    )),
    Section("Connection", (
        Option("endpoint", INGEST, "endpoint", None,
               "the event service, such as api.wgtwo.com:443 (443 if no port is given); TLS unless --plaintext"),
        Option("plaintext", INGEST, "flag", "false", "connect without TLS"),
        Option("transport", INGEST, "choice", "http2",
               "what speaks gRPC to the service: http2 is made for this, grpc is grpcio, to compare with",
               choices=("http2", "grpc")),
        Option("ca-file", INGEST, "path", None, "trust the authorities in this file, not the system's", form="PEM"),
        Option("token-url", INGEST, "url", "https://id.wgtwo.com/oauth2/token", "where OAuth tokens come from"),
        Option("client-id", INGEST, "str", None, "OAuth client id; also from CLIENT_ID", form="ID",
               fallback="CLIENT_ID"),
        Option("client-secret", INGEST, "secret", None, "OAuth client secret; better from CLIENT_SECRET, "
               "which other users of the machine cannot see", fallback="CLIENT_SECRET"),
        Option("client-secret-file", INGEST, "path", None,
               "file that holds the OAuth client secret, here and on every worker; read anew for each token"),
        Option("scope", INGEST, "str", None, 'OAuth scopes, such as "events.sms.subscribe events.voice.subscribe"; '
               "else what the types need", form="SCOPES"),
    )),
    Section("Subscription", (
        Option("api", INGEST, "choice", "v0", "version of the event API", choices=("v0", "v1")),
        Option("types", INGEST, "list", "all",
               "tables to fill, such as sms,voice; consent revocations are always added",
               form="A,B,…|all", known=("all", *TABLES["v0"], *TABLES["v1"])),
        Option("queue-name", INGEST, "str", "wgtwo-pipeline", "queue whose members share the events", form="NAME"),
        Option("durable-name", INGEST, "str", "wgtwo-pipeline", "name under which the server keeps the position",
               form="NAME"),
        Option("subscriptions", INGEST, "int", "1", "members of the queue; locally a process each",
               low="1", high="256"),
        Option("max-in-flight", INGEST, "int", "50", "most unacked events of one member; v1 allows 1 to 200",
               low="1", high="10000"),
        Option("ack-timeout", INGEST, "duration", "30s",
               "after so long the server sends an unacked event again; v1 allows 10s to 10m", low="1s", high="1h"),
        Option("start", INGEST, "start", "oldest",
               "where to begin if the server holds no position, such as 4711, 2026-11-23T09:30:00Z or -30m"),
        Option("history", (*INGEST, "status", "serve"), "duration", "30m",
               "how long the service keeps events: an outage longer than this is recorded as a gap", low="1s"),
        Option("linger", INGEST, "duration", "200ms", "longest time an event waits for its segment to fill",
               low="1ms"),
    )),
    Section("Stopping by itself", (
        Option("for", INGEST, "duration", None, "after this time", low="1ms"),
        Option("max-events", INGEST, "int", None, "after this many journaled events", low="1"),
        Option("until-idle", INGEST, "duration", None, "after no event came for so long, such as 10s", low="1ms"),
    )),
    Section("On a cluster", (
        Option("detach", ("ingest",), "flag", "false",
               "only submit the job and print its id; the cluster keeps it, and whoever stops it does so there"),
    )),
    Section("Publishing", (
        Option("publish-every", ("run",), "duration", "15m",
               "publish when the oldest event that waits is this old, or 64 MiB or 250,000 wait; "
               "10s with the embedded sandbox", low="100ms"),
        Option("publish-every", ("publish",), "duration", None,
               "publish only while the oldest event that waits is this old, or 64 MiB or 250,000 wait, as a schedule "
               "of every minute wants it (default: all that waits)", low="100ms"),
        Option("journal-retention", ("run", "publish"), "duration", "24h", "how long published segments are kept"),
        Option("partition-by", ("run", "publish", "schema"), "choice", "date",
               "one folder of a table a day or an hour", choices=("date", "hour")),
    )),
    Section("Erasing", (
        Option("erase-every", ("run", "status", "serve"), "every", "24h",
               "time between two looks for consent revocations, which are obeyed then (30s with the embedded "
               "sandbox); never: they are stored only", low="1s", known=("never",)),
        Option("grace", ("run", "erase"), "duration", "5m", "events of so long after a revocation are erased, too"),
        Option("suppress-for", ("run", "publish", "erase"), "duration", "30d",
               "how long what was erased is not published when it comes again; then nothing says who it was",
               low="1h"),
        Option("erase-within", ("audit",), "duration", "7d",
               "an erasure that is not finished for longer fails the audit", low="1s"),
        Option("country", ("run", "erase"), "country", None,
               "country code of the numbers that have none, such as 47"),
        Option("numbers", ("erase",), "path", None,
               "erase these, too: a file with a phone number a line, or - for standard input", form="FILE|-"),
        Option("before", ("erase",), "time", None,
               "with --numbers or --tenant: events up to this time (default now, or the revocation)"),
        Option("everywhere", ("erase",), "flag", "false",
               "with --numbers: blank the numbers in other people's events as well"),
        Option("tenant", ("erase",), "str", None,
               "answer this operator's revocation: --numbers FILE or --all of its subscribers", form="NAME"),
        Option("all", ("erase",), "flag", "false", "with --tenant: everybody's events"),
        Option("dry-run", ("erase",), "flag", "false", "only say what would be erased; nothing is changed"),
        Option("receipts", ("erase",), "flag", "false", "show what has been erased so far"),
    )),
    Section("Catalog", (
        Option("catalog", ("run", "register"), "str", None,
               "keep Iceberg tables: lake for the lake as its own catalog, which register does anyway, "
               "or NAME[.NAMESPACE] of .pyiceberg.yaml", form="lake|NAME"),
        Option("compact", ("register",), "flag", "false",
               "show closed days by few files under iceberg/; the plain files stay as they are"),
    )),
    Section("Depth", (
        Option("deep", ("audit",), "flag", "false", "read all rows and segments, not only manifests and footers"),
    )),
    Section("Output", (
        Option("fresh", ("query",), "flag", "false", "include what is journaled and not yet published"),
        Option("format", ("query",), "choice", "table", "form of the result",
               choices=("table", "csv", "json", "parquet")),
        Option("format", ("schema",), "choice", "text", "the columns, or DDL for an engine",
               choices=("text", "json", "athena", "trino", "bigquery", "spark", "duckdb", "clickhouse")),
        Option("output", ("report",), "path", "report.html", "write the page to this file, in place of an older one"),
        Option("output", ("query",), "path", None, "write the result to this file"),
        Option("since", ("report",), "duration", "30d", "how long ago the oldest day is that is shown", low="1s"),
        Option("offline", ("check",), "flag", "false", "look only at the configuration: ask nobody"),
        Option("json", ("status", "audit", "erase", "check"), "flag", "false", "one JSON object instead of text"),
        Option("watch", ("status",), "flag", "false", "show it again every two seconds, until stopped"),
    )),
    Section("Figures", (
        Option("metrics-address", ("run", "ingest", "serve"), "address", None,
               "serve /metrics for Prometheus, /livez, /readyz, /status and a page there, such as 127.0.0.1:9464, "
               "where the command serve does so by itself"),
        Option("metrics-file", ("publish", "audit", "erase", "register"), "path", None,
               "leave figures in this file for node exporter's textfile collector, such as /var/lib/…/publish.prom"),
    )),
    *(Section(title, tuple(
        Option(each.name, ("sandbox",), each.kind, default_text(each.kind, each.default), each.help, **each.narrower)
        for each in SANDBOX_OPTIONS if each.section == title
    )) for title in (SERVING, EVENTS, FAULTS)),
    Section("Beam", (
        Option("runner", FLOWS, "str", "DirectRunner", "Beam's runner; other options of Beam can be given as they "
               "are (--parallelism=2), and all after a lone -- goes to Beam untouched", form="NAME"),
    )),
    Section("General", (
        ConfigOption("config", EVERY, "path", None,
                     'TOML file with options as keys, such as lake = "./lake"; flags and WGTWO_… variables win'),
        Option("log-format", EVERY, "choice", "text", "form of the logs on standard error", choices=("text", "json")),
        Option("log-level", EVERY, "choice", "info", "least severe message to log",
               choices=("debug", "info", "warning", "error")),
    )),
)
# fmt: on


def all_options() -> Iterator[Option]:
    """Every option of every command; some are there twice, with another meaning for another command."""
    for section in SECTIONS:
        yield from section.options


def options_of(command: str) -> dict[str, Option]:
    """The options that a command has, by name."""
    return {option.key: option for option in all_options() if not option.of or command in option.of}
