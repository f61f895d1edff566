"""`report` writes one page: each number is what somebody else's SQL counts over the files, and nobody is on it."""

import contextlib
import io
import json
import re
import xml.etree.ElementTree as ET
from bisect import bisect_right
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import duckdb
import lakes
import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_lake import EVIL, FEW, PRIVATE, SUBSCRIPTION, TODAY, YESTERDAY, fill, tables
from wgtwo_pipeline.cli.main import main
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.report import questions
from wgtwo_pipeline.report.period import Period
from wgtwo_pipeline.report.questions import CALLS, DELAYS, place, spans

DAYS = f"day BETWEEN DATE '{TODAY.date() - timedelta(days=30)}' AND DATE '{TODAY.date()}'"


def written(lake, folder, *arguments):
    """What `report` printed, and the page."""
    file = folder / "report.html"
    with contextlib.redirect_stdout(io.StringIO()) as out:
        assert main(["report", "--lake", lake.location.url, "--output", str(file), *arguments]) == 0
    return out.getvalue(), file.read_text()


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    """One for all who only look at it."""
    store = open_store(LakeLocation(str(tmp_path_factory.mktemp("report") / "lake")))
    store.check()
    fill(store)
    return store


@pytest.fixture(scope="module")
def printed_and_page(lake, tmp_path_factory):
    return written(lake, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def page(printed_and_page):
    return printed_and_page[1]


@pytest.fixture(scope="module")
def page_of_60_days(lake, tmp_path_factory):
    return written(lake, tmp_path_factory.mktemp("page"), "--since", "60d")[1]


def counted(store, sql):
    """What a DuckDB that knows nothing of us answers: a dictionary from all columns but the last to that one."""
    text = sql.replace("{all}", f"read_parquet('{store.uri('tables')}/*/*/*.parquet', union_by_name = true)")
    text = re.sub(r"\{(\w+)\}", rf"read_parquet('{store.uri('tables')}/\1/*/*.parquet')", text)
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    rows = connection.execute(text).fetchall()
    return {row[0] if len(row) == 2 else row[:-1]: row[-1] for row in rows}


def by_day(table):
    """A table with a column for each name, as what is not 0 in it; its sums are right."""
    found = {}
    for row in table:
        day, total = date.fromisoformat(row.pop("day")), row.pop("sum")
        assert total == sum(row.values())
        found |= {(day, name): count for name, count in row.items() if count}
    return found


def manifests(store):
    return [json.loads(path.read_text()) for path in Path(store.uri("epochs")).glob("*/manifest.json")]


def test_events_by_day_and_table(lake, printed_and_page, page_of_60_days):
    """Of the days that were asked for, and no others; those of the future are counted apart."""
    out, page = printed_and_page
    named = "SELECT day, regexp_extract(filename, 'tables/(\\w+)/', 1), count(*)"
    sql = f"{named} FROM {{all}} WHERE {DAYS} GROUP BY ALL"
    expected = counted(lake, sql)
    assert by_day(tables(page)["events"]) == expected
    assert f"shows {sum(expected.values())} events" in out
    assert "the audit passed" in out
    assert "1 more say that they happen after these days" in page
    older = by_day(tables(page_of_60_days)["events"])
    assert sum(older.values()) == sum(expected.values()) + 1


def test_hours_of_the_week(lake, page):
    """Each event at its hour in UTC."""
    found = {
        (day, int(hour)): count
        for day, row in enumerate(tables(page)["hours"], 1)
        for hour, count in row.items()
        if hour and count
    }
    parts = "SELECT date_part('isodow', timestamp), date_part('hour', timestamp), count(*)"
    sql = f"{parts} FROM {{all}} WHERE {DAYS} GROUP BY ALL"
    assert found == counted(lake, sql)


def test_latency(lake, page):
    """From the event to its arrival, and from there to the commit of the epoch that its file's name has."""
    table = tables(page)["latency"]
    assert [row[""] for row in table] == spans(DELAYS)
    sql = f"SELECT filename, received_at, timestamp, count(*) FROM {{all}} WHERE {DAYS} GROUP BY ALL"
    committed = {each["epoch"]: datetime.fromisoformat(each["committed_at"]) for each in manifests(lake)}
    arrival, commit = Counter(), Counter()
    for (name, received_at, happened_at), count in counted(lake, sql).items():
        epoch = int(Path(name).name.partition("-")[0])
        arrival[bisect_right(DELAYS, (received_at - happened_at).total_seconds())] += count
        commit[bisect_right(DELAYS, (committed[epoch] - received_at).total_seconds())] += count
    assert [row["event to arrival"] for row in table] == [arrival[at] for at in range(len(DELAYS) + 1)]
    assert [row["arrival to commit"] for row in table] == [commit[at] for at in range(len(DELAYS) + 1)]
    assert arrival[0], "some say that they come before they happen"


def test_duplicates_epochs_and_sizes_are_the_manifests(lake, page):
    """Sums by the day of the commit; files by their sizes on the disk."""
    shown = tables(page)
    today = datetime.now(UTC).date()
    duplicates = Counter()
    for manifest in manifests(lake):
        duplicates.update({(today, name): each["duplicates"] for name, each in manifest["tables"].items()})
    assert by_day(shown["duplicates"]) == +duplicates
    assert duplicates.total() == 4
    (row,) = shown["epochs"]
    assert row["epochs"] == 2
    for outcome in ("received", "published", "duplicates", "quarantined", "erased", "unreadable"):
        assert row[outcome] == sum(each[outcome] for each in manifests(lake)), outcome
    for row in shown["files"]:
        folder = row.pop("table")
        folder = folder if folder == "quarantine" else f"tables/{folder}"
        sizes = [path.stat().st_size for path in Path(lake.uri(folder)).rglob("*.parquet")]
        expected = Counter(sum(size > 10**power for power in range(3, 9)) for size in sizes)
        assert list(row.values()) == [expected[at] for at in range(7)]


def test_quarantine_and_gaps(lake, page):
    """By the day they came and their reason; a gap that ended before these days is not shown."""
    shown = tables(page)
    assert by_day(shown["quarantine"]) == {(YESTERDAY.date(), "undecodable"): 1}
    (gap,) = shown["gaps"]
    assert (gap["subscription"], gap["length"]) == (SUBSCRIPTION, "2 h")
    assert gap["from (UTC)"] == f"{TODAY - timedelta(hours=3):%Y-%m-%d %H:%M:%S}"


@pytest.mark.parametrize(
    ("table", "sql"),
    [
        ("sms", "SELECT day, direction, count(*) FROM {sms}"),
        ("reports", "SELECT day, status, count(*) FROM {sms_delivery_report}"),
        ("voice", "SELECT day, type, count(*) FROM {voice}"),
    ],
)
def test_the_domain_by_day(lake, page, table, sql):
    """SMS by direction, delivery reports by status, calls by what happened."""
    found = by_day(tables(page)[table])
    assert found
    assert found == counted(lake, f"{sql} WHERE {DAYS} GROUP BY ALL")


def test_lengths_of_calls(lake, page):
    """A call may go on over midnight; one without an end, or that ends before it began, has no length."""
    found = {row[""]: row["how many"] for row in tables(page)["calls"] if row["how many"]}
    sql = """SELECT call_id, ended.timestamp - answered.timestamp
             FROM {voice} AS answered LEFT JOIN (FROM {voice} WHERE type = 'CALL_ENDED') AS ended USING (call_id)
             WHERE answered.type = 'CALL_ANSWERED'"""
    lengths = [each.total_seconds() for each in counted(lake, sql).values() if each is not None]
    ended_in_time = [length for length in lengths if 0 <= length < 80_000]
    expected = Counter(spans(CALLS)[bisect_right(CALLS, length)] for length in ended_in_time)
    assert len(ended_in_time) == 6
    assert found == expected


def test_countries_of_few_are_not_named(lake, page):
    """Where nine different subscribers were is among the others, however often they were seen there."""
    found = {row[""]: row["events"] for row in tables(page)["countries"]}
    assert found == {"Norway": 25, EVIL: 12, "others": 18}
    assert FEW not in page


def test_nobody_is_on_the_page(lake, page_of_60_days):
    """No number, text, IMSI, IMEI or identifier of anybody, which are in the tables."""
    rows = str(duckdb.sql(f"FROM '{lake.uri('tables/sms')}/*/*.parquet'").fetchall())
    assert all(private in rows for private in ("4790000", "private-text", "sms-of-")), (
        "it was there to be shown"
    )
    for private in PRIVATE:
        assert private not in page_of_60_days, private


def test_it_stands_alone(lake, page, tmp_path):
    """Well-formed HTML and SVG, which loads nothing and runs nothing; names are text, ids unique; always the same."""
    assert not re.search(r"<script|javascript:|\son\w+=|<link|<img|@import", page, re.IGNORECASE)
    assert not re.search(r"(?:src|href)=\"(?!#)", page)
    assert "default-src 'none'" in page
    assert page.count("&lt;script&gt;") >= 2, "in the table and in the plot"
    drawings = re.findall(r"<svg.*?</svg>", page, re.DOTALL)
    titles = [ET.fromstring(drawing).attrib["aria-label"] for drawing in drawings]
    assert titles == [
        *("Events", "Hours of the week", "Latency", "Duplicates", "Quarantine", "Epochs", "Sizes of files"),
        *("SMS", "SMS delivery reports", "Calls", "Lengths of calls", "Countries"),
    ]
    names = re.findall(r'\bid="([^"]+)"', page)
    assert len(names) == len(set(names))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(names)
    assert re.sub("seen [^<]*", "", page) == re.sub("seen [^<]*", "", written(lake, tmp_path)[1])


def test_an_empty_lake_says_so(store, tmp_path):
    """No plot, no table: a sentence."""
    out, page = written(store, tmp_path)
    assert "The lake is empty: nothing has been journaled yet." in page
    assert "<svg" not in page
    assert "shows 0 events" in out


def test_a_lake_that_lacks_tables_says_so(store, tmp_path):
    """What waits is said; where a table has nothing, so is that."""
    lakes.journal(store, *(lakes.sms(n, TODAY) for n in range(3)))
    page = written(store, tmp_path)[1]
    assert "3 deliveries wait to be published" in page
    assert "<svg" not in page
    assert page.count("None in these days.") == 11
    lakes.publish(store)
    page = written(store, tmp_path)[1]
    assert by_day(tables(page)["events"]) == {(TODAY.date(), "sms"): 3}
    assert page.count("None in these days.") == 7
    assert "0 deliveries wait to be published" in page


def test_a_failed_audit_comes_first(store, tmp_path):
    """With the kinds of what it found; the page is made all the same."""
    lakes.lake_of_two_days(store)
    store.delete([next(info.key for info in store.list("tables/voice/"))])
    out, page = written(store, tmp_path)
    assert "the audit FAILED with 1 findings" in out
    assert page.index("The audit FAILED: 1 findings") < page.index("<h2>")
    assert tables(page)["findings"][0]["finding"] == "missing file"


def test_the_page_is_written_whole_or_not_at_all(store, run, tmp_path, monkeypatch):
    """An older one stays while a new one is made, and where that fails; a file that cannot be is refused first."""
    target = tmp_path / "page.html"
    target.write_text("an older one")
    monkeypatch.setattr(
        "wgtwo_pipeline.report.page.page", lambda _: (_ for _ in ()).throw(OSError(28, "No space left"))
    )
    code, _, err = run("report", "--output", str(target))
    assert code == 2
    assert "No space left" in err
    assert target.read_text() == "an older one"
    monkeypatch.undo()
    monkeypatch.setattr("wgtwo_pipeline.report.found.look", lambda *_: pytest.fail("before any work"))
    for impossible in (tmp_path / "nowhere" / "page.html", tmp_path):
        code, out, err = run("report", "--output", str(impossible))
        assert (code, out) == (2, "")
        assert f"--output {impossible} cannot be written" in err
        assert "name a file in a folder that exists and is writable" in err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lake", "page.html"]


def test_a_period_is_whole_days():
    """From the day of so long ago until today; it ends where dates do."""
    at = datetime(2026, 11, 26, 0, 30, tzinfo=UTC)
    assert Period.before(at, 3600) == Period(date(2026, 11, 25), date(2026, 11, 26))
    assert Period.before(at, 1e12).first == date.min
    assert len(list(Period.before(at, 30 * 86_400).days())) == 31


@given(st.floats(-1e6, 1e6) | st.sampled_from(DELAYS), st.sampled_from([DELAYS, CALLS]))
def test_a_place_among_bounds_is_where_python_sees_it(value, bounds):
    """A bound itself belongs above."""
    ((found,),) = duckdb.sql(f"SELECT {place(f'{value!r}::DOUBLE', bounds)}").fetchall()
    assert found == bisect_right(bounds, value)


def test_each_question_is_one_that_query_answers(lake, capsys):
    """As the page shows it."""
    period = Period(YESTERDAY.date(), TODAY.date())
    for question in (
        questions.EVENTS,
        questions.HOURS,
        questions.ARRIVAL,
        questions.QUARANTINE,
        *questions.DOMAIN,
    ):
        sql = question.on(period.last) if question.by_day else question.of(period)
        assert main(["query", sql, "--lake", lake.location.url]) == 0, capsys.readouterr().err
