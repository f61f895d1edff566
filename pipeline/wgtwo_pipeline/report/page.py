"""The report as one page: a figure, and below it the numbers that it shows as a table; no script, nothing to load."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import accumulate
from typing import Any, Final

from wgtwo_pipeline.ask.look import Status
from wgtwo_pipeline.ask.render import duration, size
from wgtwo_pipeline.audit.findings import KINDS, Findings
from wgtwo_pipeline.lake.positions import Gap
from wgtwo_pipeline.markup import document, section, table, text
from wgtwo_pipeline.report import plots, questions
from wgtwo_pipeline.report.answers import Row
from wgtwo_pipeline.report.epochs import FILE_BYTES, OUTCOMES
from wgtwo_pipeline.report.found import Found
from wgtwo_pipeline.report.questions import DELAYS, Question, seconds, spans

_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_ARRIVED, _COMMITTED = "event to arrival", "arrival to commit"


def page(found: Found) -> str:
    """The whole page."""
    policy = f'http-equiv="content-security-policy" content="{_POLICY}"'
    return document("wgtwo-pipeline report", "wgtwo_pipeline.report", _parts(found), policy)


def _parts(found: Found) -> Iterator[str]:
    yield f"<h1>{text(found.lake.lake)}</h1>"
    yield f"<p>{found.period}, seen {_moment(found.at)} UTC</p>"
    lake = found.lake
    if not lake.epochs and not lake.journal.segments and not lake.open_epoch:
        yield '<p id="verdict">The lake is empty: nothing has been journaled yet.</p>'
        yield section("Gaps", _gaps(found))
        return
    yield _verdict(found.audit)
    yield section("What the lake holds", _holdings(lake))
    for question in (questions.EVENTS, questions.HOURS):
        yield _asked(found, question)
    yield section("Latency", _latency(found))
    yield section("Duplicates", _duplicates(found))
    yield _asked(found, questions.QUARANTINE)
    yield section("Gaps", _gaps(found))
    yield section("Epochs", _epochs(found))
    yield section("Sizes of files", _files(found))
    for question in questions.DOMAIN:
        yield _asked(found, question)
    yield "<footer>Made by <code>wgtwo-pipeline report</code>; <code>query</code> answers the SQL, too.</footer>"


def _verdict(audit: Findings) -> str:
    if not audit.total:
        return '<p id="verdict" class="good">The audit passed: every delivery is accounted for, once.</p>'
    kinds = Counter(finding.kind for finding in audit.kept)
    rows = [(kind.replace("_", " "), f"{count:,}", KINDS[kind]) for kind, count in sorted(kinds.items())]
    return (
        f'<p id="verdict" class="bad">The audit FAILED: {audit.total:,} findings; <code>audit</code> names each.</p>'
        + table("findings", ("finding", "how many", "means"), rows)
    )


def _holdings(lake: Status) -> str:
    held = {**lake.tables, **({"quarantine": lake.quarantine} if lake.quarantine.files else {})}
    rows = [
        (
            *(
                name,
                f"{each.rows:,}",
                f"{each.duplicates:,}",
                f"{each.erased:,}",
                f"{each.files:,}",
                size(each.bytes),
            ),
            _moment(each.newest_at) if each.newest_at else "–",
        )
        for name, each in held.items()
    ]
    heads = ("table", "rows", "duplicates", "erased", "files", "size", "newest (UTC)")
    waits = lake.journal
    waiting = f"{waits.deliveries:,} deliveries wait to be published ({size(waits.bytes)})."
    return f"<p>All days. {waiting}</p>" + (table("holdings", heads, rows) if rows else "")


def _asked(found: Found, question: Question) -> str:
    rows = found.answers.rows[question.name]
    shown = _figure(found, question, rows) if rows else "<p>None in these days.</p>"
    future = found.answers.future if question is questions.EVENTS else 0
    more = (
        f"<p>{future:,} more say that they happen after these days: a clock is wrong.</p>" if future else ""
    )
    sql = f"<pre>{text(_statement(question, found))}</pre>"
    return section(question.title, f"<p>{text(question.says)}</p>{shown}{more}{sql}")


def _statement(question: Question, found: Found) -> str:
    """What was asked; of every day, where it was asked day by day: the last one's."""
    return question.on(found.period.last) if question.by_day else question.of(found.period)


def _figure(found: Found, question: Question, rows: Sequence[Row]) -> str:
    match question.kind:
        case "days":
            return _by_day(
                found, question.name, question.title, {(day, name): count for day, name, count in rows}
            )
        case "hours":
            return _week(question, {(day, hour): count for day, hour, count in rows})
        case "bars":
            cells = [(str(name), f"{count:,}") for name, count in rows]
            return plots.bars(question.title, [(str(name), count) for name, count in rows]) + table(
                question.name, ("", "events"), cells
            )
        case "bounds":
            counts: dict[int, int] = dict(rows)
            places = spans(question.bounds)
            cells = [(place, f"{counts.get(at, 0):,}") for at, place in enumerate(places)]
            return plots.stacked(question.title, places, {"": counts}) + table(
                question.name, ("", "how many"), cells
            )


