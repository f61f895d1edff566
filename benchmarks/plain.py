"""The script people write first: sync grpcio, dict rows, one Parquet file per `max_in_flight` events, acks in turn.

What ingest is compared with at 50 in flight. It loses and doubles events in every way that the pipeline does not.
"""

import sys
import time
from collections import defaultdict
from pathlib import Path

import grpc
import pyarrow as pa
import pyarrow.parquet as pq
from google.protobuf.json_format import MessageToDict
from wgtwo.events.v0 import events_pb2


def main(target: str, folder: Path, in_flight: int, events: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    channel = grpc.insecure_channel(target)
    service = "/wgtwo.events.v0.EventsService/"
    subscribe = channel.unary_stream(
        service + "Subscribe",
        events_pb2.SubscribeEventsRequest.SerializeToString,
        events_pb2.SubscribeEventsResponse.FromString,
    )
    ack = channel.unary_unary(
        service + "Ack", events_pb2.AckRequest.SerializeToString, events_pb2.AckResponse.FromString
    )
    request = events_pb2.SubscribeEventsRequest(
        client_id="plain", queue_name="plain", durable_name="plain", max_in_flight=in_flight
    )
    request.manual_ack.enable = True
    request.manual_ack.timeout.seconds = 30
    waiting = []
    acked = 0
    for response in subscribe(request):
        waiting.append(response.event)
        if len(waiting) < in_flight and acked + len(waiting) < events:
            continue
        store(folder, waiting)
        for event in waiting:
            ack(events_pb2.AckRequest(inbox=event.metadata.ack_inbox, sequence=event.metadata.sequence))
        acked += len(waiting)
        waiting = []
        if acked >= events:
            return


def store(folder: Path, events: list[events_pb2.Event]) -> None:
    rows = defaultdict(list)
    for event in events:
        kind = event.WhichOneof("event")
        row = MessageToDict(event, preserving_proto_field_name=True)
        rows[kind].append({**{k: str(v) for k, v in row.pop(kind).items()}, "timestamp": row["timestamp"]})
    for kind, found in rows.items():
        path = folder / str(kind) / f"{time.time_ns()}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(pa.Table.from_pylist(found), path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
