"""Where the files of a table are: the only place that writes and reads their keys.

`tables/<table>/day=YYYY-MM-DD/<epoch>-<number>.parquet`, of an hourly lake with `/hour=HH` behind the day, and
`quarantine/day=YYYY-MM-DD/<epoch>.parquet`. The folder's key is `day` while the column in the file is `date`, and
`hour` is in the path only: a reader that takes columns from folders meets no name twice. Whatever else lies beside
them (`_SUCCESS`, `._x.parquet`, the copy of a sync client) is no file of a table.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Self

TABLES = "tables/"
QUARANTINE = "quarantine"

_KEY = re.compile(
    r"(?:tables/(?P<table>\w+)|quarantine)/day=(?P<day>\d{4}-\d\d-\d\d)(?:/hour=(?P<hour>[01]\d|2[0-3]))?"
    r"/(?P<epoch>\d{10})(?:-(?P<number>\d{3,}))?\.parquet"
)


def folder(table: str) -> str:
    """Where all files of a table, or of the `quarantine`, are."""
    return f"{QUARANTINE}/" if table == QUARANTINE else f"{TABLES}{table}/"


@dataclass(frozen=True)
class FilePath:
    """What the key of a table's file says. `hour` is None in a lake by days, and in the quarantine."""

    table: str
    day: date
    hour: int | None
    epoch: int
    number: int = 0

    @property
    def key(self) -> str:
        """The key that `parse` reads."""
        hour = "" if self.hour is None else f"/hour={self.hour:02d}"
        number = "" if self.table == QUARANTINE and not self.number else f"-{self.number:03d}"
        return f"{folder(self.table)}day={self.day}{hour}/{self.epoch:010d}{number}.parquet"

    @classmethod
    def parse(cls, key: str) -> Self | None:
        """Reads a key; None for an object that is no table's file, however similar its name."""
        found = _KEY.fullmatch(key)
        if not found:
            return None
        try:
            day = date.fromisoformat(found["day"])
        except ValueError:
            return None
        hour = int(found["hour"]) if found["hour"] else None
        path = cls(found["table"] or QUARANTINE, day, hour, int(found["epoch"]), int(found["number"] or 0))
        return path if path.key == key else None
