"""What an erasure would do, found without changing anything."""

from collections import Counter
from dataclasses import asdict, dataclass
from typing import Any

from wgtwo_pipeline.erase import rewrite
from wgtwo_pipeline.erase.candidates import candidates
from wgtwo_pipeline.errors import NotFoundError
from wgtwo_pipeline.lake import erasures
from wgtwo_pipeline.lake.erasures import Request
from wgtwo_pipeline.lake.history import History
from wgtwo_pipeline.lake.receipts import RETAINED
from wgtwo_pipeline.lake.store import Store


@dataclass(frozen=True)
class Preview:
    """What would go: events by table, and how many objects would be rewritten of how many looked at."""

    cause: str
    subjects: int
    looked_at: int
    files: int
    copies: int
    erased: dict[str, int]
    blanked: int

    def to_json(self) -> dict[str, Any]:
        """As `erase --dry-run --json` prints it."""
        return {"dry_run": True, **asdict(self)}


def preview(store: Store, past: History, asked: Request, key: bytes) -> Preview:
    """Looks into everything that is committed, one object after the other."""
    subjects = erasures.of_request(asked, key)
    looked_at = files = copies = blanked = 0
    erased: Counter[str] = Counter()
    for item in candidates(store, past, past.committed + 1, subjects, by_index=False):
        looked_at += 1
        try:
            new = rewrite.without(store, item, store.read(item.key), subjects, asked.erasure)
        except NotFoundError:
            continue
        if new.data is None:
            continue
        if item.table == RETAINED:
            copies += 1
        else:
            files += 1
            erased[item.table] += new.erased
            blanked += new.blanked
    gone = {table: rows for table, rows in sorted(erased.items()) if rows}
    return Preview(asked.cause, len(asked.subjects), looked_at, files, copies, gone, blanked)
