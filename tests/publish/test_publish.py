"""Publishing on Beam's in-process runner: a function of the epoch, whoever does it and however often."""

import threading
from dataclasses import replace
from types import SimpleNamespace

import apache_beam as beam
import lakes
import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from patience import PATIENCE_SECONDS
from wgtwo_pipeline import flows
from wgtwo_pipeline.erase.settings import Erasing
from wgtwo_pipeline.errors import (
    ConfigurationError,
    CorruptError,
    LakeError,
    NotFoundError,
    PipelineError,
    ServiceError,
)
from wgtwo_pipeline.lake import epochs, history
from wgtwo_pipeline.lake.manifest import Parameters, manifest_key
from wgtwo_pipeline.publish import rooms
from wgtwo_pipeline.publish.rooms import PublishSettings
from wgtwo_pipeline.run import jobs

OPTIONS = PipelineOptions(["--runner=FnApiRunner"])


def settings(store, **limits):
    return PublishSettings(store.location, "publisher", Parameters(""), epochs.Limits(**limits), 3600)


def run(store, **limits):
    pipeline = beam.Pipeline(options=OPTIONS)
    flows.publish(pipeline, settings(store, **limits))
    pipeline.run().wait_until_finish()
    return history.load(store)


def publisher(store, **limits):
    config = SimpleNamespace(
        command="publish",
        lake=store.location,
        publishing=SimpleNamespace(
            partition_by="date", journal_retention_seconds=3600.0, publish_every_seconds=900.0
        ),
        erasing=Erasing(),
        beam_args=("--runner=DirectRunner",),
    )
    made = jobs.Publisher(config)
    made._settings = replace(made._settings, limits=epochs.Limits(**limits))
    return made


def objects(store, prefix="tables/"):
    """Everything under a prefix, by content."""
    return {info.key: bytes(store.read(info.key)) for info in store.list(prefix)}


def sequences(store, table="sms"):
    found = [
        value
        for info in store.list(f"tables/{table}/")
        for value in pq.read_table(store.uri(info.key), partitioning=None)["sequence"].to_pylist()
    ]
    return sorted(found)


def test_what_waits_is_published_once(store):
    """Every event in its table, duplicates dropped, the broken one in quarantine, all accounted for."""
    lakes.journal(store, *(lakes.sms(n) for n in range(5)), lakes.sms(2, redelivered=True), lakes.BROKEN)
    lakes.journal(store, lakes.handset_change(1), source=lakes.HANDSETS)
    past = run(store)
    (manifest,) = past.manifests
    assert (manifest.received, manifest.published, manifest.duplicates, manifest.quarantined) == (8, 6, 1, 1)
    assert manifest.balanced()
    assert sequences(store) == [0, 1, 2, 3, 4]
    assert not list(store.list("journal/"))
    assert sum(copy.rows for copy in manifest.retained) == 8


def test_what_an_earlier_epoch_has_is_no_row_again(store):
    """A redelivery, hours later: a duplicate."""
    lakes.journal(store, lakes.sms(1), lakes.sms(2))
    run(store)
    lakes.journal(store, lakes.sms(2, redelivered=True), lakes.sms(3))
    second = run(store).manifests[1]
    assert (second.published, second.duplicates) == (1, 1)
    assert sequences(store) == [1, 2, 3]


def test_nothing_waits_nothing_happens(store):
    """No epoch, no object but the descriptors."""
    assert run(store).committed == 0
    assert not objects(store, "epochs/")


def test_a_publisher_that_was_killed_is_made_up_for(store):
    """Whoever comes next writes the same objects under the same names, and commits."""
    lakes.journal(store, *(lakes.sms(n) for n in range(5)), *(lakes.voice(n) for n in range(5)))
    lakes.publish(store, commits=False, writes=("sms",))
    half = objects(store)
    assert half
    assert history.load(store).committed == 0
    run(store)
    whole = objects(store)
    assert {key: whole[key] for key in half} == half
    assert len(whole) > len(half)
    assert sequences(store) == sequences(store, "voice") == [0, 1, 2, 3, 4]


def test_publishers_that_race_publish_once(store):
    """Two at the same moment, each with the whole flow: one epoch, no row twice."""
    lakes.journal(store, *(lakes.sms(n) for n in range(20)), lakes.BROKEN)
    errors = []

    def work():
        try:
            run(store)
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert not errors
    assert history.load(store).committed == 1
    assert sequences(store) == list(range(20))


