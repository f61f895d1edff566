"""`DecodeWgtwoEvents` gives what publishing gives, and says why where it gives nothing."""

import apache_beam as beam
import pyarrow.parquet as pq
import pytest
from apache_beam.testing.util import assert_that, equal_to
from apache_beam.transforms.display import DisplayData
from apache_beam.transforms.window import FixedWindows, TimestampedValue
from apache_beam.utils.timestamp import Timestamp
from graphs import BATCH, Stamped, counters
from lakes import BROKEN, HANDSETS, SOURCE, at, handset_change, journal, publish, sms, voice
from wgtwo_pipeline import rows
from wgtwo_pipeline.beam import DecodeWgtwoEvents, WgtwoDelivery
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.source import decode_events

RECEIVED = Timestamp(1_700_000_000)


def delivery(payload, source=SOURCE, received_at=RECEIVED):
    return WgtwoDelivery(source.subscription, source.api, source.method, payload, received_at)


def decoded(table, *deliveries, check_rows, check_quarantine=lambda found: found == []):
    """Runs the transform on deliveries, two seconds apart; `check…` are called with what it gives."""

    def checker(check):
        def checked(found):
            assert check(sorted(found)), found

        return checked

    pipeline = beam.Pipeline(options=BATCH)
    found = (
        pipeline
        | beam.Create([TimestampedValue(each, 2 * n) for n, each in enumerate(deliveries)])
        | beam.Map(lambda each: each)
        | DecodeWgtwoEvents(table)
    )
    kinds = found.rows.element_type, found.quarantine.element_type
    assert kinds == (rows.ROW_TYPES[table], rows.Quarantine)
    assert_that(found.rows | beam.ParDo(Stamped()), checker(check_rows), label="rows")
    assert_that(found.quarantine, checker(check_quarantine), label="quarantine")
    result = pipeline.run()
    result.wait_until_finish()
    return counters(result)


def test_rows_are_those_that_publishing_makes(store):
    """Column by column, of both versions of the API."""
    journal(store, sms(1, at(1)), voice(2, at(2)), received_at=at(9))
    journal(store, handset_change(3, at(3)), source=HANDSETS, received_at=at(9))
    files = {file.table: file.key for file in publish(store).files}
    received_at = Timestamp.from_utc_datetime(at(9))
    for table, payload, source in (
        ("sms", sms(1, at(1)), SOURCE),
        ("handset_change_v1", handset_change(3, at(3)), HANDSETS),
    ):
        (published,) = pq.read_table(store.uri(files[table]), partitioning=None).to_pylist()

        def is_published(found, published=published):
            ((_, row),) = found
            values = {
                name: value.to_utc_datetime(has_tz=True) if isinstance(value, Timestamp) else value
                for name, value in row._asdict().items()
            }
            return values == published

        decoded(table, delivery(payload, source, received_at), check_rows=is_published)


def test_other_tables_are_left_out_and_what_is_no_row_is_told_apart():
    """With the reason that the quarantine of a lake would have."""
    deliveries = [
        delivery(sms(1)),
        delivery(voice(2)),
        delivery(BROKEN),
        delivery(handset_change(3), HANDSETS),
    ]
    counts = decoded(
        "voice",
        *deliveries,
        check_rows=lambda found: [row.call_id for _, row in found] == ["call-2"],
        check_quarantine=lambda found: (
            [(r.reason, r.payload, r.received_at) for r in found] == [("undecodable", BROKEN, RECEIVED)]
        ),
    )
    assert counts == {"decoded": 1, "quarantined": 1}


def test_a_stream_of_a_newer_version_is_left_out():
    """It belongs to no table that this version knows."""
    newer = WgtwoDelivery("v1.StreamX.q", "v1", "StreamX", b"", RECEIVED)
    decoded("sms", newer, delivery(sms(1)), check_rows=lambda found: len(found) == 1)


@pytest.mark.parametrize("together", [1, 2, 1000])
def test_each_row_keeps_its_delivery_s_time(monkeypatch, together):
    """However many are decoded at once; what is not full is decoded at the end of the bundle."""
    monkeypatch.setattr(decode_events, "TOGETHER", together)
    deliveries = [delivery(BROKEN if n == 2 else sms(n)) for n in range(5)]
    decoded(
        "sms",
        *deliveries,
        check_rows=lambda found: [(t, row.sequence) for t, row in found] == [(0, 0), (2, 1), (6, 3), (8, 4)],
        check_quarantine=lambda found: len(found) == 1,
    )


def test_each_row_keeps_its_delivery_s_window():
    """Deliveries of several windows are decoded together, and counted apart."""
    pipeline = beam.Pipeline(options=BATCH)
    counts = (
        pipeline
        | beam.Create([TimestampedValue(delivery(sms(n)), n) for n in range(25)])
        | beam.Map(lambda each: each)
        | beam.WindowInto(FixedWindows(10))
        | DecodeWgtwoEvents("sms")
    )
    per_window = counts.rows | beam.CombineGlobally(beam.combiners.CountCombineFn()).without_defaults()
    assert_that(per_window, equal_to([10, 10, 5]))
    pipeline.run().wait_until_finish()


def test_the_table_is_looked_for_before_a_graph_is_made():
    """A typing error is told with what was meant."""
    with pytest.raises(ConfigurationError, match="did you mean 'voicemail'"):
        DecodeWgtwoEvents("voice_mail")
    with pytest.raises(ConfigurationError, match="table 'quarantine' is none"):
        DecodeWgtwoEvents("quarantine")
    shown = DisplayData.create_from(DecodeWgtwoEvents("sms")).items
    assert [(item.key, item.value) for item in shown] == [("table", "sms")]
