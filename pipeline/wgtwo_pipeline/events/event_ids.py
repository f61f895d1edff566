"""The identity of v1's events, which have none on the wire."""

import hashlib
import struct
from typing import Any

import pyarrow as pa
from google.protobuf.message import DecodeError

from wgtwo_pipeline.events.descriptors import Response
from wgtwo_pipeline.events.members import Rows
from wgtwo_pipeline.events.tables import Table


def event_ids(response: Response, table: Table, payloads: pa.BinaryArray, rows: Rows) -> pa.Array:
    """The identities of these rows: for each, half a digest of what a redelivery repeats.

    Covers method, timestamp, identifier and the event with its unknown fields, each serialized anew so that
    the order of known fields on the wire does not matter. (upb puts unknown ones last, as they came.) Null
    for what upb, stricter than ptars about tags that no encoder writes, does not read.
    """
    method = table.method.encode()
    ids: list[str | None] = []
    for payload in payloads.take(pa.array(rows)).to_pylist():
        message: Any = response.message()
        try:
            message.ParseFromString(payload)
        except DecodeError:
            ids.append(None)
            continue
        time, event = message.metadata.timestamp, getattr(message, table.event_field)
        identifier = message.metadata.identifier.SerializeToString(deterministic=True)
        head = struct.pack("<qiI", time.seconds, time.nanos, len(identifier))
        body = event.SerializeToString(deterministic=True)
        ids.append(hashlib.sha256(b"".join((method, b"\0", head, identifier, body))).hexdigest()[:32])
    return pa.array(ids, pa.string())
