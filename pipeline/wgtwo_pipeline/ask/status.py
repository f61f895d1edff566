"""What the lake holds, as text and as JSON; `look.py` looks at it."""

import contextlib
import json
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from wgtwo_pipeline.ask import erased
from wgtwo_pipeline.ask.holdings import Holding
from wgtwo_pipeline.ask.look import Looks, Status
from wgtwo_pipeline.ask.render import duration, size, text_table
from wgtwo_pipeline.ask.settings import Reading
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.events.api import HISTORY
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.manifest import iso
from wgtwo_pipeline.lake.open import open_to_read
from wgtwo_pipeline.lake.store import Store

_LOG = logging.getLogger(__name__)

_HISTORY_SECONDS: Final = HISTORY.total_seconds()
_WATCH_SECONDS: Final = 2.0
_CLEAR: Final = "\x1b[H\x1b[2J"


def status(reading: Reading) -> int:
    """Prints what the lake holds. Raises LakeError."""
    looks = Looks(open_to_read(reading.lake), erases=reading.erases)
    if reading.watch:
        return _watch(looks, reading)
    found = looks.look()
    if reading.json:
        sys.stdout.write(json.dumps(to_json(found, reading.history_seconds), indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(to_text(found, reading.history_seconds)) + "\n")
    return 0


def _watch(looks: Looks, reading: Reading) -> int:
    """Shows each look in place of the one before (as JSON: a line each) until interrupted, which is its good end."""
    lead = _CLEAR if sys.stdout.isatty() else ""
    before: Status | None = None
    with contextlib.suppress(KeyboardInterrupt):
        while True:
            try:
                found = looks.look()
            except LakeError as error:  # it may be back at the next look
                _LOG.warning("%s", error)
            else:
                if reading.json:
                    sys.stdout.write(json.dumps(to_json(found, reading.history_seconds)) + "\n")
                else:
                    lines = [*to_text(found, reading.history_seconds), "", _rate(before, found)]
                    sys.stdout.write(lead + "\n".join(lines) + "\n")
                sys.stdout.flush()
                before = found
            time.sleep(_WATCH_SECONDS)
    return 0


def _rate(before: Status | None, found: Status) -> str:
    """How fast deliveries have come since the look before."""
    if before is None:
        return f"{found.at:%H:%M:%S} UTC"
    came = _received(found) - _received(before)
    return f"{found.at:%H:%M:%S} UTC  {came / (found.at - before.at).total_seconds():,.0f} deliveries/s"


def _received(found: Status) -> int:
    return found.totals.received + found.journal.deliveries


def collect(store: Store, *, erases: bool = True) -> Status:
    """Looks at a lake once. Raises LakeError."""
    return Looks(store, erases=erases).look()


def lost_in_seconds(found: Status, history_seconds: float) -> dict[str, float]:
    """By subscription: in so long the service forgets what is not in the lake yet; 0 or less: it has begun to."""
    return {
        name: history_seconds - (found.at - until).total_seconds() for name, until in found.covered.items()
    }


def to_json(found: Status, history_seconds: float = _HISTORY_SECONDS) -> dict[str, Any]:
    """As `status --json` prints it; keys stay, new ones may come. Times are UTC, lags in seconds."""
    totals, sealed = found.totals, found.open_epoch
    return {
        "lake": found.lake,
        "at": iso(found.at),
        "epochs": found.epochs,
        "committed_at": _iso(found.committed_at),
        **totals.counts(),
        "newest_at": _iso(found.newest_at),
        "lag_seconds": _lag(found, found.newest_at),
        "tables": {name: _holding_json(found, table) for name, table in found.tables.items()},
        "quarantine": {**_holding_json(found, found.quarantine), "reasons": totals.reasons},
        "subscriptions": {name: each.to_json() for name, each in sorted(totals.subscriptions.items())},
        "covered_until": {name: iso(until) for name, until in sorted(found.covered.items())},
        "lost_in_seconds": {
            name: round(left, 3) for name, left in sorted(lost_in_seconds(found, history_seconds).items())
        },
        "days": {
            table: {day.isoformat(): rows for day, rows in days.items()} for table, days in found.days.items()
        },
        "open_epoch": {
            "epoch": sealed.epoch,
            "sealed_at": iso(sealed.sealed_at),
            "segments": len(sealed.segments),
            "deliveries": sum(segment.rows for segment in sealed.segments),
        }
        if sealed
        else None,
        "journal": {**asdict(found.journal), "oldest_at": _iso(found.journal.oldest_at)},
        "retained": asdict(found.retained),
        "erasures": found.erased.to_json(),
        "registered": found.registered.to_json() if found.registered else None,
        "unreadable_segments": [asdict(segment) for segment in found.unreadable],
        "gaps": [
            {"subscription": gap.subscription, "from": iso(gap.start), "to": iso(gap.end)}
            for gap in found.gaps
        ],
    }


def to_text(found: Status, history_seconds: float = _HISTORY_SECONDS) -> Iterator[str]:
    """The lines that `status` prints."""
    if not found.epochs and not found.journal.segments and not found.open_epoch:
        yield f"The lake {found.lake} is empty: nothing has been journaled yet. `wgtwo-pipeline run` fills it."
        yield from map(str, found.gaps)
        return
    totals = found.totals
    yield f"Lake {found.lake}"
    yield ""
    if found.epochs:
        yield from tables_text(found)
        yield ""
    rows = [("epochs", f"{found.epochs:,} committed{_ago(found, found.committed_at, ', the last ')}")]
    rows += [("", str(totals))] if found.epochs else []
    rows += [("quarantine", f"{count:,} {reason}") for reason, count in sorted(totals.reasons.items())]
    if found.open_epoch:
        sealed_at = _ago(found, found.open_epoch.sealed_at)
        rows += [("open epoch", f"{found.open_epoch.epoch:,}, sealed {sealed_at}, is being published")]
    waits = found.journal
    waiting = (
        f"{waits.deliveries:,} deliveries wait, in {waits.segments:,} segments ({size(waits.bytes)}), "
        f"the oldest from {_ago(found, waits.oldest_at)}"
    )
    rows += [("journal", waiting if waits.segments else "nothing waits")]
    for name, left in sorted(lost_in_seconds(found, history_seconds).items()):
        lost = f"events are lost in {duration(left)}" if left > 0 else "events since then are being lost"
        rows += [("covered", f"{name} until {_ago(found, found.covered[name])}; without ingest {lost}")]
    copies = f"{found.retained.objects:,} objects with published deliveries ({size(found.retained.bytes)})"
    rows += [("retained", copies)]
    rows += [("erasures", text) for text in erased.to_text(found.erased, found.at)]
    rows += [("iceberg", str(found.registered))] if found.registered else []
    for label, text in rows:
        yield f"{label:<11} {text}"
    yield from erased.loud(found.erased)
    for name, each in found.tables.items():
        if each.future_until:
            yield (
                f"CLOCK       {name} holds events of the future, up to {iso(each.future_until)}: files with such "
                "events do not count for its newest event and its lag"
            )
    ahead = [name for name, position in totals.subscriptions.items() if position.covered_until > found.at]
    for name in sorted(ahead):
        yield (
            f"CLOCK       {name} says that it has everything until {iso(totals.subscriptions[name].covered_until)}, "
            "which lies in the future: a machine's clock was wrong; nothing is believed beyond now"
        )
    for segment in found.unreadable:
        yield f"UNREADABLE  {segment.key}: {segment.rows:,} deliveries are in no table: {segment.reason}"
    yield from map(str, found.gaps)


def tables_text(found: Status) -> list[str]:
    """The table of tables."""
    held = dict(found.tables)
    if found.quarantine.files:
        held[QUARANTINE] = found.quarantine
    rows = [
        (
            name,
            each.rows,
            each.duplicates,
            each.files,
            each.erased,
            size(each.bytes),
            f"{each.newest_at:%Y-%m-%d %H:%M:%S}" if each.newest_at else None,
            duration((found.at - each.newest_at).total_seconds()) if each.newest_at else None,
        )
        for name, each in held.items()
    ]
    return text_table(
        ("table", "rows", "duplicates", "files", "erased", "size", "newest event (UTC)", "lag"), rows
    )


def _holding_json(found: Status, holding: Holding) -> dict[str, Any]:
    return {
        **asdict(holding),
        "newest_at": _iso(holding.newest_at),
        "future_until": _iso(holding.future_until),
        "lag_seconds": _lag(found, holding.newest_at),
    }


def _iso(time: datetime | None) -> str | None:
    return iso(time) if time else None


def _lag(found: Status, time: datetime | None) -> float | None:
    return round((found.at - time).total_seconds(), 3) if time else None


def _ago(found: Status, time: datetime | None, lead: str = "") -> str:
    return f"{lead}{duration((found.at - time).total_seconds())} ago" if time else ""
