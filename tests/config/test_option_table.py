"""The option table says what the command line's description says."""

import pytest
from wgtwo_pipeline.ask.ddl import ENGINES
from wgtwo_pipeline.cli.main import program
from wgtwo_pipeline.cli.options import all_options, options_of
from wgtwo_pipeline.cli.types import KINDS
from wgtwo_pipeline.sandbox.options import OPTIONS as SANDBOX_OPTIONS

ALL = {
    *("sandbox", "run", "ingest", "publish", "query", "status", "schema", "audit", "erase", "register"),
    *("check", "serve", "report", "completion"),
}
LAKE, INGEST = ALL - {"sandbox", "completion"}, {"run", "ingest"}

# As the binding description of the command line has it: option, commands, default.
DESCRIBED = [
    ("lake", LAKE, "./lake"),
    ("s3-endpoint", LAKE, None),
    ("s3-region", LAKE, None),
    ("endpoint", INGEST, None),
    ("plaintext", INGEST, "false"),
    ("transport", INGEST, "http2"),
    ("ca-file", INGEST, None),
    ("token-url", INGEST, "https://id.wgtwo.com/oauth2/token"),
    ("client-id", INGEST, None),
    ("client-secret", INGEST, None),
    ("scope", INGEST, None),
    ("api", INGEST, "v0"),
    ("types", INGEST | {"sandbox"}, "all"),
    ("queue-name", INGEST, "wgtwo-pipeline"),
    ("durable-name", INGEST, "wgtwo-pipeline"),
    ("subscriptions", INGEST, "1"),
    ("max-in-flight", INGEST, "50"),
    ("ack-timeout", INGEST, "30s"),
    ("start", INGEST, "oldest"),
    ("linger", INGEST, "200ms"),
    ("publish-every", {"run", "publish"}, {"run": "15m", "check": "15m", "publish": None}),
    ("for", INGEST, None),
    ("max-events", INGEST, None),
    ("until-idle", INGEST, None),
    ("journal-retention", {"run", "publish"}, "24h"),
    ("erase-every", {"run", "status", "serve"}, "24h"),
    ("grace", {"run", "erase"}, "5m"),
    ("suppress-for", {"run", "publish", "erase"}, "30d"),
    ("erase-within", {"audit"}, "7d"),
    ("numbers", {"erase"}, None),
    ("before", {"erase"}, None),
    ("everywhere", {"erase"}, "false"),
    ("country", {"run", "erase"}, None),
    ("tenant", {"erase"}, None),
    ("all", {"erase"}, "false"),
    ("dry-run", {"erase"}, "false"),
    ("receipts", {"erase"}, "false"),
    ("catalog", {"run", "register"}, None),
    ("fresh", {"query"}, "false"),
    ("format", {"query", "schema"}, {"query": "table", "schema": "text"}),
    ("output", {"query", "report"}, {"query": None, "report": "report.html"}),
    ("since", {"report"}, "30d"),
    ("json", {"status", "audit", "erase", "check"}, "false"),
    ("offline", {"check"}, "false"),
    ("metrics-address", INGEST | {"serve"}, None),
    ("metrics-file", {"publish", "audit", "erase", "register"}, None),
    ("watch", {"status"}, "false"),
    ("detach", {"ingest"}, "false"),
    ("log-format", ALL, "text"),
    ("log-level", ALL, "info"),
    ("config", ALL, None),
    ("address", {"sandbox"}, "127.0.0.1:50051"),
    ("rate", {"sandbox"}, "50"),
    ("count", {"sandbox"}, None),
    ("seed", {"sandbox"}, "0"),
    ("tls-dir", {"sandbox"}, None),
    ("oauth-address", {"sandbox"}, None),
    ("oauth-client", {"sandbox"}, None),
    ("token-lifetime", {"sandbox"}, "1h"),
    ("admin-address", {"sandbox"}, None),
]
OURS = {
    "client-secret-file": INGEST,
    "compact": {"register"},
    "deep": {"audit"},
    "history": INGEST | {"sandbox", "status", "serve"},
    "partition-by": {"run", "publish", "schema"},
    "runner": {"run", "ingest", "publish", "erase"},
}


def tried(commands):
    """`check` takes what `run` takes."""
    return commands | {"check"} if "run" in commands else commands


def commands_with(name):
    return {command for command in program.commands if name in options_of(command)}


def test_commands():
    """The commands are those that scripts rely on."""
    assert set(program.commands) == ALL


@pytest.mark.parametrize(("name", "commands", "default"), DESCRIBED)
def test_described_option(name, commands, default):
    """A described option exists on exactly the commands listed, with the default listed."""
    commands = tried(commands)
    assert commands_with(name) == commands
    expected = default if isinstance(default, dict) else dict.fromkeys(commands, default)
    assert {command: options_of(command)[name].default for command in commands} == expected


def test_nothing_undescribed():
    """What the table holds beyond the description is listed here or an option of the sandbox's own."""
    described = {name for name, _, _ in DESCRIBED}
    sandbox = {option.name for option in SANDBOX_OPTIONS}
    assert {option.key for option in all_options()} == described | set(OURS) | sandbox
    assert {name: commands_with(name) for name in OURS} == {
        name: tried(commands) for name, commands in OURS.items()
    }
    assert all(commands_with(name) == {"sandbox"} for name in sandbox - described - set(OURS))


@pytest.mark.parametrize("option", list(all_options()), ids=lambda option: option.key)
def test_each_default_is_a_value(option):
    """A default is of its option's kind and within its bounds; every option has a help text."""
    assert option.kind.name in KINDS
    assert option.help
    if option.default is not None:
        option.kind(option.default)


def test_choices():
    """Formats and versions are those described."""
    assert options_of("query")["format"].kind.choices == ("table", "csv", "json", "parquet")
    assert options_of("schema")["format"].kind.choices == ("text", "json", *ENGINES)
    assert options_of("run")["api"].kind.choices == ("v0", "v1")
    assert options_of("status")["log-format"].kind.choices == ("text", "json")
