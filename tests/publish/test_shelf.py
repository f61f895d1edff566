"""Rows that wait in the process beside the runner: the same files as through it, and nothing of them stays."""

import os
import signal
from dataclasses import replace
from types import SimpleNamespace

import apache_beam as beam
import lakes
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from wgtwo_pipeline import flows
from wgtwo_pipeline.erase.settings import Erasing
from wgtwo_pipeline.errors import LakeError, PipelineError
from wgtwo_pipeline.lake import epochs, history
from wgtwo_pipeline.lake.manifest import Parameters
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.publish import rooms, shard, shelf
from wgtwo_pipeline.run import jobs


@pytest.fixture
def lake(tmp_path):
    """`lake(name)` is a lake of its own with the same two segments as all others; some of them are no rows."""

    def make(name):
        store = open_store(LakeLocation(str(tmp_path / name)))
        store.check()
        lakes.journal(store, *(lakes.sms(n) for n in range(9)), *(lakes.voice(n) for n in range(5)))
        lakes.journal(store, lakes.sms(3, redelivered=True), lakes.sms(9), lakes.BROKEN)
        return store

    return make


def settings(store, on=None, **parameters):
    made = Parameters("", **parameters)
    return rooms.PublishSettings(store.location, "w", made, epochs.Limits(), 3600, shelf=on)


def published(store, settings, *options):
    """What an epoch has written, by key."""
    pipeline = beam.Pipeline(options=PipelineOptions(["--runner=FnApiRunner", *options]))
    flows.publish(pipeline, settings)
    pipeline.run().wait_until_finish()
    (manifest,) = history.load(store).manifests
    assert (manifest.published, manifest.duplicates, manifest.quarantined) == (15, 1, 1)
    found = [info.key for prefix in ("tables/", "quarantine/") for info in store.list(prefix)]
    return {key: bytes(store.read(key)) for key in found}


def config(store, *beam_args):
    publishing = SimpleNamespace(
        partition_by="date", journal_retention_seconds=3600.0, publish_every_seconds=900.0
    )
    return SimpleNamespace(
        command="publish", lake=store.location, publishing=publishing, erasing=Erasing(), beam_args=beam_args
    )


@pytest.mark.parametrize("mode", ["in_memory", "multi_threading"])
def test_rows_on_a_shelf_become_the_same_files(lake, mode):
    """Byte for byte, as if the runner had carried them; also where its workers are threads."""
    options = f"--direct_running_mode={mode}", "--direct_num_workers=2"
    carried, kept = lake("carried"), lake("kept")
    with shelf.shelf() as on:
        assert published(kept, settings(kept, on), *options) == published(
            carried, settings(carried), *options
        )


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_helper_makes_the_same_files(lake, helper, is_alive):
    """Byte for byte; also where it is gone."""
    if not is_alive:
        os.kill(helper.pid, signal.SIGKILL)
    helped, alone = (lake(name) for name in ("helped", "alone"))
    with shelf.shelf(helper) as on:
        with_it = published(helped, settings(helped, on, rows_per_group=3))
    assert with_it == published(alone, settings(alone, rows_per_group=3))


def test_a_runner_carries_no_more_than_tickets(lake):
    """Of however many rows."""
    store = lake("kept")
    with shelf.shelf() as on:
        (group,) = rooms.Seal(settings(store, on)).process(None)
        parts = [
            each for each in rooms.Decode(settings(store, on)).process(group) if not hasattr(each, "tag")
        ]
        assert len(parts) == 3
        assert max(len(ticket) for _, (_, ticket) in parts) < 20


def test_a_room_may_be_run_again(lake):
    """A ticket is good for as long as the job: the same rows come of it each time."""
    store = lake("kept")
    with shelf.shelf() as on:
        (group,) = rooms.Seal(settings(store, on)).process(None)
        parts = [
            each for each in rooms.Decode(settings(store, on)).process(group) if not hasattr(each, "tag")
        ]
        for key, part in parts:
            first, second = (list(rooms.Write(settings(store, on)).process((key, [part]))) for _ in range(2))
            assert first == second


def test_nothing_stays_on_a_shelf(lake, monkeypatch):
    """Neither of a job that has ended well nor of one that has failed."""
    store = lake("kept")
    publisher = jobs.Publisher(config(store))

    def fails(*_):
        assert any(each.rows for each in shelf._shelves.values())  # else this shows nothing
        raise LakeError("the lake is away")

    with monkeypatch.context() as patched:
        patched.setattr(shard.files, "write", fails)
        with pytest.raises(LakeError, match="the lake is away"):
            list(publisher.publish_all())
    assert not shelf._shelves
    assert [manifest.published for manifest in publisher.publish_all()] == [15]
    assert not shelf._shelves


@pytest.mark.parametrize(
    ("beam_args", "expected"),
    [
        ((), True),
        (("--runner=DirectRunner",), True),
        (("--direct_running_mode=multi_threading", "--direct_num_workers=2"), True),
        (("--direct_running_mode=multi_processing", "--direct_num_workers=2"), False),
        (("--prism_location=/usr/bin/prism",), False),
        (("--runner=PrismRunner",), False),
        (("--runner=FlinkRunner",), False),
    ],
)
def test_shelves_are_for_runners_in_this_process(lake, beam_args, expected):
    """Every other one carries the rows itself."""
    given = jobs.chosen(config(lake("any"), *beam_args), streaming=False)
    assert jobs.in_one_process(given) is expected


def test_the_shelf_of_another_process_is_a_clear_error(lake):
    """Before anything is written: what waits is published by the next try."""
    store = lake("kept")
    made = replace(settings(store), shelf=-1)
    (group,) = rooms.Seal(made).process(None)
    with pytest.raises(PipelineError, match="--direct_running_mode=multi_processing"):
        list(rooms.Decode(made).process(group))
