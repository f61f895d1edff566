"""The admin page in a real browser."""

import json

import pytest
from browser import browser
from patience import wait_until
from sandbox_client import take

__all__ = ["browser"]
pytestmark = pytest.mark.heavy


def test_the_page_shows_and_changes_what_the_sandbox_does(sandbox, connect, browser):
    """Figures move, a subscription appears, a fault and the rate set by hand take effect, buttons work, no errors."""
    handle = sandbox(admin_address="127.0.0.1:0", rate=50.0)
    stream = connect(handle.address).subscribe(
        manual_seconds=60, max_in_flight=7, queue_name="<b>bold</b>", durable_name="d"
    )
    take(stream, 7)
    browser.call("Page.navigate", url=f"http://{handle.admin_address}/")

    def shows(script, seconds=10):
        wait_until(lambda: browser.run(script), seconds)

    shows("document.querySelectorAll('#groups tr').length === 1")
    text = browser.run("document.querySelector('#groups').innerText")
    assert "<b>bold</b>" in text  # a client's name is text, never markup
    assert browser.run("document.querySelector('#members td:nth-child(3)').textContent") == "7"
    before = browser.run("document.getElementById('figure-v0-events').textContent")
    shows(f"document.getElementById('figure-v0-events').textContent !== {json.dumps(before)}")

    browser.enter("fault-drop_acks", "0.25")
    wait_until(lambda: handle.call(lambda core: core.faults.drop_acks) == 0.25)
    shows("document.getElementById('fault-drop_acks').form.classList.contains('on')")
    browser.enter("fault-malform_kinds", "truncated, unset_oneof")
    wait_until(lambda: handle.call(lambda core: core.faults.malform_kinds) == ("truncated", "unset_oneof"))
    browser.enter("rate-value", "7")
    browser.run("document.querySelector('#rate button').click()")
    wait_until(lambda: handle.state()["rate"] == 7)
    browser.run("document.getElementById('cut').click()")
    wait_until(lambda: handle.state()["counts"].get("streams_ended") == 1)
    shows("document.querySelectorAll('#members tr').length === 0")
    browser.enter("fault-drop_acks", "3")
    shows("document.getElementById('message').textContent.includes('probability')")
    assert [problem for problem in browser.problems if "400" not in json.dumps(problem)] == []
