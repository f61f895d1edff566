"""Deliveries as elements of a graph: raw bytes, where they came from and when."""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import apache_beam as beam
import pyarrow as pa
from apache_beam.transforms.window import TimestampedValue
from apache_beam.utils.timestamp import Timestamp

from wgtwo_pipeline.events.api import event_micros
from wgtwo_pipeline.events.decode import EARLIEST_SECONDS, MAX_SECONDS
from wgtwo_pipeline.lake.journal import Source
from wgtwo_pipeline.source import coverage


class WgtwoDelivery(NamedTuple):
    """One delivery as it was received; `payload` is the response message's bytes, not decoded.

    `subscription` is the name of its queue in the lake, `api` v0 or v1, `method` the stream's method.
    """

    subscription: str
    api: str
    method: str
    payload: bytes
    received_at: Timestamp


beam.coders.registry.register_coder(WgtwoDelivery, beam.coders.RowCoder)

_EARLIEST, _LATEST = Timestamp(seconds=EARLIEST_SECONDS), Timestamp(seconds=MAX_SECONDS)


def timestamped(
    source: Source, deliveries: pa.RecordBatch, since: datetime | None = None
) -> Iterator[TimestampedValue]:
    """Deliveries that were received at `since` or later, in order, each at the time of its event.

    One that doesn't say a time that a table would take, such as one that is broken, is at the time of its receipt.
    """
    first = None if since is None else coverage.timestamp(since).micros
    received = deliveries.column("received_at").cast(pa.int64()).to_pylist()
    for payload, received_us in zip(deliveries.column("payload").to_pylist(), received, strict=True):
        if first is None or received_us >= first:
            received_at = Timestamp(micros=received_us)
            delivery = WgtwoDelivery(source.subscription, source.api, source.method, payload, received_at)
            yield TimestampedValue(delivery, _event_time(source.api, payload) or received_at)


def _event_time(api: str, payload: bytes) -> Timestamp | None:
    micros = event_micros(api, payload)
    if micros is None or not _EARLIEST.micros <= micros <= _LATEST.micros:
        return None
    return Timestamp(micros=micros)
