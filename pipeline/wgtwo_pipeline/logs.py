"""Sets up logging: to standard error, as text or as one JSON object a line; tokens and secrets never pass."""

import json
import logging
import re
import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from wgtwo_pipeline.log_events import name_of

_NOISY: Final = (
    "FlinkJarJobServer", "apache_beam", "asyncio", "boto3", "botocore", "fsspec", "grpc", "matplotlib", "py.warnings",
    "s3transfer", "urllib3",
)  # fmt: skip
"""Libraries that tell at level info what only their authors want to know."""
_HARMLESS: Final = ("apitools not found",)
"""Beginnings of Beam's warnings about Google Cloud libraries, which nothing here needs."""
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_BEARER: Final = re.compile(
    r"(?i)\b(bearer\s+(?!<)|(?:access_token|client_secret)[\"']?\s*[=:]\s*[\"']?)[^\s\"',;&]+"
)

ERASE_LINE: Final = "\r\x1b[2K"
"""Makes room on a terminal where the line of progress stands."""

_SHORTEST_SECRET: Final = 6
"""Hiding shorter ones would tear holes into ordinary words, and so give them away."""

_secrets: set[str] = set()


def is_told(failures: int) -> bool:
    """Whether a failure is to be told that is the so-maniest in a row: at powers of two, so that it is no flood."""
    return failures & (failures - 1) == 0


def hide(secret: str) -> None:
    """From now on this text appears as `***` in every log line and error of this process, unless it is too short."""
    if len(secret) >= _SHORTEST_SECRET:
        _secrets.add(secret)


def redact(text: str) -> str:
    """The text without bearer tokens and hidden secrets. The last line of defence, not the first."""
    for secret in _secrets:
        text = text.replace(secret, "***")
    return _BEARER.sub(r"\1***", text)


def setup_logging(form: str = "text", level: str = "info", stream: TextIO | None = None) -> None:
    """Logs to standard error (or `stream`) from now on, as `text` or `json`. Replaces an earlier set-up."""
    handler = logging.StreamHandler(stream or sys.stderr)
    lead = ERASE_LINE if handler.stream.isatty() else ""
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter(lead))
    handler.addFilter(lambda record: not str(record.msg).startswith(_HARMLESS))
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    for name in _NOISY:
        quiet = logging.ERROR if name == "py.warnings" else logging.WARNING
        logging.getLogger(name).setLevel(logging.NOTSET if level == "debug" else quiet)


def is_json() -> bool:
    """Whether a program reads standard error, so that every line there must be a JSON object."""
    return any(isinstance(handler.formatter, JsonFormatter) for handler in logging.getLogger().handlers)


class TextFormatter(logging.Formatter):
    """`2026-11-23T09:30:00.000Z INFO subscribe: message key=value`, then the traceback if there is one.

    `lead` comes before all of it.
    """

    def __init__(self, lead: str = "") -> None:
        super().__init__()
        self._lead = lead

    def format(self, record: logging.LogRecord) -> str:
        """One line a record, but for tracebacks."""
        name = record.name.removeprefix("wgtwo_pipeline.")
        facts = "".join(f" {key}={value}" for key, value in _facts(record).items())
        line = f"{_time(record)} {record.levelname} {name}: {record.getMessage()}{facts}"
        return self._lead + redact("\n".join([line, *_traceback(self, record)]))


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, the event's name, `extra` facts, an exception if any."""

    def format(self, record: logging.LogRecord) -> str:
        """One line a record, whatever it holds."""
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
        }
        if event := name_of(record.name, str(record.msg)):
            entry["event"] = event
        facts = {key: _plain(value) for key, value in _facts(record).items() if key not in entry}
        exception = [redact(text) for text in _traceback(self, record)]
        return json.dumps(
            entry | facts | ({"exception": exception[0]} if exception else {}), ensure_ascii=False
        )


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _facts(record: logging.LogRecord) -> dict[str, Any]:
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float | None) else redact(str(value))


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> Iterable[str]:
    if record.exc_info and record.exc_info[0] is not None:
        yield formatter.formatException(record.exc_info)
