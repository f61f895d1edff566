"""Asks the rows: every question's answer, counted by DuckDB within its bounds of memory."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import duckdb
import pyarrow as pa

from wgtwo_pipeline.ask.views import Views
from wgtwo_pipeline.errors import PipelineError
from wgtwo_pipeline.lake.duck import literal
from wgtwo_pipeline.lake.layout import FilePath
from wgtwo_pipeline.lake.store import Store
from wgtwo_pipeline.report import questions
from wgtwo_pipeline.report.period import Period
from wgtwo_pipeline.report.questions import DELAYS, Question, place

Row = tuple[Any, ...]

_COMMITS: Final = pa.schema([("epoch", pa.int64()), ("committed_at", pa.timestamp("us", "UTC"))])
_PUBLISHED: Final = f"""\
SELECT {place("(epoch_us(committed_at) - epoch_us(received_at)) / 1e6", DELAYS)} AS place, count(*)
FROM read_parquet([{{files}}], hive_partitioning = false, filename = true)
JOIN commits ON epoch = regexp_extract(filename, '([0-9]+)-[0-9]+[.]parquet$', 1)::BIGINT
GROUP BY ALL"""  # noqa: S608  # files are quoted


@dataclass(frozen=True)
class Answers:
    """Of the rows of these days; `rows` by the question's name, as its kind says."""

    rows: Mapping[str, tuple[Row, ...]]
    publishing: Counter[int]
    """Events by the place in `DELAYS` of the time from their arrival until they were committed."""
    future: int
    """Events that say they happen after these days: a clock is wrong. They are in no other answer."""


def ask(store: Store, period: Period, committed_at: Mapping[int, datetime]) -> Answers:
    """The answers; all are of the files that were there at the beginning. Blocks. Raises PipelineError.

    `committed_at` are the epochs that may have published events of these days.
    """
    with Views(store) as views, _errors(views):
        views.define([name for name in views.names if name != "journal"])
        asked = (
            questions.EVENTS,
            questions.HOURS,
            questions.ARRIVAL,
            questions.QUARANTINE,
            *questions.DOMAIN,
        )
        return Answers(
            rows={question.name: tuple(_answer(views, question, period)) for question in asked},
            publishing=_publishing(store, views, period, committed_at),
            future=_rows(views, questions.FUTURE.format(last=period.last))[0][0],
        )


def _answer(views: Views, question: Question, period: Period) -> Iterable[Row]:
    if not question.by_day:
        return _rows(views, question.of(period))
    found: Counter[int] = Counter()
    for day in period.days():
        found.update(dict(_rows(views, question.on(day))))
    return sorted(found.items())


def _publishing(
    store: Store, views: Views, period: Period, committed_at: Mapping[int, datetime]
) -> Counter[int]:
    """By table, since the columns of one may be added to in time."""
    commits = [{"epoch": epoch, "committed_at": at} for epoch, at in committed_at.items()]
    views.connection.register("commits", pa.Table.from_pylist(commits, _COMMITS))
    found: Counter[int] = Counter()
    for uris in views.published.values():
        files = [uri for uri in uris if _is_of(store, uri, period)]
        if files:
            found.update(dict(_rows(views, _PUBLISHED.format(files=", ".join(map(literal, files))))))
    return found


def _is_of(store: Store, uri: str, period: Period) -> bool:
    path = FilePath.parse(uri.removeprefix(store.uri("")))
    return path is not None and period.first <= path.day <= period.last


def _rows(views: Views, sql: str) -> list[Row]:
    return views.files.ask(lambda connection: connection.execute(sql).fetchall())


@contextmanager
def _errors(views: Views) -> Iterator[None]:
    try:
        yield
    except (duckdb.Error, OSError) as error:
        if views.files.changed():
            raise PipelineError(
                "an erasure replaced files again and again while they were read: try again"
            ) from error
        raise PipelineError(
            f"the tables cannot be read ({str(error).partition(chr(10))[0]}): `audit` says more"
        ) from error