def test_a_backlog_is_published_epoch_by_epoch(store):
    """In bounded steps, until nothing is left that was there at the start."""
    for number in range(6):
        lakes.journal(store, lakes.sms(2 * number), lakes.sms(2 * number + 1))
    manifests = list(publisher(store, rows=4).publish_all())
    assert [manifest.epoch for manifest in manifests] == [1, 2, 3]
    assert [manifest.published for manifest in manifests] == [4, 4, 4]
    assert list(publisher(store).publish_all()) == []


def test_what_comes_meanwhile_is_left_to_the_next_time(store):
    """Else epochs would get ever smaller."""
    lakes.journal(store, lakes.sms(1))
    published = []
    for manifest in publisher(store).publish_all():
        published.append(manifest.epoch)
        lakes.journal(store, lakes.sms(100 + len(published)))
    assert published == [1]


def test_what_is_due_is_published_and_what_is_not_waits(store):
    """While more is coming: epoch after epoch while there is enough for one, and the rest stays in the journal."""
    made = publisher(store, rows=4)
    made._enough = replace(made._enough, rows=4)
    for number in range(6):
        lakes.journal(store, lakes.sms(2 * number), lakes.sms(2 * number + 1))
    assert [manifest.published for manifest in made.publish_due()] == [4, 4, 4]
    lakes.journal(store, lakes.sms(100))
    assert list(made.publish_due()) == []
    assert [manifest.published for manifest in made.publish_all()] == [1]


def test_a_job_that_commits_nothing_is_an_error(store, monkeypatch):
    """And not tried for ever in one go."""
    lakes.journal(store, lakes.sms(1))
    monkeypatch.setattr(jobs.flows, "publish", lambda pipeline, settings: pipeline | beam.Impulse())
    with pytest.raises(LakeError, match="epoch 1 was not committed although its job ended"):
        list(publisher(store).publish_all())


def test_an_error_of_the_lake_comes_out_as_it_is(store):
    """Of its class, in one sentence: `run` tries again, `publish` shows it."""
    lakes.journal(store, lakes.sms(1))
    store.create(manifest_key(3), b"{}")
    with pytest.raises(CorruptError) as raised:
        run(store)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("order", [1, -1])
def test_the_order_of_parts_does_not_matter(store, order):
    """The first delivery counts, in whatever order a runner hands the groups over."""
    lakes.journal(store, lakes.sms(1, text="first"), lakes.sms(2))
    lakes.journal(store, lakes.sms(1, text="second", redelivered=True))
    made = replace(settings(store), parameters=Parameters("", rows_per_group=2))
    groups = list(rooms.Seal(made).process(None))
    parts, outcomes = {}, []
    for group in groups[::order]:
        for element in rooms.Decode(made).process(group):
            if isinstance(element, beam.pvalue.TaggedOutput):
                outcomes.append(element.value[1])
            else:
                parts.setdefault(element[0], []).append(element[1])
    assert [len(part) for part in parts.values()] == [2]
    for element in parts.items():
        outcomes += [outcome for _, outcome in rooms.Write(made).process(element)]
    list(rooms.Commit(made).process((1, outcomes[::order])))
    (info,) = store.list("tables/sms/")
    table = pq.read_table(store.uri(info.key), partitioning=None)
    assert sorted(table["text"].to_pylist()) == ["first", "hello"]


def test_a_commit_twice_is_one(store):
    """A runner may run the last step again: the manifest stays, and nothing is deleted that it needs."""
    lakes.journal(store, lakes.sms(1))
    manifest = lakes.publish(store)
    retained = objects(store, "retained/")
    (again,) = rooms.Commit(settings(store)).process((1, []))
    assert again == manifest
    assert objects(store, "retained/") == retained


# Errors that a runner has made text of


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("ServiceError", ServiceError),
        ("LakeError", LakeError),
        ("NotFoundError", LakeError),
        ("CorruptError", LakeError),
        ("ConfigurationError", ConfigurationError),
        ("PipelineError", PipelineError),
        ("NoSuchError", PipelineError),
    ],
)
def test_an_error_of_ours_is_found_in_a_runner_s_text(name, kind):
    """Runners in other processes pass on a traceback as text; what we have to say stands in it."""
    text = (
        "Pipeline job-001 failed in state FAILED: bundle inst001 Traceback (most recent call last):\n"
        "  File x\nwgtwo_pipeline.errors.LakeError: earlier\n\nDuring handling:\n"
        f"wgtwo_pipeline.errors.{name}: do this\n"
    )
    found = jobs.ours(RuntimeError(text))
    assert type(found) is kind
    assert str(found) == "do this"
    assert found.exit_code == kind.exit_code


def test_other_errors_stay_what_they_are():
    """Neither ours again, nor what is none of ours, is changed."""
    for error in (NotFoundError("key"), RuntimeError("something else")):
        assert jobs.ours(error) is error
