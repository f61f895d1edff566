"""The kinds of values that options have: how each is written and read.

A parser takes the text as a user writes it and raises ValueError with the rest of a sentence that begins with that
text: what is wrong with it, and what would be right.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

from wgtwo_pipeline.events.api import Start
from wgtwo_pipeline.service.settings import split_address

_UNIT_SECONDS: Final = MappingProxyType({"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0})


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `250ms`, `30s`, `5m` or `2h`; ValueError for anything else.

    >>> parse_duration("250ms")
    0.25
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h)", text)
    if match is None:
        raise ValueError("is no duration: write it like 250ms, 30s, 5m or 2h")
    if match[2] == "ms":
        return float(match[1]) / 1000
    return float(match[1]) * _UNIT_SECONDS[match[2]]


def format_duration(seconds: float) -> str:
    """The shortest way to write a duration that `parse_duration` reads back (to the microsecond).

    >>> format_duration(90), format_duration(7200), format_duration(0.25)
    ('90s', '2h', '250ms')
    """
    if not seconds:
        return "0s"
    for unit in ("h", "m", "s"):
        count = seconds / _UNIT_SECONDS[unit]
        if count >= 1 and count == int(count):
            return f"{int(count)}{unit}"
    unit, count = ("s", seconds) if seconds >= 1 else ("ms", seconds * 1000)
    return f"{count:.6f}".rstrip("0").rstrip(".") + unit


def parse_start(text: str) -> Start:
    """A start position: `oldest`, `new`, `last`, a sequence, a time (UTC if it names no offset) or `-DURATION`."""
    if text in ("oldest", "new", "last"):
        return Start(text)
    if re.fullmatch(r"[0-9]+", text):
        if int(text) >= 2**64:
            raise ValueError("is no sequence: the largest is 18446744073709551615")
        return Start("sequence", sequence=int(text))
    try:
        if text.startswith("-"):
            return Start("delta", delta=timedelta(seconds=parse_duration(text[1:])))
        moment = datetime.fromisoformat(text)
        return Start("timestamp", timestamp=(moment if moment.tzinfo else moment.replace(tzinfo=UTC)))
    except ValueError:
        raise ValueError(
            "is no start position: write oldest, new, last, a sequence such as 4711, "
            "a time such as 2026-11-23T09:30:00Z or how long ago such as -30m"
        ) from None


def _address(text: str) -> str:
    if split_address(text)[1] is None:
        raise ValueError("has no port: write HOST:PORT, such as 127.0.0.1:50051 (port 0 takes a free one)")
    return text


def _endpoint(text: str) -> str:
    if split_address(text)[1] == 0:
        raise ValueError("has no possible port: ports go from 1 to 65535")
    return text


def _url(text: str) -> str:
    parts = urlsplit(text)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("is no web address: write https://HOST[:PORT][/PATH]")
    if parts.username is not None or parts.password is not None:
        raise ValueError("must not hold a user or password")
    return text


def _lake(text: str) -> str:
    form = "name a folder such as ./lake, or s3://bucket/prefix"
    scheme, separator, rest = text.partition("://")
    if not separator or scheme == "file":
        if not rest and separator:
            raise ValueError(f"names no folder: {form}")
        return text
    if scheme != "s3":
        raise ValueError(f"cannot be a lake: {form}")
    bucket, _, prefix = rest.partition("/")
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}", bucket):
        raise ValueError(f"names no bucket: {form}")
    if any(part in ("", ".", "..") for part in prefix.strip("/").split("/")) and prefix.strip("/"):
        raise ValueError("has an empty, '.' or '..' part in its prefix: leave it out")
    return text.rstrip("/")


def _integer(text: str) -> int:
    if not re.fullmatch(r"-?[0-9]{1,18}", text):
        raise ValueError("is no whole number")
    return int(text)


def _number(text: str) -> float:
    if not re.fullmatch(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", text):
        raise ValueError("is no number: write it like 50 or 0.5")
    return float(text)


def _flag(text: str) -> bool:
    if text.lower() not in ("true", "false", "1", "0"):
        raise ValueError("must be true or false")
    return text.lower() in ("true", "1")


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name for name in (part.strip() for part in text.split(",")) if name)
    if not names:
        raise ValueError("is an empty list: write names with commas between them")
    return names


def _text(text: str) -> str:
    if any(not character.isprintable() for character in text):
        raise ValueError("holds a character that cannot be printed")
    return text


@dataclass(frozen=True)
class Kind:
    """A kind of value: how the help writes it, and how its text is read (ValueError says what is wrong)."""

    form: str
    parse: Callable[[str], Any]


KINDS: Final[Mapping[str, Kind]] = MappingProxyType(
    {
        "address": Kind("HOST:PORT", _address),
        "choice": Kind("", _text),
        "duration": Kind("DURATION", parse_duration),
        "endpoint": Kind("HOST:PORT", _endpoint),
        "flag": Kind("", _flag),
        "int": Kind("N", _integer),
        "lake": Kind("URL", _lake),
        "list": Kind("A,B,…", _names),
        "float": Kind("X", _number),
        "path": Kind("PATH", _text),
        "secret": Kind("SECRET", _text),
        "start": Kind("WHERE", parse_start),
        "str": Kind("TEXT", _text),
        "url": Kind("URL", _url),
    }
)


def default_text(kind: str, value: Any) -> str | None:
    """How a user would write this value; None for no value."""
    if value is None or value == ():
        return None
    if kind == "duration":
        return format_duration(value)
    if kind == "float":
        return f"{value:g}"
    return ",".join(value) if kind == "list" else str(value).lower() if kind == "flag" else str(value)
