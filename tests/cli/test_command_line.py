"""The command line: what it takes, what it refuses, how a command ends.

It is over 300 lines because each way to type and to end a command is one short test.
"""

import importlib
import json
import logging
import os
import signal
import subprocess
import sys
import types

import pytest
from patience import PATIENCE_SECONDS
from wgtwo_pipeline import logs
from wgtwo_pipeline.cli.main import main, program
from wgtwo_pipeline.cli.options import options_of
from wgtwo_pipeline.errors import ConfigurationError, ServiceError

COMMANDS = list(program.commands)
FUNCTIONS = {name: command.work.split(":") for name, command in program.commands.items()}


@pytest.fixture(autouse=True)
def _nothing_from_outside(monkeypatch):
    for variable in list(os.environ):
        if variable.startswith("WGTWO_") or variable in ("CLIENT_ID", "CLIENT_SECRET"):
            monkeypatch.delenv(variable)
    monkeypatch.setattr("wgtwo_pipeline.logs.setup_logging", lambda *_: None)


@pytest.fixture
def stand_in(monkeypatch):
    """Puts a function in the place of a command and returns what it was called with."""

    def put(command, outcome=0):
        module, function = FUNCTIONS[command]
        calls = []

        def work(request):
            calls.append(request)
            if isinstance(outcome, BaseException):
                raise outcome
            return outcome

        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**{function: work}))
        return calls

    return put


def pipeline(*arguments, **more):
    return subprocess.run(
        [sys.executable, "-m", "wgtwo_pipeline", *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        **more,
    )


@pytest.mark.parametrize("command", COMMANDS)
def test_dispatch(stand_in, command):
    """Each command calls its own function with what was asked for, and ends with what that returns."""
    calls = stand_in(command, 1)
    given = {"sandbox": [], "completion": ["zsh"]}.get(command, ["--lake", "./there"])
    if command == "ingest":
        given += ["--endpoint", "x:1"]
    assert main([command, *given]) == 1
    (request,) = calls
    if command == "sandbox":
        assert request.address == "127.0.0.1:50051"
    elif command == "completion":
        assert request == "zsh"
    else:
        assert (request.config if command == "check" else request).lake.url == "./there"
        assert getattr(request, "command", command) == command


def test_flags_reach_the_configuration(stand_in):
    """`--option value`, `--option=value`, a bare flag and a value that begins with a dash are all understood."""
    calls = stand_in("run")
    assert (
        main(["run", "--endpoint=x:1", "--plaintext", "--start", "-30m", "--linger", "1s", "--linger", "2s"])
        == 0
    )
    config = calls[0]
    assert config.service.plaintext
    assert config.subscription.start.delta.total_seconds() == 1800
    assert config.subscription.linger_seconds == 2
    assert config.beam_args == ("--runner=DirectRunner",)


def test_query(stand_in):
    """The SQL is the one word that stands by itself; readers' options reach their groups."""
    calls = stand_in("query")
    assert main(["query", "SELECT 1", "--fresh", "--format", "csv", "--output=x.csv"]) == 0
    assert main(["query", "--plain=x"]) == 2
    for lead in ([], ["--"]):
        assert main(["query", *lead, "-- a comment\nSELECT 2"]) == 0
        assert calls[-1].sql == "-- a comment\nSELECT 2"
    reading = calls[0]
    assert (reading.sql, reading.fresh, reading.format, reading.output) == ("SELECT 1", True, "csv", "x.csv")
    calls = stand_in("audit")
    assert main(["audit", "--json", "--deep"]) == 0
    assert (calls[0].json, calls[0].deep) == (True, True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["runn"], "'runn' is no command: did you mean run?"),
        (["--what"], "'--what' is no command: choose one of sandbox, run"),
        (["--lake", "x"], "'--lake' is no command: choose one of sandbox, run"),
        (["status", "--jsn"], "--jsn is no option of status: did you mean --json?"),
        (["status", "--log_level=debug"], "--log_level is no option of status: did you mean --log-level?"),
        (["status", "--qqq"], "--qqq is no option of status: see wgtwo-pipeline status --help"),
        (["status", "-x"], "-x is no option of status"),
        (
            ["query", "--publish-every", "3s"],
            "--publish-every is an option of run, check, publish, not of query",
        ),
        (
            ["status", "--runner=FlinkRunner"],
            "--runner is an option of run, ingest, publish, erase, check, not of status",
        ),
        (["query", "--types=sms"], "--types is an option of run, ingest, check, sandbox, not of query"),
        (["status", "--parallelism=2"], "--parallelism is no option of status"),
        (["status", "--lake"], "--lake needs a value: --lake URL"),
        (["run", "--lake", "--fresh"], "--lake needs a value: --lake URL"),
        (["status", "lake"], "status does not know what to do with 'lake': did you mean --lake?"),
        (["status", "--", "x"], "status does not know what to do with 'x'"),
        (["query", "SELECT", "1"], "query takes one SQL text, not 2: put it in quotation marks"),
        (["ingest"], "ingest needs --endpoint HOST:PORT"),
    ],
)
def test_refusals(capsys, arguments, message):
    """What nobody knows is refused in one line on standard error that names it and the fix; exit code 2."""
    assert main(arguments) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("wgtwo-pipeline: error: ")
    assert output.err.count("\n") == 1
    assert message in output.err


