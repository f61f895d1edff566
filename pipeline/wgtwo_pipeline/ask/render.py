"""Writes rows for people (text tables) and for programs (CSV, JSON)."""

import base64
import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, TextIO

import pyarrow as pa

MAX_CELL = 48
_RIGHT = (int, float, Decimal)


def plain(value: Any) -> Any:
    """A value as JSON has it: times in ISO 8601 UTC, bytes in base64, what has no number as null."""
    match value:
        case None | bool() | int() | str():
            return value
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return int(value) if value == value.to_integral_value() else float(value)
        case datetime():
            if value.tzinfo is None:
                return value.isoformat()
            return value.astimezone(UTC).replace(tzinfo=None).isoformat() + "Z"
        case pa.MonthDayNano():
            months = f"{value.months} months " if value.months else ""
            return months + str(timedelta(days=value.days, microseconds=value.nanoseconds // 1000))
        case bytes():
            return base64.b64encode(value).decode()
        case dict():
            return {str(name): plain(each) for name, each in value.items()}
        case tuple() | list():
            return [plain(each) for each in value]
        case date():
            return value.isoformat()
    return str(value)


def write_json(names: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO) -> None:
    """One array, an object a row, a line each."""
    separator = "[\n"
    for row in rows:
        named = dict(zip(names, map(plain, row), strict=True))
        out.write(separator + json.dumps(named, ensure_ascii=False))
        separator = ",\n"
    out.write("[]\n" if separator == "[\n" else "\n]\n")


def write_csv(names: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO) -> None:
    """A header and a line a row (RFC 4180); null is empty, lists and structures are JSON."""
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(names)
    for row in rows:
        writer.writerow([_cell(plain(value), null="") for value in row])


def write_table(
    names: Sequence[str], rows: Iterable[Sequence[Any]], out: TextIO, width: int, most: int
) -> None:
    """The first `most` rows as a text table, or one below the other where they are wider than `width`.

    Counts all rows; says so where it has not shown them all.
    """
    iterator = iter(rows)
    shown = [row for _, row in zip(range(most), iterator, strict=False)]
    total = len(shown) + sum(1 for _ in iterator)
    lines = text_table(names, shown) if shown else ["(no rows)"]
    if len(lines[0]) > width:
        lines = list(_records(names, shown, width))
    out.write("\n".join(lines) + "\n")
    if total > len(shown):
        out.write(f"({len(shown):,} of {total:,} rows shown; --format csv, json or parquet gives all)\n")


def text_table(names: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """The lines of a table: a header, a rule, a line a row; numbers to the right."""
    values = [list(row) for row in rows]
    right = [
        any(_is_number(row[at]) for row in values)
        and all(row[at] is None or _is_number(row[at]) for row in values)
        for at in range(len(names))
    ]
    cells = [[_short(value) for value in row] for row in values]
    widths = [max(len(name), *(len(row[at]) for row in cells), 0) for at, name in enumerate(names)]

    def line(texts: Sequence[str]) -> str:
        aligned = [
            text.rjust(width) if is_right else text.ljust(width)
            for text, width, is_right in zip(texts, widths, right, strict=True)
        ]
        return "  ".join(aligned).rstrip()

    return [line(names), "  ".join("─" * width for width in widths), *map(line, cells)]


def size(count: int) -> str:
    """Bytes for people: `999 B`, `1.2 kB`, `3.4 GB`."""
    if count < 1000:
        return f"{count} B"
    power = min(int(math.log10(count)) // 3, 5)
    return f"{count / 1000**power:.1f} {' kMGTP'[power]}B"


def duration(seconds: float) -> str:
    """A length of time for people: `850 ms`, `12 s`, `3 min`, `5 h`, `2 d`."""
    if seconds < 1:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    for unit, length, until in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def _records(names: Sequence[str], rows: Iterable[Sequence[Any]], width: int) -> Iterator[str]:
    label = max(map(len, names))
    for number, row in enumerate(rows, 1):
        yield f"── row {number} ".ljust(min(width, 60), "─")
        for name, value in zip(names, row, strict=True):
            yield f"{name.ljust(label)}  {_short(value, max(width - label - 2, MAX_CELL))}".rstrip()


def _is_number(value: Any) -> bool:
    return isinstance(value, _RIGHT) and not isinstance(value, bool)


def _short(value: Any, most: int = MAX_CELL) -> str:
    if isinstance(value, datetime):
        text = value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f").rstrip("0").rstrip(".")
    elif _is_number(value) and not isinstance(value, float):
        text = f"{value:,}"
    elif isinstance(value, timedelta):
        text = duration(value.total_seconds())
    else:
        text = _cell(plain(value), null="·")
    text = "".join(character if character.isprintable() else "·" for character in text)
    return text if len(text) <= most else text[: most - 1] + "…"


def _cell(value: Any, null: str) -> str:
    if value is None:
        return null
    if isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False)
