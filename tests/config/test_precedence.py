"""A flag beats the environment beats the file beats the default; what nobody would read is refused."""

import json

import hypothesis
import pytest
import typed
from hypothesis import given
from hypothesis import strategies as st
from typed import gather
from wgtwo_pipeline.cli.options import options_of
from wgtwo_pipeline.errors import ConfigurationError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("config")


def written(folder, text):
    path = folder / "pipeline.toml"
    path.write_text(text)
    return str(path)


VALUES = {
    "queue-name": st.text("abc", min_size=1),
    "max-in-flight": st.integers(1, 200).map(str),
    "ack-timeout": st.integers(10, 600).map(lambda seconds: f"{seconds}s"),
    "plaintext": st.sampled_from(["true", "false"]),
    "start": st.sampled_from(["oldest", "17", "-5m", "2026-11-23T09:30:00Z"]),
    "types": st.sampled_from(["sms", "sms,voice", "all"]),
}


@hypothesis.settings(deadline=None)  # no clock decides
@given(st.sampled_from(sorted(VALUES)).flatmap(
    lambda name: st.tuples(st.just(name), *[st.none() | VALUES[name] for _ in range(3)])
))  # fmt: skip
def test_precedence(folder, drawn):
    """Whichever of flag, variable and key are there, the first of them decides, and messages name it."""
    name, flag, variable, key = drawn
    option = options_of("run")[name]
    form = option.kind(key) if key and option.kind.name in ("int", "flag") else key
    config = written(folder, f"{name} = {json.dumps(form)}" if key else "")
    if key and option.kind.name == "list":
        config = written(folder, f"{name} = {json.dumps(key.split(','))}")
    settings = gather(
        "run",
        {"config": config} | ({name: flag} if flag else {}),
        {option.variables[0]: variable} if variable else {},
    )
    expected = flag or variable or key or option.default
    assert settings[name] == option.kind(expected)
    origins = [
        (flag, f"--{name}"),
        (variable, "WGTWO_" + name.upper().replace("-", "_")),
        (key, f"{name} in {config}"),
    ]
    assert settings.origin(name) == next((origin for text, origin in origins if text), f"--{name}")
    assert settings.is_default(name) == (flag is variable is key is None)


def test_client_credentials_without_prefix():
    """CLIENT_ID and CLIENT_SECRET serve as in wgtwo's guide; the prefixed variables win over them."""
    environment = {"CLIENT_ID": "guide", "CLIENT_SECRET": "s3cret"}
    settings = gather("run", {}, environment)
    assert (settings["client-id"], settings.origin("client-secret")) == ("guide", "CLIENT_SECRET")
    assert gather("run", {}, environment | {"WGTWO_CLIENT_ID": "ours"})["client-id"] == "ours"


def test_config_file_from_the_environment(folder):
    """WGTWO_CONFIG names the file as --config does, and --config wins."""
    other = folder / "other.toml"
    other.write_text('lake = "./other"')
    environment = {"WGTWO_CONFIG": written(folder, 'lake = "./here"')}
    assert gather("status", {}, environment)["lake"] == "./here"
    assert gather("status", {"config": str(other)}, environment)["lake"] == "./other"


def test_one_file_serves_all_commands(folder):
    """A key or variable of another command is no mistake, and does not reach this command."""
    config = written(folder, 'lake = "./here"\nrate = 5\nack_timeout = "10s"')
    settings = gather("query", {"config": config}, {"WGTWO_LINGER": "1s"})
    assert settings["lake"] == "./here"
    assert settings["linger"] == 0.2
    assert settings.is_default("linger")


def test_toml_types(folder):
    """Numbers, booleans, arrays and times may be written as TOML has them, keys with - or _."""
    config = written(
        folder, 'max_events = 5\nplaintext = true\ntypes = ["sms", "voice"]\nstart = 2026-11-23T09:30:00Z'
    )
    settings = gather("run", {"config": config}, {})
    assert (settings["max-events"], settings["plaintext"], settings["types"]) == (5, True, ("sms", "voice"))
    assert settings["start"].timestamp.isoformat() == "2026-11-23T09:30:00+00:00"


@pytest.mark.parametrize("variable", [
    "WGTWO_SANDBOX_SERVICE_HOST", "WGTWO_SANDBOX_SERVICE_PORT_GRPC", "WGTWO_SANDBOX_PORT",
    "WGTWO_PIPELINE_PORT_50051_TCP_ADDR",  "HOME",
])  # fmt: skip
def test_variables_of_others(variable):
    """What Kubernetes adds for a service called wgtwo-…, is no mistake."""
    gather("run", {}, {variable: "tcp://10.0.0.1:50051"})


def test_an_empty_variable_is_left_out():
    """A variable that a script or a compose file left empty counts as not given."""
    assert gather("run", {}, {"WGTWO_ENDPOINT": "", "CLIENT_ID": ""})["endpoint"] is None


