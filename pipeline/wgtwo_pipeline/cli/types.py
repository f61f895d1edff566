"""The kinds of values that options have: how each is written, read, found in a TOML file and completed by a shell.

A parser takes the text as a user writes it and raises ValueError with the rest of a sentence that begins with that
text: what is wrong with it, and what would be right.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import click
from click.shell_completion import CompletionItem

from wgtwo_pipeline.events.api import Start
from wgtwo_pipeline.service.settings import split_address

_STARTS: Final = ("oldest", "new", "last")
_UNIT_SECONDS: Final = MappingProxyType({"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0})


def nearest(name: str, known: Iterable[str], prefix: str = "") -> str:
    """The end of a sentence that suggests what was meant; empty if nothing is near."""
    spellings = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(name.lower(), spellings, n=1, cutoff=0.6)
    return f": did you mean {prefix}{spellings[found[0]]}?" if found else ""


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `250ms`, `30s`, `5m`, `2h` or `7d`; ValueError for anything else.

    >>> parse_duration("250ms")
    0.25
    """
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)(ms|s|m|h|d)", text)
    if match is None:
        raise ValueError("is no duration: write it like 250ms, 30s, 5m, 2h or 7d")
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
    if text in _STARTS:
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


def _every(text: str) -> float:
    """Seconds; infinite for `never`."""
    return math.inf if text == "never" else parse_duration(text)


def _country(text: str) -> str:
    digits = text.removeprefix("+").removeprefix("00")
    if not re.fullmatch(r"[1-9][0-9]{0,3}", digits):
        raise ValueError("is no country code: write its digits, such as 47")
    return digits


def _time(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError("is no time: write it like 2026-11-23T09:30:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


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


def _names(text: str) -> tuple[str, ...]:
    names = tuple(name for name in (part.strip() for part in text.split(",")) if name)
    if not names:
        raise ValueError("is an empty list: write names with commas between them")
    return names


def _text(text: str) -> str:
    if any(not character.isprintable() for character in text):
        raise ValueError("holds a character that cannot be printed")
    return text


def _matching(pattern: str, complaint: str, read: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        if not re.fullmatch(pattern, text):
            raise ValueError(complaint)
        return read(text)

    return parse


_flag: Final = _matching(
    "(?i)true|false|1|0", "must be true or false", lambda text: text.lower() in ("true", "1")
)
_integer: Final = _matching("-?[0-9]{1,18}", "is no whole number", int)
_number: Final = _matching(r"-?[0-9]{1,12}(\.[0-9]{1,9})?", "is no number: write it like 50 or 0.5", float)


@dataclass(frozen=True)
class Kind(click.ParamType[Any]):
    """A kind of value, whose `parse` reads a text that is not empty.

    `form` is how the help writes it, `toml` what it may be in a file besides a text, `hint` how to write it there.
    An option narrows it by `choices` or by bounds, which are written as a user would write them; `known` are names
    that a shell completes, one after the other.
    """

    name: str
    form: str
    parse: Callable[[str], Any]
    toml: tuple[type, ...] = ()
    hint: str = "in quotation marks"
    choices: tuple[str, ...] = ()
    low: str | None = None
    high: str | None = None
    known: tuple[str, ...] = ()

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The value that a text stands for; click.BadParameter says what is wrong with it and what would be right."""
        if not isinstance(value, str):
            return value
        try:
            return self._checked(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def _checked(self, text: str) -> Any:
        if not text:
            raise ValueError("is empty: leave the option out or give it a value")
        if self.choices and text not in self.choices:
            raise ValueError(f"must be {' or '.join(self.choices)}{nearest(text, self.choices)}")
        value = self.parse(text)
        too_low = self.low is not None and value < self.parse(self.low)
        if too_low or (self.high is not None and value > self.parse(self.high)):
            raise ValueError(f"is out of range: it must be {self.bounds}")
        return value

    @property
    def bounds(self) -> str:
        """The bounds in words; empty if there are none."""
        low = [f"at least {self.low}"] if self.low is not None else []
        high = [f"at most {self.high}"] if self.high is not None else []
        return " and ".join(low + high)

    def from_toml(self, entry: object) -> str:
        """The text that a flag would have for this entry of a file; ValueError says how to write it instead."""
        match entry:
            case str() if self.name != "flag":
                return entry
            case bool() if bool in self.toml:
                return str(entry).lower()
            case list() if list in self.toml and all(isinstance(item, str) for item in entry):
                return ",".join(entry)
            case int() | float() if type(entry) in self.toml:
                return str(entry)
            case datetime() | date() if date in self.toml:
                return entry.isoformat()
        raise ValueError(self.hint)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """What a shell may put there; files and folders are its own business."""
        if self.name in ("path", "lake"):
            folder = self.name == "lake" or self.form == "DIR"
            return [CompletionItem(incomplete, type="dir" if folder else "file")]
        before, comma, last = incomplete.rpartition(",") if self.name == "list" else ("", "", incomplete)
        names = self.choices or self.known
        return [CompletionItem(before + comma + name) for name in names if name.startswith(last)]


class _Flag(Kind, click.types.BoolParamType):
    """What click takes for a flag with two spellings."""


_KINDS: Final = (
    Kind("address", "HOST:PORT", _address),
    Kind("choice", "", _text),
    Kind("country", "CODE", _country, (int, float), 'in quotation marks, such as "47"'),
    Kind("duration", "DURATION", parse_duration, (), 'in quotation marks, such as "30s"'),
    Kind("every", "DURATION|never", _every, (), 'in quotation marks, such as "24h" or "never"'),
    Kind("endpoint", "HOST:PORT", _endpoint),
    _Flag("flag", "", _flag, (bool,), "true or false"),
    Kind("int", "N", _integer, (int, float), "a number"),
    Kind("lake", "URL", _lake),
    Kind("list", "A,B,…", _names, (list,), 'such as ["sms", "voice"]'),
    Kind("float", "X", _number, (int, float), "a number"),
    Kind("path", "FILE", _text),
    Kind("secret", "SECRET", _text),
    Kind(
        "start",
        "oldest|new|last|SEQUENCE|TIMESTAMP|-DURATION",
        parse_start,
        (int, float, date),
        known=_STARTS,
    ),
    Kind("str", "TEXT", _text),
    Kind("time", "TIME", _time, (date,), "a time, such as 2026-11-23T09:30:00Z"),
    Kind("url", "URL", _url),
)
KINDS: Final[Mapping[str, Kind]] = MappingProxyType({kind.name: kind for kind in _KINDS})


def default_text(kind: str, value: Any) -> str | None:
    """How a user would write this value; None for no value."""
    if value is None:
        return None
    if kind == "duration":
        return format_duration(value)
    if kind == "list":
        return ",".join(value) or "all"
    return f"{value:g}" if kind == "float" else str(value)
