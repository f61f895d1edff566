"""Segments: the immutable journal objects that hold the deliveries of one group commit.

A segment is an Arrow IPC stream of one record batch (`DELIVERIES`) whose schema metadata says where the
deliveries came from, followed by a trailer: the SHA-256 of all before it and a magic number. A torn or changed
segment is therefore always detected. One without rows is a heartbeat: its member was connected and nothing came.
"""

import hashlib
import logging
import secrets
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate

import pyarrow as pa

from wgtwo_pipeline.errors import CorruptError, NotFoundError
from wgtwo_pipeline.lake import lake_format
from wgtwo_pipeline.lake.store import ObjectInfo, Store

_LOG = logging.getLogger(__name__)

ROOT = "journal/"
DELIVERIES = pa.schema([("payload", pa.binary()), ("received_at", pa.timestamp("us", tz="UTC"))])
"""One row a delivery: the response message's bytes as received, and when this pipeline received it."""

_RECEIVED_AT = DELIVERIES.field("received_at").type
_END_OF_STREAM = b"\xff\xff\xff\xff\0\0\0\0"  # Arrow's columnar format, "IPC Streaming Format"
_FORMAT = b"1"
_MAGIC = b"WG2SEG01"
_TIME_CHARACTERS = len("20261124T235959.000000Z")
_TRAILER_BYTES = 32 + len(_MAGIC)
SEGMENT_BYTES = 8 * 1024 * 1024
MOST_BYTES = 1 << 30
"""A larger object is no segment, whatever its name: it is not even read."""


@dataclass(frozen=True)
class Source:
    """Where deliveries come from: the subscription, the API version and the stream's method name.

    A subscription's name is one path segment and belongs to one method.
    """

    subscription: str
    api: str
    method: str


@dataclass(frozen=True)
class SegmentName:
    """What a segment's key says: enough to order, count and attribute it without reading it."""

    subscription: str
    created_at: datetime
    writer: str
    counter: int
    rows: int

    @property
    def key(self) -> str:
        """Its key; keys of one subscription sort by time."""
        time = self.created_at.astimezone(UTC).isoformat(
            timespec="microseconds"
        )  # strftime takes ten times as long
        day, clock = time[:10], time[11:26]
        return (
            f"{ROOT}{self.subscription}/{day}/{clock[:2]}/{day.replace('-', '')}T{clock.replace(':', '')}Z"
            f"-{self.writer}-{self.counter:08d}-{self.rows}.arrow"
        )

    @classmethod
    def parse(cls, key: str) -> "SegmentName":
        """Reads a key; raises CorruptError for one that is no segment's."""
        try:
            root, subscription, _, _, name = key.split("/")
            time, writer, counter, rows = name.removesuffix(".arrow").split("-")
            if root + "/" != ROOT or not name.endswith(".arrow") or len(time) != _TIME_CHARACTERS:
                raise ValueError(key)
            created_at = datetime.fromisoformat(time).astimezone(UTC)  # strptime takes ten times as long
            return cls(subscription, created_at, writer, int(counter), int(rows))
        except ValueError:
            raise CorruptError(
                f"{key} is not a segment's name; move it out of the lake's journal/ folder"
            ) from None


@dataclass(frozen=True)
class Segment:
    """A segment as read back and verified. `covered_until`: nothing the server sent before it is missing here."""

    source: Source
    writer: str
    counter: int
    covered_until: datetime
    deliveries: pa.RecordBatch
    note: str = ""


def encode(
    source: Source,
    writer: str,
    counter: int,
    covered_until: datetime,
    deliveries: pa.RecordBatch,
    note: str = "",
    compression: str | None = None,
) -> bytes:
    """The bytes of a segment; the same arguments give the same bytes (of one pyarrow version).

    `compression` is one of Arrow's, by name; `decode` reads all of them.
    """
    schema = DELIVERIES.with_metadata(
        {
            "format": _FORMAT,
            "subscription": source.subscription,
            "api": source.api,
            "method": source.method,
            "writer": writer,
            "counter": str(counter),
            "covered_until": covered_until.astimezone(UTC).isoformat(),
            **({"note": note} if note else {}),
        }
    )
    if compression is None:
        # The messages of a stream, joined: for a small one Arrow's writer takes half as long again.
        body = b"".join((schema.serialize(), deliveries.serialize(), _END_OF_STREAM))
    else:
        sink = pa.BufferOutputStream()
        options = pa.ipc.IpcWriteOptions(compression=compression)
        with pa.ipc.new_stream(sink, schema, options=options) as stream:
            stream.write_batch(deliveries.replace_schema_metadata(schema.metadata))
        body = sink.getvalue()
    return b"".join((body, hashlib.sha256(body).digest(), _MAGIC))


def batch(payloads: Sequence[bytes], received_at_us: Sequence[int]) -> pa.RecordBatch:
    """Deliveries as a batch of the schema `DELIVERIES`."""
    # The buffers themselves: converting lists, Arrow gives Python's lock away and takes it back, each time.
    count, ends = len(payloads), array("i", accumulate(map(len, payloads), initial=0))
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(payloads))]
    times = [None, pa.py_buffer(array("q", received_at_us))]
    kinds = (pa.binary(), buffers), (_RECEIVED_AT, times)
    arrays = [pa.Array.from_buffers(kind, count, each) for kind, each in kinds]
    return pa.RecordBatch.from_arrays(arrays, schema=DELIVERIES)


