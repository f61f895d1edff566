"""What is asked of the rows: each figure is one statement of SQL, which the page shows, too.

No answer names or describes somebody. What is selected are days, hours, counts, names of tables and values of the
API's enumerations (a direction, a status, a kind of event); never a number, an IMSI, an IMEI, an identifier, a text
or a handset. A country is where people are, so it is only named where at least `LEAST_SUBSCRIBERS` different ones
were seen; the others are added up, and nothing tells which they are.

Every statement aggregates: what it holds in memory grows with the groups, not with the rows. What would group by an
identifier is asked day by day (`by_day`). `query` answers the same statements.
"""

# Nothing but dates, numbers and names of this file's own is put into the statements.
# ruff: noqa: S608

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Final, Literal

from wgtwo_pipeline.report.period import Period

LEAST_SUBSCRIBERS: Final = 10
DELAYS: Final = (0, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 300, 900, 1800, 3600, 21_600, 86_400)
"""Bounds in seconds; a delay below 0 is between clocks that differ."""
CALLS: Final = (10, 30, 60, 120, 300, 600, 1800, 3600, 7200)
"""Bounds in seconds."""


@dataclass(frozen=True)
class Question:
    """One figure of the rows. `sql` has a place for `{period}`, or for a `{day}`; `kind` says what its columns are.

    days: a day, a name, a count. hours: day of the week (1 is Monday), hour, count. bars: a name and a count.
    bounds: a whole number, which is a place among `bounds`, and a count.
    """

    name: str
    title: str
    says: str
    kind: Literal["days", "hours", "bars", "bounds"]
    sql: str
    bounds: tuple[float, ...] = ()
    by_day: bool = False

    def of(self, period: Period) -> str:
        """The statement for these days."""
        return self.sql.format(period=f"date BETWEEN DATE '{period.first}' AND DATE '{period.last}'")

    def on(self, day: date) -> str:
        """The statement for one day."""
        return self.sql.format(day=f"DATE '{day}'")


def place(seconds: str, bounds: Sequence[float]) -> str:
    """SQL: the number of the first bound that so many seconds are below; above all, how many bounds there are."""
    cases = "".join(f"WHEN {seconds} < {bound} THEN {at} " for at, bound in enumerate(bounds))
    return f"CASE {cases}ELSE {len(bounds)} END"


def spans(bounds: Sequence[float]) -> list[str]:
    """What each place is, in words."""
    between = [f"{seconds(low)} to {seconds(high)}" for low, high in pairwise(bounds)]
    return [f"below {seconds(bounds[0])}", *between, f"{seconds(bounds[-1])} or more"]


def seconds(bound: float) -> str:
    """A bound in words, exact: `0.1 s`, `5 min`, `6 h`."""
    for unit, length in (("h", 3600), ("min", 60)):
        if bound >= length and bound % length == 0:
            return f"{bound / length:g} {unit}"
    return f"{bound:g} s"


SUBSCRIBERS_SEEN: Final = """\
WITH seen AS (
  SELECT current_name AS country, msisdn AS subscriber FROM country_change WHERE {period}
  UNION ALL SELECT current_name, number FROM country_change_v1 WHERE {period}
  UNION ALL SELECT country_name, number FROM periodic_country WHERE {period}
  UNION ALL SELECT country_name, number FROM periodic_country_v1 WHERE {period}),
counted AS (
  SELECT country, count(*) AS events, count(DISTINCT subscriber) AS subscribers FROM seen GROUP BY country)
SELECT CASE WHEN subscribers >= LEAST_SUBSCRIBERS AND country <> '' THEN country ELSE 'others' END AS country,
  sum(events)::BIGINT AS events
FROM counted GROUP BY ALL ORDER BY events DESC, country""".replace(
    "LEAST_SUBSCRIBERS", str(LEAST_SUBSCRIBERS)
)

CALL_LENGTHS: Final = f"""\
WITH calls AS (
  SELECT min(timestamp) FILTER (type = 'CALL_ANSWERED') AS answered,
    max(timestamp) FILTER (type = 'CALL_ENDED') AS ended
  FROM voice WHERE date BETWEEN {{day}} AND {{day}} + 1 GROUP BY call_id),
lengths AS (
  SELECT (epoch_us(ended) - epoch_us(answered)) / 1e6 AS seconds
  FROM calls WHERE ended >= answered AND answered::DATE = {{day}})
SELECT {place("seconds", CALLS)} AS place, count(*) AS calls
FROM lengths GROUP BY ALL ORDER BY ALL"""

EVENTS: Final = Question(
    *("events", "Events", "By day and table, as published.", "days"),
    "SELECT date, type, count(*) AS events FROM events WHERE {period} GROUP BY ALL ORDER BY ALL",
)
HOURS: Final = Question(
    *("hours", "Hours of the week", "When events happen, in UTC.", "hours"),
    "SELECT isodow(timestamp) AS weekday, hour(timestamp) AS hour, count(*) AS events\n"
    "FROM events WHERE {period} GROUP BY ALL ORDER BY ALL",
)
ARRIVAL: Final = Question(
    *("arrival", "From the event to its arrival here", "Received less the event's own time.", "bounds"),
    f"SELECT {place('(epoch_us(received_at) - epoch_us(timestamp)) / 1e6', DELAYS)} AS place, count(*) AS events\n"
    "FROM events WHERE {period} GROUP BY ALL ORDER BY ALL",
    bounds=DELAYS,
)
QUARANTINE: Final = Question(
    *(
        "quarantine",
        "Quarantine",
        "Deliveries that could become no row, by the day they came and why.",
        "days",
    ),
    "SELECT date, reason, count(*) AS deliveries FROM quarantine WHERE {period} GROUP BY ALL ORDER BY ALL",
)
DOMAIN: Final = (
    Question(
        *("sms", "SMS", "By direction.", "days"),
        "SELECT date, direction, count(*) AS events FROM sms WHERE {period} GROUP BY ALL ORDER BY ALL",
    ),
    Question(
        *("reports", "SMS delivery reports", "By status.", "days"),
        "SELECT date, status, count(*) AS events FROM sms_delivery_report WHERE {period} GROUP BY ALL ORDER BY ALL",
    ),
    Question(
        *("voice", "Calls", "By what happened.", "days"),
        "SELECT date, type, count(*) AS events FROM voice WHERE {period} GROUP BY ALL ORDER BY ALL",
    ),
    Question(
        *("calls", "Lengths of calls"),
        "From the answer to the end, of calls that were answered in these days and ended by the next day's end.",
        *("bounds", CALL_LENGTHS),
        bounds=CALLS,
        by_day=True,
    ),
    Question(
        *("countries", "Countries"),
        f"Where subscribers were seen. Countries with fewer than {LEAST_SUBSCRIBERS} different ones are not named.",
        *("bars", SUBSCRIBERS_SEEN),
    ),
)
FUTURE: Final = "SELECT count(*) FROM events WHERE date > DATE '{last}'"
