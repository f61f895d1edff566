"""Makes a lake whose journal holds made-up events, quickly: for measuring publish, and what reads its tables.

Events of all eleven v0 types in turn, or of one (such as `sms_event`), each with a sequence and timestamp of its own,
500 to a segment.
"""

import itertools
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime

from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.lake.journal import SegmentWriter, Source
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation

START_SECONDS = int(datetime(2026, 10, 1, tzinfo=UTC).timestamp())
SPACING_MICROSECONDS = 500
SEGMENT_EVENTS = 500


def bodies(only: str | None = None) -> list[v0.Event]:
    """One event of each type, or of one, filled as the service fills them."""
    number, other = {"e164": "+4799990001"}, {"e164": "+4799990002"}
    imsi, country = {"value": "242990000000001"}, {"code": "NO", "name": "Norway"}
    places = {"msc": {"value": "4790000001"}, "vlr": {"value": "4790000002"}, "mme": {"value": "mme.example"}}
    handset = {"imei_sv": {"imei": "35000000000001", "software_version": "01"}}
    token = {"client_id": "client", "name": "name", "rights": ["a", "b"]}
    members = {
        "voice_event": {"call_id": "c" * 32, "type": 3, "from_number": number, "to_number": other},
        "voicemail_event": {"voicemail_id": "v" * 32, "type": 1, "from_number": number, "to_number": other},
        "location_update_event": {"number": number, "previous": places, "current": places},
        "country_change_event": {"msisdn": number, "previous": country, "current": country},
        "token_audit_event": {"operation": 1, "operator_token": {"new": token, "old": token}},
        "sms_event": {
            "id": "s" * 20,
            "from_e164": number,
            "to_e164": other,
            "direction": 1,
            "text": "text " * 8,
        },
        "sms_delivery_report_event": {"id": "s" * 20, "from_e164": number, "to_e164": other, "status": 1},
        "consent_revoke_event": {"msisdn": number},
        "handset_update_event": {"previous": handset, "current": handset, "imsi": imsi, "number": number},
        "first_attachment_event": {"number": number, "imsi": imsi},
        "periodic_country_event": {"number": number, "imsi": imsi, "country": country},
    }
    owner = {"phone_number": number, "sub": "subscriber"}
    return [
        v0.Event(service_id="service", owner=owner, **{name: body})
        for name, body in members.items()
        if only in (None, name)
    ]


def payloads(only: str | None = None) -> Iterator[bytes]:
    """Responses without end."""
    events = bodies(only)
    for sequence in itertools.count(1):
        event = events[sequence % len(events)]
        event.metadata.sequence = sequence
        event.metadata.ack_inbox = "_INBOX.acks.benchmark.events.0001"
        seconds, microseconds = divmod(sequence * SPACING_MICROSECONDS, 1_000_000)
        event.timestamp.seconds, event.timestamp.nanos = START_SECONDS + seconds, microseconds * 1000
        yield v0.SubscribeEventsResponse(event=event).SerializeToString()


def make(lake: str, events: int, only: str | None = None) -> None:
    """Fills the journal of a new lake."""
    store = open_store(LakeLocation(lake))
    store.check()
    writer, source, stream = SegmentWriter(store), Source("v0.benchmark", "v0", "Subscribe"), payloads(only)
    for first in range(0, events, SEGMENT_EVENTS):
        batch = list(itertools.islice(stream, min(SEGMENT_EVENTS, events - first)))
        writer.write(source, batch, [time.time_ns() // 1000] * len(batch))


if __name__ == "__main__":
    make(sys.argv[1], int(sys.argv[2]), *sys.argv[3:])