def decode(key: str, data: memoryview) -> Segment:
    """Verifies and reads a segment without copying its payloads; raises CorruptError naming `key`."""
    body, trailer = data[:-_TRAILER_BYTES], data[-_TRAILER_BYTES:]
    if trailer[32:] != _MAGIC or hashlib.sha256(body).digest() != trailer[:32]:
        raise CorruptError(
            f"{key} is not a whole segment ({len(data)} bytes): its checksum does not match. "
            "Restore it from a version or copy of the bucket; its deliveries are counted as unreadable until then"
        )
    try:
        with pa.ipc.open_stream(pa.py_buffer(body)) as stream:
            metadata = {name.decode(): value.decode() for name, value in stream.schema.metadata.items()}
            deliveries = stream.read_next_batch().replace_schema_metadata(None)
        return Segment(
            source=Source(metadata["subscription"], metadata["api"], metadata["method"]),
            writer=metadata["writer"],
            counter=int(metadata["counter"]),
            covered_until=datetime.fromisoformat(metadata["covered_until"]),
            deliveries=deliveries.cast(DELIVERIES),
            note=metadata.get("note", ""),
        )
    except (pa.ArrowException, KeyError, ValueError, TypeError, AttributeError, StopIteration) as error:
        raise CorruptError(f"{key} is whole, but not as this version writes segments: {error!r}") from None


def read(
    store: Store, keys: Sequence[str], sizes: Sequence[int] | None = None
) -> Iterator[tuple[str, Segment | CorruptError | NotFoundError]]:
    """Reads segments in the order of `keys`, several at once, as `Store.read_many` does: each, or why it cannot be.

    One that has the bytes of another, or of no segment at all, stops none of the others. Raises LakeError
    where the lake as a whole cannot be read.
    """
    start = 0
    while start < len(keys):
        reads = store.read_many(keys[start:], sizes[start:] if sizes else None)
        try:
            for key in keys[start:]:
                yield key, _decode(store, key, next(reads))
                start += 1
        except NotFoundError as error:  # it ends the reading ahead: begin again behind it
            yield keys[start], error
            start += 1


def _decode(store: Store, key: str, data: memoryview) -> Segment | CorruptError | NotFoundError:
    try:
        return _verified(key, data)
    except CorruptError:
        pass
    try:  # once more: it may have been the reading
        return _verified(key, store.read(key))
    except (CorruptError, NotFoundError) as error:
        return error


def _verified(key: str, data: memoryview) -> Segment:
    """A segment that also is the one that its name says."""
    name, segment = SegmentName.parse(key), decode(key, data)
    found = (segment.source.subscription, len(segment.deliveries))
    if found != (name.subscription, name.rows):
        raise CorruptError(
            f"{key} has {found[1]:,} deliveries of {found[0]}, which is not what its name says. "
            "Restore it from a version or copy of the bucket"
        )
    return segment


def segments(store: Store, subscription: str = "") -> Iterator[ObjectInfo]:
    """Every segment in the journal, or of one subscription, published or not, in ascending order of keys.

    An object under another name is left alone: the log names it once, and the audit.
    """
    for info in store.list(f"{ROOT}{subscription}/" if subscription else ROOT):
        try:
            SegmentName.parse(info.key)
        except CorruptError as error:
            _warn(str(error))
        else:
            yield info


def holds(store: Store, rows: int) -> bool:
    """Whether there are at least so many deliveries in the journal, published or not; looks no further than that."""
    counts = (SegmentName.parse(info.key).rows for info in segments(store))
    return any(total >= rows for total in accumulate(counts))


@lru_cache(maxsize=1000)
def _warn(text: str) -> None:
    _LOG.warning("left alone: %s", text)


@dataclass
class SegmentWriter:
    """Writes the segments of one process under names that no other process can use."""

    store: Store
    writer: str = field(default_factory=lambda: secrets.token_hex(4))
    counter: int = 0
    _said: bool = field(default=False, init=False)

    def write(
        self,
        source: Source,
        payloads: Sequence[bytes],
        received_at_us: Sequence[int],
        covered_until: datetime | None = None,
    ) -> str:
        """Returns the key of a new segment once it is durable; raises LakeError, and may then be called again.

        Large deliveries become several segments, of which it returns the last. A failed call leaves nothing or
        whole segments behind that nobody was told of: publishing them as well is harmless, their deliveries are
        redeliveries of the ones written next. The first call makes a new lake say its format, before all else.
        """
        if not self._said:
            lake_format.ensure(self.store)
            self._said = True
        key = ""
        for start, end in _parts(payloads):
            now = datetime.now(UTC)
            self.counter += 1
            name = SegmentName(source.subscription, now, self.writer, self.counter, end - start)
            deliveries = batch(payloads[start:end], received_at_us[start:end])
            data = encode(source, self.writer, self.counter, covered_until or now, deliveries)
            self.store.create(name.key, data)
            key = name.key
        return key


def _parts(payloads: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Slices of at most SEGMENT_BYTES, or one delivery: memory holds copies of one at a time, here and at publish."""
    start = size = 0
    for at, payload in enumerate(payloads):
        size += len(payload)
        if size > SEGMENT_BYTES and at > start:
            yield start, at
            start, size = at, len(payload)
    yield start, len(payloads)
