"""`publish` as a command: it can be stopped between two epochs, and never in one."""

import os
import signal
from types import SimpleNamespace

import pytest
from typed import gather
from wgtwo_pipeline.cli.build import build
from wgtwo_pipeline.run import jobs, supervisor

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_lets_publish_finish_the_epoch_at_hand(monkeypatch, tmp_path, caplog, number):
    """It ends with success after that one; a second signal would end the process at once; then all is as before."""
    caplog.set_level("INFO")
    begun = []

    class Publisher:
        def __init__(self, config):
            pass

        def publish_all(self):
            for epoch in range(3):
                begun.append(epoch)
                if epoch == 1:
                    os.kill(os.getpid(), number)
                    assert [signal.getsignal(each) for each in SIGNALS] == [signal.SIG_DFL] * 2
                yield SimpleNamespace(published=5)

    monkeypatch.setattr(jobs, "Publisher", Publisher)
    before = [signal.getsignal(each) for each in SIGNALS]
    assert supervisor.publish(build(gather("publish", {"lake": str(tmp_path)}, {}))) == 0
    assert begun == [0, 1]
    assert caplog.messages[-1] == "published 10 events in 2 epochs"
    assert [signal.getsignal(each) for each in SIGNALS] == before
