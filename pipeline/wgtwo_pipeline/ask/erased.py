"""What `status` says of erasures: what was taken out, what is not published, and who waits to be obeyed."""

import contextlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from wgtwo_pipeline.ask.render import duration
from wgtwo_pipeline.errors import NotFoundError
from wgtwo_pipeline.lake import erasures, history, receipts
from wgtwo_pipeline.lake.manifest import iso
from wgtwo_pipeline.lake.store import Store


@dataclass(frozen=True)
class Erased:
    """What has been erased, and who waits for it."""

    finished: int = 0
    rows: int = 0
    """Rows that were published, and taken out again."""
    suppressed: int = 0
    """Deliveries that were not even published."""
    blanked: int = 0
    last_at: datetime | None = None
    requested_at: datetime | None = None
    """When the erasure was requested that is not finished yet."""
    revocations: int = 0
    """Published revocations (of v0) that no erasure has read yet."""
    tenants: tuple[receipts.Tenant, ...] = ()
    """Those who revoked their consent for all their subscribers, and nobody has answered."""
    too_old: int = 0
    """Segments that are not published because they may bring back what was erased."""
    is_off: bool = False
    """Whether `run` is told never to look for revocations."""

    def to_json(self) -> dict[str, Any]:
        """As `status --json` prints it."""
        return {
            **asdict(self),
            "last_at": iso(self.last_at) if self.last_at else None,
            "requested_at": iso(self.requested_at) if self.requested_at else None,
            "tenants": [{"tenant": each.tenant, "revoked_at": iso(each.revoked_at)} for each in self.tenants],
        }


def collect(store: Store, past: history.History, done: list[receipts.Receipt], *, is_off: bool) -> Erased:
    """Looks at erasures, after the history. Raises LakeError."""
    open_ = erasures.listing(store).open
    asked: list[receipts.Receipt | erasures.Request] = [*done]
    if open_ is not None:
        with contextlib.suppress(NotFoundError):  # finished and no longer in force by now
            asked.append(erasures.request(store, open_))
    through = asked[-1].through if asked else 0
    rows = sum(receipt.rows for receipt in done)
    return Erased(
        finished=len(done),
        rows=rows,
        suppressed=past.totals.erased,
        blanked=sum(receipt.blanked for receipt in done),
        last_at=done[-1].finished_at if done else None,
        requested_at=asked[-1].requested_at if len(asked) > len(done) else None,
        revocations=history.revocations(past, through),
        tenants=receipts.unanswered(asked),
        too_old=sum(1 for _ in history.too_old(store, past)),
        is_off=is_off,
    )


def to_text(erased: Erased, at: datetime) -> Iterator[str]:
    """What has been erased, and what is being erased."""
    if erased.finished or erased.suppressed:
        last = f", the last {_ago(at, erased.last_at)}" if erased.last_at else ""
        yield (
            f"{erased.finished:,} finished{last}: {erased.rows:,} events taken out, {erased.suppressed:,} not "
            f"published, {erased.blanked:,} numbers blanked"
        )
    if erased.requested_at:
        yield f"one is going on, requested {_ago(at, erased.requested_at)}"
    if erased.revocations:
        yield f"{erased.revocations:,} revocations wait for the next"
    if not (erased.finished or erased.suppressed or erased.requested_at or erased.revocations):
        yield "none so far"


def loud(erased: Erased) -> Iterator[str]:
    """What somebody must not overlook."""
    if erased.is_off:
        yield "NOT OBEYED  --erase-every never: revocations are stored and not obeyed, until somebody runs `erase`"
    for each in erased.tenants:
        yield (
            f"TENANT      {each.tenant} revoked its consent for all its subscribers at {iso(each.revoked_at)}: "
            f"answer with `erase --tenant {each.tenant} --numbers FILE`, or `--all`"
        )
    if erased.too_old:
        yield (
            f"TOO OLD     {erased.too_old:,} segments are from before an erasure that is no longer in force, and not "
            "published: `audit` names them"
        )


def _ago(now: datetime, time: datetime) -> str:
    return f"{duration((now - time).total_seconds())} ago"