@pytest.mark.parametrize(
    ("flags", "environment", "text", "message"),
    [
        ({}, {"WGTWO_LAK": "x"}, "", "environment variable WGTWO_LAK: did you mean WGTWO_LAKE?"),
        ({}, {"WGTWO_QQQQQQQ": "x"}, "", "environment variable WGTWO_QQQQQQQ: unset it"),
        ({}, {}, 'ack-timeot = "3s"', "key 'ack-timeot', which is no option: did you mean ack-timeout?"),
        ({}, {}, "max-events = 1\nmax_events = 2", "{file} has 'max-events' twice"),
        ({}, {}, "[lake]\nurl = 3", "{file} has the section [lake]: write all options without sections"),
        ({}, {}, 'config = "x"', "key 'config', which is no option"),
        (
            {},
            {},
            "linger = 3",
            'linger in {file} has the wrong type: write it in quotation marks, such as "30s"',
        ),
        ({}, {}, 'plaintext = "yes"', "plaintext in {file} has the wrong type: write it true or false"),
        ({}, {}, "max-events = true", "max-events in {file} has the wrong type: write it a number"),
        ({}, {}, "lake = ", "{file} is no TOML file"),
        ({"lake": ""}, {}, "", "--lake '' is empty: leave the option out or give it a value"),
        ({"linger": "5"}, {}, "", "--linger '5' is no duration: write it like 250ms, 30s, 5m, 2h or 7d"),
        ({}, {"WGTWO_LINGER": "5"}, "", "WGTWO_LINGER '5' is no duration"),
        ({}, {}, 'linger = "5"', "linger in {file} '5' is no duration"),
        ({"log-format": "jsn"}, {}, "", "--log-format 'jsn' must be text or json: did you mean json?"),
        (
            {"subscriptions": "0"},
            {},
            "",
            "--subscriptions '0' is out of range: it must be at least 1 and at most 256",
        ),
        ({"max-in-flight": "0"}, {}, "", "--max-in-flight '0' is out of range: it must be at least 1"),
        ({"max-events": "0"}, {}, "", "--max-events '0' is out of range: it must be at least 1"),
        (
            {"ack-timeout": "2h"},
            {},
            "",
            "--ack-timeout '2h' is out of range: it must be at least 1s and at most 1h",
        ),
    ],
)
def test_refusals_name_the_place_and_the_fix(folder, flags, environment, text, message):
    """A refusal is one sentence that names what is wrong, where it came from and the fix; exit code 2."""
    config = written(folder, text)
    with pytest.raises(ConfigurationError) as refusal:
        gather("run", {"config": config} | flags, environment)
    assert message.format(file=config) in str(refusal.value)
    assert "\n" not in str(refusal.value).strip()
    assert refusal.value.exit_code == 2


def test_a_missing_file_is_named(folder):
    """A file that is not there is named together with who asked for it."""
    with pytest.raises(ConfigurationError, match=r"WGTWO_CONFIG /nowhere\.toml cannot be read"):
        gather("run", {}, {"WGTWO_CONFIG": "/nowhere.toml"})


def test_a_refused_secret_is_not_shown():
    """The text of a secret stays out of the message, even if it is what is wrong."""
    with pytest.raises(ConfigurationError, match=r"--client-secret \*\*\* holds a character") as refusal:
        gather("run", {"client-secret": "hunter2\n"}, {})
    assert "hunter2" not in str(refusal.value)


@pytest.mark.parametrize("service", ["wgtwo", "wgtwo-lake", "wgtwo-api-v1"])
def test_a_kubernetes_service_takes_no_option_away(service):
    """Every variable that Kubernetes makes of a service is left alone, and none of them is an option's."""
    prefix = service.upper().replace("-", "_")
    address = "tcp://10.0.0.1:50051"
    variables = {
        f"{prefix}_SERVICE_HOST": "10.0.0.1",
        f"{prefix}_SERVICE_PORT": "50051",
        f"{prefix}_SERVICE_PORT_GRPC": "50051",
        f"{prefix}_PORT": address,
        f"{prefix}_PORT_50051_TCP": address,
        f"{prefix}_PORT_50051_TCP_PROTO": "tcp",
        f"{prefix}_PORT_50051_TCP_PORT": "50051",
        f"{prefix}_PORT_50051_TCP_ADDR": "10.0.0.1",
    }
    settings = gather("run", {}, variables)
    assert all(settings.is_default(name) for name in options_of("run"))


def test_a_port_that_somebody_meant_is_no_variable_of_kubernetes():
    """`WGTWO_PORT=50051` would do nothing: it is refused, not taken for a service's."""
    with pytest.raises(ConfigurationError, match="no option belongs to the environment variable WGTWO_PORT"):
        gather("run", {}, {"WGTWO_PORT": "50051"})


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_a_byte_order_mark_is_no_statement(folder, encoding):
    """A file that Windows' editor saved is read as it was meant."""
    path = folder / "marked.toml"
    path.write_text('lake = "./sjø"', encoding=encoding)
    assert gather("status", {"config": str(path)}, {})["lake"] == "./sjø"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1"])
def test_another_encoding_gets_one_sentence(folder, encoding):
    """PowerShell's `>` writes UTF-16: the sentence says what to do."""
    path = folder / "other.toml"
    path.write_text('lake = "./sjø"', encoding=encoding)
    with pytest.raises(ConfigurationError) as refusal:
        gather("status", {"config": str(path)}, {})
    assert str(refusal.value) == f"--config {path} is not UTF-8 text: save it as UTF-8"


def test_a_flag_is_switched_off(folder):
    """What a file or a variable switches on, `--no-…` or `=false` switches off on the command line."""
    on = {"WGTWO_PLAINTEXT": "true"}
    assert gather("run", {}, on)["plaintext"] is True
    for off in ("--no-plaintext", "--plaintext=false", "--plaintext=0"):
        found = typed.settings("run", off, environment=on)
        assert found["plaintext"] is False
        assert found.is_flag("plaintext")
    assert typed.settings("run", "--no-plaintext", "--plaintext")["plaintext"] is True
    with pytest.raises(ConfigurationError, match=r"--plaintext 'yes' must be true or false"):
        typed.settings("run", "--plaintext=yes")
