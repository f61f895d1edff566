"""`ReadFromWgtwoLake` and `ReadBatchesFromWgtwoLake` on Beam's in-process runner, bounded."""

from datetime import datetime, timedelta

import apache_beam as beam
import pyarrow as pa
import pytest
from apache_beam.metrics.metric import Lineage
from apache_beam.transforms.display import DisplayData
from graphs import at as stamp
from graphs import counters, elements
from lakes import HANDSETS, NOON, at, handset_change, journal, lake_of_two_days, publish, sms
from wgtwo_pipeline import rows
from wgtwo_pipeline.beam import ReadBatchesFromWgtwoLake, ReadFromWgtwoLake
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.events.tables import catalog, current_descriptors

SMS = catalog(current_descriptors())["sms"].schema


@pytest.fixture
def lake(store):
    lake_of_two_days(store)
    return store.location.url


def sequences(found):
    return sorted(row.sequence for _, row in found)


def test_the_defaults_give_every_row_of_the_table_once(lake):
    """As its own type, each at its own event's time; of other tables nothing, of duplicates one."""
    found, _ = elements(ReadFromWgtwoLake(lake, "sms", stop_epoch=2))
    assert sequences(found) == list(range(30))
    assert {type(row) for _, row in found} == {rows.Sms}
    assert all(timestamp == row.timestamp for timestamp, row in found)
    first = min(row for _, row in found)
    assert (first.timestamp, first.id, first.text) == (stamp(NOON), "sms-0", "hello")
    assert first.date == NOON.date()


def test_a_v1_table_is_read_like_any_other(lake):
    """Its identity is the event's id."""
    found, _ = elements(ReadFromWgtwoLake(lake, "handset_change_v1", stop_epoch=2))
    assert sorted(row.number for _, row in found) == ["+4700000001", "+4700000002"]
    assert {type(row) for _, row in found} == {rows.HandsetChangeV1}


def test_only_the_columns_asked_for_are_read(lake):
    """The others are None; the time is always there."""
    found, _ = elements(ReadFromWgtwoLake(lake, "sms", columns=["text"], stop_epoch=1))
    assert len(found) == 10
    for timestamp, row in found:
        assert row == rows.Sms(timestamp=timestamp, text="hello")


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"start": "oldest", "stop_epoch": 2}, range(30)),
        ({"start": "new", "stop_epoch": 2}, []),
        ({"start": 1, "stop_epoch": 1}, range(10)),
        ({"start": 2, "stop_epoch": 2}, range(10, 30)),
        ({"start": at(8), "stop_epoch": 2}, [8, 9, *range(10, 30)]),
        ({"start": at(8).isoformat(), "stop_epoch": 2}, [8, 9, *range(10, 30)]),
        ({"start": at(29, day=1), "stop_epoch": 2}, [29]),
        ({"start": at(day=2), "stop_epoch": 2}, []),
    ],
    ids=[
        "oldest",
        "new",
        "the first epoch",
        "an epoch",
        "a time",
        "its text",
        "the newest event",
        "after all",
    ],
)
def test_it_starts_where_it_is_asked_to(lake, options, expected):
    """A time is of events, to the microsecond, wherever they lie in a file; the last epoch is read, too."""
    found, _ = elements(ReadFromWgtwoLake(lake, "sms", **options))
    assert sequences(found) == list(expected)


def test_batches_have_the_columns_asked_for(lake):
    """In the table's types and in the order in which they were asked for; each at the time of its oldest row."""
    found, _ = elements(ReadBatchesFromWgtwoLake(lake, "sms", columns=["text", "sequence"], stop_epoch=2))
    assert {type(batch) for _, batch in found} == {pa.RecordBatch}
    assert {tuple(batch.schema.names) for _, batch in found} == {("text", "sequence")}
    assert all(
        batch.schema.field(name) == SMS.field(name) for _, batch in found for name in batch.schema.names
    )
    assert sorted(n for _, batch in found for n in batch["sequence"].to_pylist()) == list(range(30))
    assert sorted(timestamp for timestamp, _ in found) == [stamp(NOON), stamp(at(10, day=1))]


def test_batches_go_through_a_shuffle(lake):
    """As Arrow's own bytes."""

    class Shuffled(beam.PTransform):
        def expand(self, root):
            return root | ReadBatchesFromWgtwoLake(lake, "sms", stop_epoch=2) | beam.Reshuffle()

    found, _ = elements(Shuffled())
    assert sum(len(batch) for _, batch in found) == 30
    assert all(batch.schema.equals(SMS) for _, batch in found)


@pytest.mark.parametrize("reshuffle", [True, False])
def test_files_are_spread_over_workers_or_not(lake, reshuffle):
    """Parallelism comes after the list of files; the rows are the same."""
    transform = ReadFromWgtwoLake(lake, "sms", stop_epoch=2, reshuffle=reshuffle)
    pipeline = beam.Pipeline()
    _ = pipeline | transform
    names = [each.unique_name for each in pipeline.to_runner_api().components.transforms.values()]
    assert any("Spread" in name for name in names) == reshuffle
    assert sequences(elements(ReadFromWgtwoLake(lake, "sms", stop_epoch=2, reshuffle=reshuffle))[0]) == list(
        range(30)
    )


def test_a_bounded_read_is_bounded_and_spread_and_an_unbounded_one_neither(lake):
    """A runner chooses by it how to run the graph."""
    for stop_epoch in (2, None):
        pipeline = beam.Pipeline()
        read = pipeline | ReadFromWgtwoLake(lake, "sms", stop_epoch=stop_epoch)
        graph = pipeline.to_runner_api()
        assert any("Spread" in t.unique_name for t in graph.components.transforms.values()) == (
            stop_epoch == 2
        )
        assert read.element_type is rows.Sms


