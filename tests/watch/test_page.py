"""The page for people: every part of it, from what was last seen, as plain HTML and SVG."""

import contextlib
import re
import time
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import lakes
import pytest
import requests
from browser import browser
from patience import PATIENCE_SECONDS, wait_until
from wgtwo_pipeline.ask.look import Looks
from wgtwo_pipeline.lake import positions
from wgtwo_pipeline.metrics.samples import Samples
from wgtwo_pipeline.watch.audits import Audited, AuditWatch
from wgtwo_pipeline.watch.lake import LakeWatch
from wgtwo_pipeline.watch.members import Member
from wgtwo_pipeline.watch.page import View, page
from wgtwo_pipeline.watch.recent import Point, rates
from wgtwo_pipeline.watch.server import Watch

__all__ = ["browser"]
NOW = datetime.now(UTC)
EVIL = "<script>alert(1)</script>"


class Pipeline:
    """One that is well, with a member whose name is no markup."""

    history_seconds = 1800.0

    @property
    def members(self):
        return (Member(f"member-0{EVIL}", "v0.test", True, 10, 9, 1, 0.5, time.time()),)

    def add_to(self, samples):
        samples.add(
            "ingest_covered_until_timestamp_seconds",
            time.time(),
            subscription="v0.test",
            member="member-0",
        )

    def live(self):
        return ()

    def ready(self):
        return ()


def point(seconds, count=0, **gauges):
    return Point(
        NOW.timestamp() + seconds,
        *(count, count, count),
        **{"oldest_unacked_seconds": 0.2, "waiting": 3, "lost_in_seconds": 1750.0} | gauges,
    )


def view(store, **different):
    seen = Looks(store).look()
    values = {
        "problems": (),
        "members": Pipeline().members,
        "history_seconds": 1800.0,
        "lake": seen,
        "audited": None,
    }
    points = [point(5 * n, 100 * n) for n in range(10)]
    return View(**{"at": NOW, "points": points, **values, **different})


def text(view):
    shown = page(view).decode()
    HTMLParser().feed(shown)
    return shown


@pytest.fixture
def lake(store):
    lakes.lake_of_two_days(store)
    today = NOW.replace(hour=0, minute=0, second=0, microsecond=0)
    lakes.journal(store, *(lakes.sms(n, today) for n in range(100, 107)))
    lakes.publish(store)
    positions.record_missed(store, "v0.test", NOW - timedelta(hours=1), NOW)
    return store


def test_everything_is_on_it(lake):
    """Verdict, six figures with lines, members, tables by day, epochs, quarantine, gaps, the audit."""
    audited = Audited(NOW - timedelta(minutes=5), 0, Samples())
    shown = text(view(lake, audited=audited))
    assert "All is well" in shown
    assert "events would be lost in 29 min" in shown
    assert len(re.findall(r"<polyline points=\"[0-9]", shown)) == 6
    assert ">20.0/s<" in shown
    assert "<td>7</td>" in shown
    assert f"{NOW:%m-%d} gap" in shown
    assert len(re.findall("<tr>", shown.partition('id="epochs"')[2].partition("</table>")[0])) == 4
    assert "<td>undecodable</td><td>1</td>" in shown
    assert "passed, 5 min ago" in shown


def test_what_is_wrong_comes_first(lake):
    """In words, with how long is left; what has begun to be lost is said, too."""
    shown = text(view(lake, problems=["member-0: no confirmed stream", "member-1: the lake is full"]))
    assert "Not ready: member-0: no confirmed stream" in shown
    assert "<li>member-1: the lake is full</li>" in shown
    assert "Events will be lost" in text(view(lake, points=[point(0, lost_in_seconds=600.0)]))
    assert "events of the last 31 min are being lost" in text(
        view(lake, points=[point(0, lost_in_seconds=-60)])
    )
    failed = Audited(NOW, 3, Samples())
    assert "FAILED: 3 findings" in text(view(lake, audited=failed))


def test_before_the_first_look_it_is_a_page_all_the_same(store):
    """It says what it does not know yet."""
    empty = View(NOW, ["0 of 1 members are there"], (), 1800.0, (), None, None)
    shown = text(empty)
    assert "has not been looked at yet" in shown
    assert "what is covered is not known yet" in shown


def test_names_are_text_never_markup(lake):
    """Also one that a child or a subscription would have."""
    shown = text(view(lake, problems=[EVIL]))
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") == 2


def test_rates_are_of_what_grew():
    """A count that began anew is no negative rate."""
    points = [point(0, 0), point(5, 50), point(10, 0), point(20, 30)]
    assert rates(points, "received") == [10, 0, 3]


def test_an_audit_is_taken_and_shown_as_figures(lake):
    """With its findings; and again after a while."""
    audits = AuditWatch(lake, every_seconds=0.05)
    with contextlib.closing(audits):
        wait_until(lambda: audits.last, what="the first audit")
        samples = Samples()
        audits.add_to(samples)
        assert samples.get("audit_passed", deep="false") == 1
        lake.delete([next(info.key for info in lake.list("tables/sms/"))])
        wait_until(lambda: audits.last.findings, what="the next one fails")


@pytest.fixture
def served(lake):
    watch = LakeWatch(lake)
    with contextlib.closing(Watch("127.0.0.1:0", Pipeline(), watch, AuditWatch(lake))) as served:
        wait_until(lambda: watch.seen, what="the first look")
        yield served


def test_it_is_served_and_loads_nothing(served):
    """HTML that stands alone, and may not be framed."""
    answer = requests.get(f"http://{served.address}/", timeout=PATIENCE_SECONDS)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert not re.search(r"(src|href)=\"(https?:)?//", answer.text)


@pytest.mark.heavy
def test_a_browser_shows_it(served, browser):
    """Every part is there, as it is meant to be seen; nothing is wrong in the console."""
    browser.call("Page.navigate", url=f"http://{served.address}/")
    wait_until(lambda: browser.run("document.getElementById('verdict') !== null"), 10)
    assert "All is well" in browser.run("document.getElementById('verdict').innerText")
    assert browser.run("document.querySelectorAll('figure svg polyline').length") == 6
    for name, rows in (("members", 1), ("epochs", 3), ("quarantine", 1), ("gaps", 1)):
        assert browser.run(f"document.querySelectorAll('#{name} tbody tr').length") == rows, name
    assert browser.run("document.querySelectorAll('#days th').length") == 15
    assert browser.run("document.querySelector('#members td').innerText").endswith(EVIL)
    assert browser.run("document.querySelector('figure').getBoundingClientRect().width") > 100
    wait_until(lambda: browser.run("(document.getElementById('audit') || {}).innerText || ''"), 30)
    assert "passed" in browser.run("document.getElementById('audit').innerText")
    assert browser.problems == []