def _by_day(found: Found, name: str, title: str, counts: Mapping[tuple[Any, Any], int]) -> str:
    """Bars, and a table with a column for each name; the days on which there was something."""
    series = _series(counts)
    days = sorted({day for day, _ in counts})
    cells = [
        (str(day), *(f"{values.get(day, 0):,}" for values in series.values()), f"{_sum_of(series, day):,}")
        for day in days
    ]
    return plots.stacked_days(title, found.period, series) + table(name, ("day", *series, "sum"), cells)


def _series(counts: Mapping[tuple[Any, Any], int]) -> dict[str, dict[Any, int]]:
    """Of counts by place and name: for each name, in order, its counts by place."""
    series: dict[str, dict[Any, int]] = {}
    for (place, name), count in counts.items():
        series.setdefault(str(name), {})[place] = count
    return dict(sorted(series.items()))


def _sum_of(series: Mapping[str, Mapping[Any, int]], day: Any) -> int:
    return sum(values.get(day, 0) for values in series.values())


def _week(question: Question, counts: Mapping[tuple[int, int], int]) -> str:
    cells = [
        (name, *(f"{counts.get((day, hour), 0):,}" for hour in range(24)))
        for day, name in enumerate(plots.WEEKDAYS, 1)
    ]
    heads = ("", *(f"{hour:02d}" for hour in range(24)))
    return plots.weeks(question.title, counts) + table(question.name, heads, cells)


def _latency(found: Found) -> str:
    """Shares as lines, counts as a table; both delays have the same bounds."""
    arrived: Counter[int] = Counter(dict(found.answers.rows[questions.ARRIVAL.name]))
    delays = {_ARRIVED: arrived, _COMMITTED: found.answers.publishing}
    says = (
        "Of each event of these days: from its own time until it was received, and from there until its epoch was "
        "committed, which is when readers see it. Below 0: clocks differ."
    )
    if not arrived:
        return f"<p>{says}</p><p>None in these days.</p>"
    cells = [
        (place, *(f"{counts[at]:,}" for counts in delays.values())) for at, place in enumerate(spans(DELAYS))
    ]
    within = {name: _shares(counts) for name, counts in delays.items() if counts}
    return (
        f"<p>{says}</p>{plots.shares('Latency', [f'< {seconds(bound)}' for bound in DELAYS], within)}"
        + table("latency", ("", *delays), cells)
        + f"<pre>{text(questions.ARRIVAL.of(found.period))}</pre>"
    )


def _shares(counts: Counter[int]) -> list[float]:
    return [sum_ / counts.total() for sum_ in accumulate(counts[at] for at in range(len(DELAYS)))]


def _duplicates(found: Found) -> str:
    says = "<p>Deliveries of events that their table had already: left out. By the day of their epoch, and table.</p>"
    counts = found.epochs.duplicates
    return says + (
        _by_day(found, "duplicates", "Duplicates", counts) if counts else "<p>None in these days.</p>"
    )


def _gaps(found: Found) -> str:
    gaps = [gap for gap in found.lake.gaps if gap.end >= found.period.begins_at]
    says = "<p>Times of which events may be lost: the service no longer had them when it was asked.</p>"
    if not gaps:
        return says + "<p>None in these days.</p>"
    cells = [
        (gap.subscription, _moment(gap.start), _moment(gap.end), duration(_length(gap)))
        for gap in sorted(gaps, key=lambda gap: gap.start)
    ]
    return says + table("gaps", ("subscription", "from (UTC)", "to (UTC)", "length"), cells)


def _length(gap: Gap) -> float:
    return (gap.end - gap.start).total_seconds()


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}"


def _epochs(found: Found) -> str:
    outcomes = found.epochs.outcomes
    if not outcomes:
        return "<p>None was committed in these days.</p>"
    names = ("epochs", *OUTCOMES)
    days = sorted(outcomes)
    cells = [(str(day), *(f"{outcomes[day][name]:,}" for name in names)) for day in days]
    series = {"epochs": {day: outcomes[day]["epochs"] for day in days}}
    return (
        "<p>By the day on which they were committed, and what became of their deliveries.</p>"
        + plots.stacked_days("Epochs", found.period, series)
        + table("epochs", ("day", *names), cells)
    )


def _files(found: Found) -> str:
    files = found.epochs.files
    if not files:
        return "<p>None was written in these days.</p>"
    places = [f"≤ {size(bound)}" for bound in FILE_BYTES] + [f"> {size(FILE_BYTES[-1])}"]
    series = _series(files)
    cells = [
        (name, *(f"{counts.get(at, 0):,}" for at in range(len(places)))) for name, counts in series.items()
    ]
    return (
        "<p>As the epochs of these days wrote them.</p>"
        + plots.stacked("Sizes of files", places, series)
        + table("files", ("table", *places), cells)
    )
