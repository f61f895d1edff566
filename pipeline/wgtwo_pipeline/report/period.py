"""Which days a report shows."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Self


@dataclass(frozen=True)
class Period:
    """Whole days in UTC, both included; the last one is still going on."""

    first: date
    last: date

    @classmethod
    def before(cls, at: datetime, seconds: float) -> Self:
        """The days from so many seconds before this moment until it; no further back than dates go."""
        most = (at - datetime.min.replace(tzinfo=UTC)).total_seconds()
        return cls((at - timedelta(seconds=min(seconds, most))).date(), at.date())

    @property
    def begins_at(self) -> datetime:
        """The first day's midnight."""
        return datetime.combine(self.first, time.min, UTC)

    def days(self) -> Iterator[date]:
        """Each day, in order."""
        for number in range((self.last - self.first).days + 1):
            yield self.first + timedelta(days=number)

    def __str__(self) -> str:
        return f"{self.first} to {self.last} (UTC)"
