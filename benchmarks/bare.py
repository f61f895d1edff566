"""A bare loop on the pipeline's own transport: receives, writes a segment, acks. No Beam, no threads of its own.

What ingest is compared with: the difference is what Beam, supervision and metrics cost.
"""

import sys
from pathlib import Path

from wgtwo_pipeline.events import api
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.service.open import open_transport
from wgtwo_pipeline.service.settings import Service


def main(target: str, lake: str, in_flight: int, events: int) -> None:
    store = open_store(LakeLocation(lake))
    store.check()
    writer, source = SegmentWriter(store), Source("bare", "v0", "Subscribe")
    transport = open_transport(Service(target, plaintext=True))
    terms = api.Terms(api.V0.tables, "bare", "bare", in_flight, 30.0)
    request = api.subscribe_request(api.V0, terms, api.Start(), "bare")
    stream = transport.stream(api.V0.stream, request)
    acked = 0
    while acked < events:
        received = stream.receive(max(1, in_flight // 2), 0.2, 5.0)
        payloads = [each.payload for each in received]
        writer.write(source, payloads, [each.received_at_us for each in received])
        requests = [request for payload in payloads if (request := api.ack_request(api.V0, payload))]
        transport.call_many(api.V0.ack, requests, 10.0)
        acked += len(requests)
    transport.close()


if __name__ == "__main__":
    main(sys.argv[1], str(Path(sys.argv[2])), int(sys.argv[3]), int(sys.argv[4]))
