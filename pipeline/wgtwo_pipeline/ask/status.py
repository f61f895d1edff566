"""What the lake holds, from its manifests, checkpoint and listings alone: no table file is opened."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from wgtwo_pipeline.ask import erased
from wgtwo_pipeline.ask import registered as catalogs
from wgtwo_pipeline.ask.erased import Erased
from wgtwo_pipeline.ask.holdings import Holding, of_tables
from wgtwo_pipeline.ask.render import duration, size, text_table
from wgtwo_pipeline.ask.settings import Reading
from wgtwo_pipeline.lake import checkpoint, history, journal, positions, receipts, retained
from wgtwo_pipeline.lake.layout import QUARANTINE
from wgtwo_pipeline.lake.manifest import Manifest, Sealed, Unreadable, iso, manifest_key
from wgtwo_pipeline.lake.open import open_to_read
from wgtwo_pipeline.lake.store import ObjectInfo, Store


@dataclass(frozen=True)
class Waiting:
    """Segments that no committed epoch holds."""

    segments: int = 0
    deliveries: int = 0
    bytes: int = 0
    oldest_at: datetime | None = None


@dataclass(frozen=True)
class Copies:
    """Retained copies of what is published."""

    objects: int
    bytes: int


@dataclass(frozen=True)
class Status:
    """What a lake holds at one moment."""

    lake: str
    at: datetime
    epochs: int
    committed_at: datetime | None
    totals: checkpoint.Totals
    tables: dict[str, Holding]
    quarantine: Holding
    open_epoch: Sealed | None
    journal: Waiting
    retained: Copies
    unreadable: tuple[Unreadable, ...]
    gaps: tuple[positions.Gap, ...]
    erased: Erased
    registered: catalogs.Registered | None = None
    """None where the lake has no catalog of its own."""

    @property
    def newest_at(self) -> datetime | None:
        """When the newest published event happened."""
        return max((table.newest_at for table in self.tables.values() if table.newest_at), default=None)


def status(reading: Reading) -> int:
    """Prints what the lake holds. Raises LakeError."""
    found = collect(open_to_read(reading.lake), erases=reading.erases)
    if reading.json:
        sys.stdout.write(json.dumps(to_json(found), indent=1) + "\n")
    else:
        sys.stdout.write("\n".join(to_text(found)) + "\n")
    return 0


def collect(store: Store, *, erases: bool = True) -> Status:
    """Looks at a lake. Raises LakeError."""
    # The journal is listed after the manifests: what is committed in between is missing in both counts, never
    # in both.
    past = history.load(store)
    done = receipts.read_all(store)
    totals = receipts.moved(past.totals, done)
    at = datetime.now(UTC)
    held = of_tables(past.base.read(store), past.manifests, totals.tables, done, at)
    return Status(
        lake=store.uri("").rstrip("/"),
        at=at,
        epochs=past.committed,
        committed_at=_committed_at(store, past),
        totals=totals,
        quarantine=held.pop(QUARANTINE, Holding(0, 0, 0, 0, None)),
        tables=held,
        open_epoch=history.open_epoch(store, past),
        journal=_waiting(history.backlog(store, past)),
        retained=_copies(store.list(retained.ROOT)),
        unreadable=tuple(past.unreadable.values()),
        gaps=tuple(positions.gaps(store)),
        erased=erased.collect(store, past, done, is_off=not erases),
        registered=catalogs.collect(store, held, past.committed),
    )


def _committed_at(store: Store, past: history.History) -> datetime | None:
    if past.manifests:
        return past.manifests[-1].committed_at
    if past.committed == 0:
        return None
    key = manifest_key(past.committed)
    return Manifest.from_bytes(key, store.read(key)).committed_at


def _waiting(segments: Iterable[ObjectInfo]) -> Waiting:
    found = Waiting()
    for info in segments:
        name = journal.SegmentName.parse(info.key)
        found = Waiting(
            segments=found.segments + 1,
            deliveries=found.deliveries + name.rows,
            bytes=found.bytes + info.size,
            oldest_at=min(found.oldest_at or name.created_at, name.created_at),
        )
    return found


def _copies(objects: Iterable[ObjectInfo]) -> Copies:
    sizes = [info.size for info in objects]
    return Copies(len(sizes), sum(sizes))


def to_json(found: Status) -> dict[str, Any]:
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


def to_text(found: Status) -> Iterator[str]:
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
