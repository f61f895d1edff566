"""The child of `run` that publishes: what is due while more comes, everything in the end, and again after a fault."""

import threading
from types import SimpleNamespace

import pytest
from wgtwo_pipeline.errors import LakeError
from wgtwo_pipeline.run import jobs, works

CONFIG = SimpleNamespace(lake=None, publishing=SimpleNamespace(publish_every_seconds=0.001))


@pytest.fixture
def scripted(monkeypatch):
    """`scripted("ok", "fails", …)` runs the work over looks that go so; asked to stop at the last of them."""

    def run(*looks, end="ok"):
        calls, stopping, left = [], threading.Event(), list(looks)

        class Publisher:
            def __init__(self, config):
                assert config is CONFIG

            def publish_due(self):
                calls.append("due")
                look = left.pop(0)
                if not left:
                    stopping.set()
                return _play(look)

            def publish_all(self):
                calls.append("all")
                return _play(end)

        monkeypatch.setattr(jobs, "Publisher", Publisher)
        lifeline = SimpleNamespace(stopping=stopping, report=lambda **_: None)
        try:
            works.publish(CONFIG, lifeline)
        except LakeError:
            calls.append("raised")
        return calls

    return run


def _play(look):
    if look == "fails":
        raise LakeError("the lake is away")
    yield from ()


def test_what_is_due_and_in_the_end_everything(scripted):
    """It looks again and again, and the last time takes what is too little or too new as well."""
    assert scripted("ok", "ok", "ok") == ["due", "due", "due", "all"]


def test_a_fault_is_waited_for_and_the_last_one_is_told(scripted, caplog):
    """Events are safe in the journal meanwhile; at the end there is no next time."""
    assert scripted("fails", "ok") == ["due", "due", "all"]
    assert "publishing failed and will be tried again: the lake is away" in caplog.text
    assert scripted("ok", end="fails") == ["due", "all", "raised"]
