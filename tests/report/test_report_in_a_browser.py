"""The report of a real run, as a browser shows and prints it."""

import base64
from pathlib import Path

import pytest
from browser import browser
from patience import wait_until

__all__ = ["browser"]
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(200)]

WIDER = "document.documentElement.scrollWidth > document.documentElement.clientWidth"


def test_a_browser_shows_and_prints_it(command, browser, tmp_path: Path):
    """Every figure is as wide as the page and has its table; nothing is wrong in the console; the print fits."""
    lake, page = tmp_path / "lake", tmp_path / "report.html"
    command("run", "--for", "10s", "--lake", lake).succeeds(90)
    said = command("report", "--lake", lake, "--output", page).succeeds(90).stdout
    assert "the audit passed" in said
    browser.call("Page.navigate", url=page.as_uri())
    wait_until(lambda: browser.run("document.querySelector('footer') !== null"), 20)
    assert "The audit passed" in browser.run("document.getElementById('verdict').innerText")
    assert browser.run(
        "[...document.querySelectorAll('svg')].every(e => e.getBoundingClientRect().width > 400)"
    )
    for name in (
        "holdings",
        "events",
        "hours",
        "latency",
        "epochs",
        "files",
        "sms",
        "reports",
        "voice",
        "calls",
    ):
        assert browser.run(f"document.querySelectorAll('#{name} tbody tr').length") > 0, name
    assert browser.run("document.querySelectorAll('svg text').length") > 50, "text is text"
    assert not browser.run(WIDER)
    browser.call("Emulation.setEmulatedMedia", media="print")
    browser.call(
        "Emulation.setDeviceMetricsOverride", width=680, height=960, deviceScaleFactor=1, mobile=False
    )
    assert not browser.run(WIDER), "nothing is cut off on A4"
    printed = base64.b64decode(browser.call("Page.printToPDF")["data"])
    assert printed.startswith(b"%PDF")
    assert browser.problems == []
