"""The page for people: plain HTML and SVG, made here; no script, no library, nothing from elsewhere.

It shows names of tables, subscriptions and children, counts and times: never what an event holds.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from wgtwo_pipeline.ask.look import DAYS, EPOCHS, Status
from wgtwo_pipeline.ask.render import duration, size
from wgtwo_pipeline.markup import document, section, table, text
from wgtwo_pipeline.watch.audits import Audited
from wgtwo_pipeline.watch.members import Member
from wgtwo_pipeline.watch.recent import Point, rates

_REFRESH_SECONDS: Final = 5
_WIDTH, _HEIGHT = 220, 40
_LOST_SOON: Final = 0.5
"""With less than this share of the history left, the verdict is a warning."""


@dataclass(frozen=True)
class View:
    """All that the page shows."""

    at: datetime
    problems: Sequence[str]
    members: Sequence[Member]
    history_seconds: float
    points: Sequence[Point]
    lake: Status | None
    audited: Audited | None


def page(view: View) -> bytes:
    """The whole page."""
    refresh = f'http-equiv="refresh" content="{_REFRESH_SECONDS}"'
    return document("wgtwo-pipeline", "wgtwo_pipeline.watch", _sections(view), refresh).encode()


def _sections(view: View) -> Iterator[str]:
    yield _verdict(view)
    yield f'<div id="figures">{"".join(_figures(view))}</div>'
    if view.members:
        yield section("Members", _members(view))
    lake = view.lake
    if lake is None:
        yield "<p>The lake has not been looked at yet.</p>"
        return
    yield section(f"Rows by day, the last {DAYS} days", _days(lake))
    yield section(f"The last {EPOCHS} epochs", _epochs(lake))
    yield section("Quarantine", _quarantine(lake))
    yield section("Gaps", _gaps(lake))
    yield section("Last audit", _audit(view))
    yield (
        f"<footer>{text(lake.lake)}, looked at {lake.at:%Y-%m-%d %H:%M:%S} UTC. "
        '<a href="metrics">metrics</a> <a href="status">status</a> <a href="readyz">readyz</a></footer>'
    )


def _verdict(view: View) -> str:
    left = view.points[-1].lost_in_seconds if view.points else None
    if view.problems:
        kind, words = "bad", f"Not ready: {view.problems[0]}"
    elif left is not None and left < view.history_seconds * _LOST_SOON:
        kind, words = "bad", "Events will be lost"
    else:
        kind, words = "good", "All is well"
    if left is None:
        until = "what is covered is not known yet"
    elif left > 0:
        until = f"were ingest to stop now, events would be lost in {duration(left)}"
    else:
        until = f"events of the last {duration(view.history_seconds - left)} are being lost"
    more = "".join(f"<li>{text(problem)}</li>" for problem in view.problems[1:])
    return f'<h1 id="verdict" class="{kind}">{text(words)}<small>{until}</small></h1><ul>{more}</ul>'


def _figures(view: View) -> Iterator[str]:
    points = view.points
    gauges = {
        name: [value for value in (getattr(point, name) for point in points) if value is not None]
        for name in ("oldest_unacked_seconds", "waiting", "lost_in_seconds")
    }
    for title, unit, values in (
        ("received", "/s", rates(points, "received")),
        ("acked", "/s", rates(points, "acked")),
        ("published", "/s", rates(points, "published")),
        ("oldest unacked", " s", gauges["oldest_unacked_seconds"]),
        ("waiting to be published", "", gauges["waiting"]),
        ("until events are lost", " s", gauges["lost_in_seconds"]),
    ):
        shown = f"{values[-1]:,.1f}{unit}" if values else "–"
        yield f"<figure><figcaption>{title}<b>{shown}</b></figcaption>{_line(title, values)}</figure>"


def _line(title: str, values: Sequence[float]) -> str:
    """A line without axes: from 0 or the least to the most, oldest at the left."""
    low, high = min((0.0, *values)), max((0.0, *values))
    span, step = (high - low) or 1.0, _WIDTH / max(len(values) - 1, 1)
    places = (
        f"{place * step:.1f},{_HEIGHT - (value - low) / span * (_HEIGHT - 4) - 2:.1f}"
        for place, value in enumerate(values)
    )
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{title}, the last 15 minutes">'
        f'<polyline points="{" ".join(places)}"/></svg>'
    )


def _members(view: View) -> str:
    now = view.at.timestamp()
    rows = [
        (
            *(member.name, member.subscription, "connected" if member.connected else "no stream"),
            *(f"{member.received:,}", f"{member.acked:,}", f"{member.in_flight:,}"),
            f"{member.oldest_unacked_seconds:.1f} s",
            f"{duration(now - member.covered_until)} ago" if member.covered_until else "–",
        )
        for member in view.members
    ]
    names = (
        "member",
        "subscription",
        "stream",
        "received",
        "acked",
        "in flight",
        "oldest unacked",
        "covered until",
    )
    return table("members", names, rows)


def _days(lake: Status) -> str:
    days = [lake.at.date() - timedelta(days=ago) for ago in range(DAYS - 1, -1, -1)]
    gaps = {
        gap.start.date() + timedelta(days=number)
        for gap in lake.gaps
        for number in range((gap.end.date() - gap.start.date()).days + 1)
    }
    rows = [
        (table, *(f"{counts[day]:,}" if day in counts else "·" for day in days))
        for table, counts in lake.days.items()
    ]
    heads = ("table", *(f"{day:%m-%d}" + (" gap" if day in gaps else "") for day in days))
    return table("days", heads, rows)


def _epochs(lake: Status) -> str:
    rows = [
        (
            *(f"{each.epoch:,}", f"{each.committed_at:%Y-%m-%d %H:%M:%S}", f"{each.received:,}"),
            *(f"{each.published:,}", f"{each.duplicates:,}", f"{each.quarantined:,}", f"{each.erased:,}"),
            *(f"{len(each.files):,}", size(sum(file.bytes for file in each.files))),
        )
        for each in reversed(lake.recent)
    ]
    names = (
        "epoch",
        "committed (UTC)",
        "received",
        "published",
        "duplicates",
        "quarantined",
        "erased",
        "files",
        "size",
    )
    return table("epochs", names, rows)


def _quarantine(lake: Status) -> str:
    rows = [(reason, f"{count:,}") for reason, count in sorted(lake.totals.reasons.items())]
    return table("quarantine", ("reason", "deliveries"), rows) if rows else "<p>Nothing.</p>"


def _gaps(lake: Status) -> str:
    rows = [
        (gap.subscription, f"{gap.start:%Y-%m-%d %H:%M:%S}", f"{gap.end:%Y-%m-%d %H:%M:%S}")
        for gap in sorted(lake.gaps, key=lambda gap: gap.start, reverse=True)
    ]
    return table("gaps", ("subscription", "from (UTC)", "to (UTC)"), rows) if rows else "<p>None.</p>"


def _audit(view: View) -> str:
    found = view.audited
    if found is None:
        return "<p>None here so far: <code>serve</code> audits once an hour, <code>audit</code> at once.</p>"
    ago = duration((view.at - found.at).total_seconds())
    verdict = f"FAILED: {found.findings:,} findings" if found.findings else "passed"
    kind = "bad" if found.findings else "good"
    return f'<p id="audit" class="{kind}">{verdict}, {ago} ago</p>'


def now() -> datetime:
    """When the page is made."""
    return datetime.now(UTC)