def test_wrong_environment(capsys, monkeypatch):
    """The environment is looked at before anything starts."""
    monkeypatch.setenv("WGTWO_LAKKE", "x")
    assert main(["status"]) == 2
    assert "did you mean WGTWO_LAKE?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("outcome", "code", "message"),
    [
        (ServiceError("no scope\nfor sms"), 1, "wgtwo-pipeline: error: no scope for sms\n"),
        (ConfigurationError("not so"), 2, "wgtwo-pipeline: error: not so\n"),
        (KeyboardInterrupt(), 130, ""),
        (
            ValueError("oh"),
            1,
            "wgtwo-pipeline: error: unexpected ValueError: oh (--log-level debug shows where)\n",
        ),
        (BrokenPipeError("of a socket"), 1, "wgtwo-pipeline: error: unexpected BrokenPipeError"),
        (ServiceError("Bearer abc.def"), 1, "wgtwo-pipeline: error: Bearer ***\n"),
    ],
)
def test_ends(capsys, stand_in, outcome, code, message):
    """However a command ends, there is an exit code and at most one line, without a traceback or a token."""
    stand_in("status", outcome)
    assert main(["status"]) == code
    output = capsys.readouterr().err
    assert output.startswith(message)
    assert output.count("\n") == bool(message)


def test_debug_shows_where(capsys, stand_in, caplog):
    """At log level debug the traceback precedes the line."""
    stand_in("status", ServiceError("no"))
    with caplog.at_level("DEBUG"):
        assert main(["status", "--log-level", "debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "environment"), [(["--log-format", "json"], {}), ([], {"WGTWO_LOG_FORMAT": "json"})]
)
def test_an_error_among_json_is_json(capsys, monkeypatch, stand_in, given, environment):
    """Where logs are JSON, each line on standard error is: also what is wrong with the work or the configuration."""
    monkeypatch.undo()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stand_in("status", ServiceError("no scope\nfor Bearer abc.def"))
    levels = {name: logging.getLogger(name).level for name in logs._NOISY}
    for options, code, message in (
        ([], 1, "no scope for Bearer ***"),
        (["--lake", "gs://x"], 2, "--lake 'gs://x'"),
    ):
        assert main(["status", *given, *options]) == code
        (line,) = capsys.readouterr().err.splitlines()
        assert json.loads(line)["level"] == "error"
        assert json.loads(line)["message"].startswith(message)
    logging.captureWarnings(False)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_lets_a_command_clean_up(monkeypatch, capsys, number):
    """The first one ends a command as if its work had failed, the second one at once; afterwards all is as before."""
    seen = []

    def work(_):
        try:
            os.kill(os.getpid(), number)
            signal.pause()
        except KeyboardInterrupt:
            raise RuntimeError("as DuckDB says it") from None
        finally:
            seen.extend(signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM))

    before = [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)]
    monkeypatch.setitem(sys.modules, "wgtwo_pipeline.ask.status", types.SimpleNamespace(status=work))
    assert main(["status"]) == 130
    assert capsys.readouterr().err == ""
    assert seen == [signal.SIG_DFL, signal.SIG_DFL]
    assert [signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_log_level_comes_from_anywhere(monkeypatch, stand_in):
    """The chosen form and level are what logging is set up with, before the command starts."""
    chosen = []
    monkeypatch.setattr("wgtwo_pipeline.logs.setup_logging", lambda *given: chosen.append(given))
    monkeypatch.setenv("WGTWO_LOG_LEVEL", "warning")
    stand_in("status")
    main(["status", "--log-format", "json"])
    assert chosen[-1] == ("json", "warning")


@pytest.mark.parametrize("command", COMMANDS)
def test_help(capsys, command):
    """A command's help names each of its options, with its default, within the terminal's width."""
    assert main([command, "--help"]) == 0
    text = capsys.readouterr().out
    flat = " ".join(text.split())
    for option in options_of(command).values():
        assert f"--{option.key}" in text
        if option.default and option.kind.name != "flag":
            assert f"(default {option.default})" in flat
    assert main([command, "--lake", "x", "-h"]) == (0 if "lake" in options_of(command) else 2)


@pytest.mark.parametrize("columns", [80, 100])
def test_help_fits_the_terminal(capsys, monkeypatch, columns):
    """No line is wider, but for a single word that is."""
    monkeypatch.setenv("COLUMNS", str(columns))
    for arguments in (["--help"], *([command, "--help"] for command in COMMANDS)):
        assert main(arguments) == 0
        wide = [line for line in capsys.readouterr().out.splitlines() if len(line) > columns]
        assert all(len(line.split()) == 1 for line in wide)


def test_help_of_all(capsys):
    """The overview names every command; without a command it is shown, too, but as a mistake."""
    assert main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"  {command} " in text for command in COMMANDS)
    assert main([]) == 2


