"""`publish` as a command: it can be stopped between two epochs, and never in one; and it can wait for its time."""

import errno
import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import pytest
from lakes import journal, sms
from patience import wait_until
from typed import gather
from wgtwo_pipeline.cli.build import build
from wgtwo_pipeline.lake import epochs, history
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.run import jobs, publishing

SIGNALS = (signal.SIGINT, signal.SIGTERM)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_lets_publish_finish_the_epoch_at_hand(monkeypatch, tmp_path, caplog, number):
    """It ends with success after that one; a second signal would end the process at once; then all is as before."""
    caplog.set_level("INFO")
    begun = []

    class Publisher:
        def __init__(self, config, helper):
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
    assert publishing.publish(build(gather("publish", {"lake": str(tmp_path)}, {}))) == 0
    assert begun == [0, 1]
    assert caplog.messages[-1] == "published 10 events in 2 epochs"
    assert [signal.getsignal(each) for each in SIGNALS] == before


def test_with_publish_every_it_publishes_only_what_is_due(tmp_path):
    """A schedule of every minute makes no small files: what is young and little is left, without the option not."""
    store = open_store(LakeLocation(str(tmp_path)))
    store.check()
    journal(store, sms(1))

    def published(**options):
        assert publishing.publish(build(gather("publish", {"lake": str(tmp_path), **options}, {}))) == 0
        return history.load(store).totals.published

    assert published(**{"publish-every": "1h"}) == 0
    wait_until(lambda: published(**{"publish-every": "100ms"}) == 1, what="the segment is 100 ms old")
    journal(store, sms(2))
    assert published(**{"publish-every": "1h"}) == 1
    assert published() == 2


@pytest.mark.parametrize(
    ("machine_has", "rows", "options", "beam_args", "helped"),
    [
        ((2.0, 2**34), 4, {}, (), True),
        ((2.0, 2**34), 4, {"publish-every": "1h"}, (), True),
        ((2.0, 2**34), 5, {}, (), False),
        ((1.5, 2**34), 4, {}, (), False),
        ((8.0, 2**29), 4, {}, (), False),
        ((8.0, 2**34), 4, {}, ("--direct_num_workers=1",), False),
        ((8.0, 2**34), 4, {"runner": "FlinkRunner"}, ("--flink_master=localhost:1",), False),
    ],
)
def test_a_second_core_is_used_where_it_is_there(
    monkeypatch, tmp_path, machine_has, rows, options, beam_args, helped
):
    """By a helper, for a backlog, in enough memory; never for a little, beside a cluster or Beam's own workers."""
    cores, memory_bytes = machine_has
    monkeypatch.setattr(publishing.machine, "cores", lambda: cores)
    monkeypatch.setattr(publishing.machine, "memory_bytes", lambda: memory_bytes)
    monkeypatch.setattr(publishing, "_HELPED_ROWS", rows)
    store = open_store(LakeLocation(str(tmp_path)))
    store.check()
    journal(store, sms(1), sms(2))
    journal(store, sms(3), sms(4))
    made = build(gather("publish", {"lake": str(tmp_path), **options}, {}))
    with publishing._helper(replace(made, beam_args=(*made.beam_args, *beam_args))) as helper:
        assert (helper is not None) is helped


def test_where_no_process_can_be_started_it_publishes_alone(monkeypatch, tmp_path, caplog):
    """A helper saves time and nothing else."""

    def refused(*_):
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(publishing.machine, "cores", lambda: 2.0)
    monkeypatch.setattr(publishing.machine, "memory_bytes", lambda: 2**34)
    monkeypatch.setattr(publishing, "_HELPED_ROWS", 1)
    monkeypatch.setattr(publishing, "Helper", refused)
    store = open_store(LakeLocation(str(tmp_path)))
    store.check()
    journal(store, sms(1), sms(2))
    assert publishing.publish(build(gather("publish", {"lake": str(tmp_path)}, {}))) == 0
    assert "no second process to publish with: [Errno 11]" in caplog.text
    assert history.load(store).totals.published == 2


def test_an_epoch_that_a_checkpoint_follows_is_reported_like_any(tmp_path, monkeypatch, caplog):
    """Its manifest is not among those after the checkpoint; it was published all the same."""
    caplog.set_level("INFO")
    monkeypatch.setattr(epochs, "CHECKPOINT_EVERY_EPOCHS", 1)
    store = open_store(LakeLocation(str(tmp_path)))
    store.check()
    journal(store, sms(1), sms(2))
    assert publishing.publish(build(gather("publish", {"lake": str(tmp_path)}, {}))) == 0
    assert not history.load(store).manifests
    assert caplog.messages[-1] == "published 2 events in 1 epochs"