def test_it_counts_epochs_files_and_rows(lake):
    """As metrics of its own name space."""
    _, result = elements(ReadFromWgtwoLake(lake, "sms", stop_epoch=2))
    found = counters(result)
    assert found.pop("lag_seconds") >= 0
    assert found == {"epochs": 2, "files": 2, "rows": 30}


def test_it_says_where_the_data_come_from(lake):
    """Beam's lineage has the table's folder."""
    _, result = elements(ReadFromWgtwoLake(lake, "sms", stop_epoch=2))
    assert Lineage.query(result.metrics(), Lineage.SOURCE) == {f"filesystem:localhost.{lake}/tables/sms/"}


def test_display_data_show_what_was_asked_for(lake):
    """What a runner's page shows of it."""
    transform = ReadFromWgtwoLake(
        lake, "sms", columns=["text", "id"], start=at(0), stop_epoch=2, poll_interval=3, allowed_lag=5
    )
    shown = {item.key: item.value for item in DisplayData.create_from(transform).items}
    assert shown == {
        "lake": lake,
        "table": "sms",
        "columns": "text, id",
        "start": str(at(0)),
        "stop_epoch": 2,
        "poll_interval": 3.0,
        "allowed_lag": 5.0,
    }
    endless = DisplayData.create_from(ReadFromWgtwoLake(lake, "sms")).items
    assert "stop_epoch" not in {item.key for item in endless}


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"table": "smss"}, r"table 'smss' is none of the lake's: did you mean 'sms'\? \(tables: voice, "),
        ({"columns": "text"}, r"columns is the text 'text': give a list, such as \['text'\]"),
        ({"columns": []}, "columns is empty: name some, or leave it out for all"),
        ({"columns": ["txt"]}, r"columns 'txt' is no column of sms: did you mean 'text'\?"),
        (
            {"start": "newest"},
            "start 'newest' is no place to begin: give 'oldest', 'new', a datetime or the number of",
        ),
        ({"start": 0}, "start 0 is no epoch: the first is 1"),
        ({"start": True}, "start True is no place to begin"),
        ({"start": datetime(2026, 11, 23)}, r"has no time zone: write datetime\(…, tzinfo=UTC\)"),  # noqa: DTZ001
        ({"stop_epoch": 0}, "stop_epoch 0 is no epoch: the first is 1"),
        ({"start": "2026-11-23T12:00:00"}, "has no time zone"),
        ({"start": 3, "stop_epoch": 2}, "stop_epoch 2 is before start 3: it is the last epoch that is read"),
        ({"poll_interval": 0}, "poll_interval 0 is no time in seconds: give more than 0"),
        ({"allowed_lag": -1}, "allowed_lag -1 is no time in seconds: give 0 or more"),
        ({"allowed_lag": float("inf")}, "allowed_lag inf is no time"),
        ({"s3_region": "eu-north-1"}, "s3_endpoint and s3_region work only with lake='s3://bucket/prefix'"),
        ({"lake": ""}, "^lake is empty: name a folder or s3://bucket/prefix"),
        (
            {"lake": "gs://bucket/lake"},
            "^lake gs://bucket/lake: name a folder such as ./lake, or s3://bucket/prefix",
        ),
        ({"lake": None}, "lake is None: name a folder"),
    ],
)
@pytest.mark.parametrize("transform", [ReadFromWgtwoLake, ReadBatchesFromWgtwoLake])
def test_what_cannot_work_is_refused_before_a_graph_is_made(transform, options, sentence):
    """By a sentence that names the argument, the value and the fix."""
    with pytest.raises(ConfigurationError, match=sentence):
        transform(**{"lake": "./lake", "table": "sms", **options})


def test_a_folder_is_taken_where_the_graph_is_made(lake, tmp_path, monkeypatch):
    """A worker's working folder is another one."""
    monkeypatch.chdir(tmp_path)
    assert ReadFromWgtwoLake("lake", "sms").source.lake.url == lake
    assert ReadFromWgtwoLake(tmp_path / "lake", "sms").source.lake.url == lake


def test_an_epoch_that_is_not_there_is_named(lake):
    """Rather than an answer that is short of it."""
    with pytest.raises(
        Exception, match=r"stop_epoch 3 is not committed .* its newest epoch is 2: publish first"
    ):
        elements(ReadFromWgtwoLake(lake, "sms", stop_epoch=3))


def test_a_lake_that_is_not_there_is_named(tmp_path):
    """Nothing is created by reading."""
    with pytest.raises(Exception, match=str(tmp_path / "none")):
        elements(ReadFromWgtwoLake(tmp_path / "none", "sms", stop_epoch=1))
    assert not (tmp_path / "none").exists()


def test_a_late_event_is_read_in_the_epoch_that_has_it(store):
    """At its own time, however old it is."""
    journal(store, sms(1, at(0)))
    publish(store)
    journal(store, sms(2, at(0) - timedelta(hours=5)))
    publish(store)
    found, _ = elements(ReadFromWgtwoLake(store.location.url, "sms", start=2, stop_epoch=2))
    assert [(t, row.sequence) for t, row in found] == [(stamp(at(0) - timedelta(hours=5)), 2)]


def test_an_epoch_without_rows_of_the_table_gives_nothing(store):
    """Its number is passed all the same."""
    journal(store, handset_change(1), source=HANDSETS)
    publish(store)
    journal(store, sms(1))
    publish(store)
    found, result = elements(ReadFromWgtwoLake(store.location.url, "sms", stop_epoch=2))
    assert sequences(found) == [1]
    assert counters(result)["epochs"] == 2