def test_version_of_the_installed_program():
    """The script and the module are the same program."""
    ended = pipeline("--version")
    assert ended.returncode == 0
    assert ended.stdout.startswith("wgtwo-pipeline ")


def test_help_imports_nothing_slow():
    """Help, and so every mistake in an option, comes without Beam, pyarrow, grpc or DuckDB."""
    code = (
        "import sys; from wgtwo_pipeline.cli.main import main; main(['run', '--help']); "
        "sys.exit(','.join({'apache_beam', 'pyarrow', 'grpc', 'duckdb', 'boto3'} & set(sys.modules)))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE_SECONDS
    )
    assert ended.stderr == "\n"


def test_a_reader_that_goes_away():
    """`… | head -1` ends quietly, with the exit code that shells use for it."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "wgtwo_pipeline", "run", "--help"],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=PATIENCE_SECONDS,
        )
    finally:
        os.close(writer)
    assert (ended.returncode, ended.stderr) == (141, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_standard_output_of_any_encoding(tmp_path, encoding):
    """What it cannot write is replaced: the help and a result with other characters come whole, and exit code 0."""
    for arguments in (["run", "--help"], ["--help"], ["query", "SELECT 'αβγ' AS greek", "--lake", tmp_path]):
        environment = os.environ | {"PYTHONIOENCODING": encoding, "PYTHONUTF8": "0"}
        ended = subprocess.run(
            [sys.executable, "-m", "wgtwo_pipeline", *arguments],
            capture_output=True,
            timeout=PATIENCE_SECONDS,
            env=environment,
        )
        assert (ended.returncode, b"Error" in ended.stderr) == (0, False)
        text = ended.stdout.decode(encoding)
        assert ("?" in text) == (encoding != "utf-8")


def test_an_unknown_option_among_json_is_json(capsys, monkeypatch):
    """Also what is wrong with the command line itself, wherever the form was asked for."""
    monkeypatch.undo()
    monkeypatch.setattr(logging, "captureWarnings", lambda _: None)
    for arguments in (
        ["status", "--log-format", "json", "--what"],
        ["status", "--what", "--log-format=json"],
        ["sttus", "--log-format=json"],
        ["completion", "--log-format=json"],
    ):
        assert main(arguments) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert json.loads(line)["level"] == "error"


def test_each_module_of_a_command_is_named():
    """Every command has a function, and it is where the program looks."""
    for module, function in FUNCTIONS.values():
        assert callable(getattr(importlib.import_module(module), function))


def test_help_anywhere(capsys, stand_in):
    """`--help` anywhere among the options asks for help; nothing is done, whatever the values before it are."""
    calls = stand_in("status")
    assert main(["status", "--json", "--help"]) == 0
    assert main(["status", "--lake", "gs://x", "--help", "--what"]) == 0
    assert capsys.readouterr().out.count("Usage: wgtwo-pipeline status") == 2
    assert calls == []
