"""Logs: one line a record on standard error, readable by people or machines, without tokens and secrets."""

import io
import json
import logging
import sys
import warnings

import pytest
from wgtwo_pipeline import logs


@pytest.fixture(autouse=True)
def _as_before(monkeypatch):
    root = logging.getLogger()
    handlers, level, shown = root.handlers[:], root.level, warnings.showwarning
    levels = {name: logging.getLogger(name).level for name in logs._NOISY}
    monkeypatch.setattr(logs, "_secrets", set())
    root.handlers[:] = []
    yield
    logging.captureWarnings(False)
    warnings.showwarning = shown
    root.handlers[:] = handlers
    root.setLevel(level)
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


def lines(form="text", level="info"):
    stream = io.StringIO()
    logs.setup_logging(form, level, stream)
    return lambda: stream.getvalue().splitlines()


def test_text():
    """Time in UTC, level, room, message and the facts."""
    written = lines()
    logging.getLogger("wgtwo_pipeline.lake.journal").info("wrote %d", 3, extra={"segment": "a/b"})
    (line,) = written()
    time, rest = line.split(" ", 1)
    assert time.endswith("Z")
    assert rest == "INFO lake.journal: wrote 3 segment=a/b"


def test_json():
    """One object a line with time, level, logger, message and the facts; a traceback stays inside it."""
    written = lines("json")
    try:
        raise ValueError("two\nlines")
    except ValueError:
        logging.getLogger("wgtwo_pipeline.ingest.ack").exception(
            "failed", extra={"count": 2, "api": "v0", "path": [1]}
        )
    (line,) = written()
    entry = json.loads(line)
    assert entry.pop("time").endswith("Z")
    assert "ValueError: two\nlines" in entry.pop("exception")
    assert entry == {
        "level": "error", "logger": "wgtwo_pipeline.ingest.ack", "message": "failed", "count": 2, "api": "v0",
        "path": "[1]",
    }  # fmt: skip


@pytest.mark.parametrize("form", ["text", "json"])
@pytest.mark.parametrize(
    "text",
    [
        "authorization: Bearer S3CRET-token",
        "metadata (('authorization', 'bearer S3CRET-token'),)",
        '{"access_token": "S3CRET-token"}',
        "client_secret=S3CRET-token&grant_type=x",
    ],
)
def test_tokens_do_not_pass(form, text):
    """What looks like a token is masked in messages, arguments, facts and tracebacks."""
    written = lines(form)
    try:
        raise ValueError(text)
    except ValueError:
        logging.getLogger("x").exception("%s", text, extra={"fact": text})
    assert "S3CRET" not in "\n".join(written())
    assert "***" in "\n".join(written())


def test_what_only_speaks_of_a_token_passes():
    """A server that says what it wants is quoted whole; no token holds such a sign."""
    text = "send authorization: Bearer <access token>"
    assert logs.redact(text) == text


def test_a_hidden_secret_does_not_pass():
    """A secret of this process is masked wherever it stands; too short a text is not taken for one."""
    written = lines()
    logs.hide("correct-horse")
    logs.hide("in")
    logging.getLogger("x").info("it is correct-horse in %s", "xcorrect-horsex")
    assert written()[0].endswith("it is *** in x***x")


def test_levels():
    """Libraries keep quiet about what is no warning, unless debug was asked for."""
    written = lines()
    for name in ("botocore.auth", "apache_beam.runners", "grpc._cython"):
        logging.getLogger(name).info("chatter")
    logging.getLogger("botocore").warning("trouble")
    logging.getLogger("wgtwo_pipeline.x").debug("detail")
    logging.getLogger().warning("apitools not found, and so on")
    assert [line.split(" ", 1)[1] for line in written()] == ["WARNING botocore: trouble"]
    written = lines(level="debug")
    logging.getLogger("botocore.auth").debug("chatter")
    assert len(written()) == 1


def test_a_second_set_up_replaces_the_first():
    """Nothing is logged twice."""
    first, second = lines(), lines()
    logging.getLogger("x").info("once")
    assert (len(first()), len(second())) == (0, 1)


def test_standard_error_is_the_default(capsys):
    """Results alone go to standard output."""
    logs.setup_logging()
    logging.getLogger("x").info("here")
    output = capsys.readouterr()
    assert (output.out, "here" in output.err) == ("", True)
    assert sys.stderr is not None


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_line_on_a_terminal_takes_the_place_of_progress():
    """What stands on the line is erased first, so that no record begins in the middle; JSON stays JSON."""
    for form, lead in (("text", logs.ERASE_LINE), ("json", "{")):
        stream = Terminal()
        logs.setup_logging(form, stream=stream)
        logging.getLogger("x").info("here")
        assert stream.getvalue().startswith(lead)
        assert logs.is_json() == (form == "json")
