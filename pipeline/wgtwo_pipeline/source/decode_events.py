"""A transform that decodes deliveries as publishing does: the same rows, the same reasons where there are none."""

from collections.abc import Iterator
from typing import Any, Final

import apache_beam as beam
from apache_beam.pvalue import TaggedOutput
from apache_beam.transforms.window import BoundedWindow
from apache_beam.utils.timestamp import Timestamp
from apache_beam.utils.windowed_value import WindowedValue

from wgtwo_pipeline.events.decode import decode
from wgtwo_pipeline.events.descriptors import responses
from wgtwo_pipeline.events.tables import current_descriptors
from wgtwo_pipeline.lake import journal, layout
from wgtwo_pipeline.rows import ROW_TYPES
from wgtwo_pipeline.source import settings
from wgtwo_pipeline.source.beams import count
from wgtwo_pipeline.source.deliveries import WgtwoDelivery
from wgtwo_pipeline.source.files import as_rows

ROWS: Final = "rows"
"""The tag of the main output."""
TOGETHER: Final = 1_000
"""So many deliveries are decoded at once, for a call has a cost of its own; at the end of a bundle fewer."""


class _Decode(beam.DoFn):
    def __init__(self, table: str) -> None:
        self._table = table

    def start_bundle(self) -> None:
        self._waiting: dict[tuple[str, str], list[tuple[WgtwoDelivery, Timestamp, BoundedWindow]]] = {}

    def process(
        self,
        delivery: WgtwoDelivery,
        timestamp: Timestamp = beam.DoFn.TimestampParam,
        window: BoundedWindow = beam.DoFn.WindowParam,
    ) -> Iterator[Any]:
        stream = delivery.api, delivery.method
        waiting = self._waiting.setdefault(stream, [])
        waiting.append((delivery, timestamp, window))
        if len(waiting) >= TOGETHER:
            yield from self._decode(stream)

    def finish_bundle(self) -> Iterator[Any]:
        for stream in list(self._waiting):
            yield from self._decode(stream)

    def _decode(self, stream: tuple[str, str]) -> Iterator[Any]:
        """Each row in the window and at the time of the delivery that it was."""
        waiting = self._waiting.pop(stream)
        (api, method), deliveries = stream, [delivery for delivery, _, _ in waiting]
        batch = journal.batch(
            [each.payload for each in deliveries], [each.received_at.micros for each in deliveries]
        )
        if stream not in responses(current_descriptors()):
            return  # of a newer version, and so of none of the tables that this one knows
        decoded = decode(batch, api=api, method=method, descriptors=current_descriptors())
        for name, rows in (
            (self._table, decoded.tables.get(self._table)),
            (layout.QUARANTINE, decoded.quarantine),
        ):
            if rows is None or not len(rows):
                continue
            made = (
                row for part in rows.to_batches() for row in as_rows(part, ROW_TYPES[name], rows.schema.names)
            )
            for at, row in zip(decoded.positions[name].tolist(), made, strict=True):
                _, timestamp, window = waiting[at]
                value = WindowedValue(row, timestamp, (window,))
                yield value if name == self._table else TaggedOutput(layout.QUARANTINE, value)
            count("decoded" if name == self._table else "quarantined", len(rows))


class DecodeWgtwoEvents(beam.PTransform):
    """Decodes `WgtwoDelivery`s to the rows of one table, as publishing would: those of other tables are left out.

    `deliveries | DecodeWgtwoEvents("sms")` gives two PCollections: `.rows` of `wgtwo_pipeline.rows.Sms`, and
    `.quarantine` of `wgtwo_pipeline.rows.Quarantine`, with what could not become a row of any table, and why. Each
    element keeps the window and the timestamp of its delivery. Redeliveries are not recognised: rows may come twice.

    A delivery waits for others of its bundle, to be decoded with them, and never for the next one.

    Raises ConfigurationError where there is no such table.
    """

    def __init__(self, table: str) -> None:
        super().__init__()
        self.table = settings.table(table).name

    def expand(self, deliveries: Any) -> Any:
        """Of a PCollection of WgtwoDelivery."""
        found = deliveries | "Decode" >> beam.ParDo(_Decode(self.table)).with_outputs(
            layout.QUARANTINE, main=ROWS
        )
        found[ROWS].element_type = ROW_TYPES[self.table]
        found[layout.QUARANTINE].element_type = ROW_TYPES[layout.QUARANTINE]
        return found

    def display_data(self) -> dict[str, Any]:
        """What a runner shows of it."""
        return {"table": self.table}
