"""What is journaled and not yet published, as the rows that publishing would make of it."""

import logging
from collections.abc import Collection, Iterator

import pyarrow as pa
import pyarrow.compute as pc

from wgtwo_pipeline.errors import NotFoundError
from wgtwo_pipeline.events.decode import decode
from wgtwo_pipeline.events.forget import Subjects, suppress
from wgtwo_pipeline.events.tables import MICROSECONDS, current_descriptors
from wgtwo_pipeline.lake import erasures, history, journal
from wgtwo_pipeline.lake.store import Store

_LOG = logging.getLogger(__name__)

JOURNAL = pa.schema(
    [
        ("subscription", pa.string()),
        ("api", pa.string()),
        ("method", pa.string()),
        ("received_at", MICROSECONDS),
        ("size_bytes", pa.int64()),
        ("payload", pa.binary()),
        ("segment", pa.string()),
    ]
)
"""One row for each delivery as received; `size_bytes` is the payload's, `segment` the key that holds it."""

_GROUP_ROWS = 20_000


def rows(store: Store, wanted: Collection[str]) -> Iterator[tuple[str, pa.Table]]:
    """Rows of the wanted tables, of `quarantine` and of `journal`, in delivery order; redeliveries as well.

    Decoded by this version's descriptors, in bounded memory. What is published meanwhile
    may be left out; so are segments that cannot be read, with a warning. Raises LakeError.
    """
    decodes = set(wanted) != {"journal"}
    subjects = erasures.pending(store)  # whom the next epoch suppresses is not shown before it, either
    for source, deliveries in _groups(store):
        if subjects:
            deliveries = _without(source, deliveries, subjects)
        if "journal" in wanted:
            yield "journal", _journal(source, deliveries)
        if decodes:
            decoded = decode(
                deliveries,
                api=source.api,
                method=source.method,
                descriptors=current_descriptors(),
            )
            for name, table in [*decoded.tables.items(), ("quarantine", decoded.quarantine)]:
                if name in wanted:
                    yield name, table


def _without(source: journal.Source, deliveries: pa.Table, subjects: Subjects) -> pa.Table:
    (batch,) = deliveries.to_batches()
    left = suppress(
        batch, subjects, api=source.api, method=source.method, descriptors=current_descriptors()
    ).deliveries
    return pa.Table.from_batches([left])


def _groups(store: Store) -> Iterator[tuple[journal.Source, pa.Table]]:
    """Some segments of one source at a time, their deliveries with the key of their `segment`."""
    waiting: dict[journal.Source, list[pa.Table]] = {}
    for key, segment in _segments(store):
        parts = waiting.setdefault(segment.source, [])
        deliveries = pa.Table.from_batches([segment.deliveries])
        parts.append(deliveries.append_column("segment", pa.repeat(key, len(deliveries))))
        if sum(map(len, parts)) >= _GROUP_ROWS:
            yield segment.source, pa.concat_tables(waiting.pop(segment.source)).combine_chunks()
    for source, parts in waiting.items():
        yield source, pa.concat_tables(parts).combine_chunks()


def _segments(store: Store) -> Iterator[tuple[str, journal.Segment]]:
    keys = [info.key for info in history.backlog(store, history.load(store)) if not _is_empty(info.key)]
    for key, segment in journal.read(store, keys):
        if isinstance(segment, journal.Segment):
            yield key, segment
        elif not isinstance(segment, NotFoundError):  # else it was published, and its file is there
            _LOG.warning("left out: %s", segment)


def _is_empty(key: str) -> bool:
    return journal.SegmentName.parse(key).rows == 0


def _journal(source: journal.Source, deliveries: pa.Table) -> pa.Table:
    columns = {
        "subscription": pa.repeat(source.subscription, len(deliveries)),
        "api": pa.repeat(source.api, len(deliveries)),
        "method": pa.repeat(source.method, len(deliveries)),
        "received_at": deliveries["received_at"],
        "size_bytes": pc.binary_length(deliveries["payload"]).cast(pa.int64()),
        "payload": deliveries["payload"],
        "segment": deliveries["segment"],
    }
    return pa.table(columns, schema=JOURNAL)
