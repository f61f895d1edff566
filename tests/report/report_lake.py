"""A lake of two days with something for every part of a report, and the report's tables read back."""

import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser

import lakes
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.subscription.v1 import subscription_events_pb2 as v1
from wgtwo_pipeline.lake import positions
from wgtwo_pipeline.lake.journal import Source

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
YESTERDAY = TODAY - timedelta(days=1)
LONG_AGO = TODAY - timedelta(days=40)
SUBSCRIPTION = "v0.test"
COUNTRIES_V1 = Source("v1.StreamCountryChangeEvents.test", "v1", "StreamCountryChangeEvents")

EVIL = "<script>alert('$x$')</script>"
"""The name of a country in which many were."""
FEW = "Liechtenstein"
"""The name of a country in which few were."""
PRIVATE = ("4790000", "private-text", "24201", "35332", "call-of-", "sms-of-", FEW)
"""Parts of what nobody may read: numbers, texts, IMSIs, IMEIs, identifiers; and where only few people were."""


def number(of):
    return f"+4790000{of:04d}"


def event(sequence, moment, **fields):
    """A delivery of v0 with the parts of one event, such as `sms_event={"text": "x"}`."""
    response = v0.SubscribeEventsResponse()
    response.event.metadata.sequence = sequence
    response.event.timestamp.FromDatetime(moment.astimezone(UTC))
    response.event.owner.phone_number.e164 = number(sequence % 50)
    for name, values in fields.items():
        part = getattr(response.event, name)
        for key, value in values.items():
            where = part
            *path, last = key.split(".")
            for step in path:
                where = getattr(where, step)
            setattr(where, last, value)
        part.SetInParent()
    return response.SerializeToString()


def country_v1(of, name, moment):
    response = v1.StreamCountryChangeEventsResponse()
    response.metadata.timestamp.FromDatetime(moment.astimezone(UTC))
    response.metadata.identifier.subscription_identifier.value = f"one-{of}"
    response.country_change_event.number.e164 = number(of)
    response.country_change_event.current.name = name
    return response.SerializeToString()


def deliveries():
    """SMS, calls, reports, countries and handsets of yesterday and today; one of 40 days ago, one of the future."""
    sequence = iter(range(1, 10_000))
    for n in range(30):
        when = (YESTERDAY, TODAY)[n % 2] + timedelta(hours=n % 24 * 0.9, milliseconds=n)
        direction = v0.SmsEvent.FROM_SUBSCRIBER if n % 3 else v0.SmsEvent.TO_SUBSCRIBER
        sms = {
            "id": f"sms-of-{n}",
            "text": "private-text",
            "direction": direction,
            "from_e164.e164": number(n),
        }
        yield event(next(sequence), when, sms_event=sms)
        report = {"sms_id": f"sms-of-{n}", "status": 1 + n % 4}
        yield event(next(sequence), when, sms_delivery_report_event=report)
        handset = {
            "number.e164": number(n),
            "imsi.value": f"24201{n:010d}",
            "current.imei_sv.imei": f"35332{n:09d}",
        }
        yield event(next(sequence), when, handset_update_event=handset)
    for n, length in enumerate((0, 9.999999, 10, 59, 61, 5000, 90_000, -5, None)):
        call = {"call_id": f"call-of-{n}", "from_number.e164": number(n)}
        answered = YESTERDAY - timedelta(minutes=30) + timedelta(seconds=n)
        yield event(next(sequence), answered, voice_event={**call, "type": v0.VoiceEvent.CALL_ANSWERED})
        if length is not None:
            ended = answered + timedelta(seconds=length)
            yield event(next(sequence), ended, voice_event={**call, "type": v0.VoiceEvent.CALL_ENDED})
    for n in range(25):
        name = EVIL if n % 2 else "Norway"
        change = {"msisdn.e164": number(n), "current.name": name}
        yield event(next(sequence), TODAY, country_change_event=change)
    for n in range(9):  # each seen twice: few people, though many events
        for again in range(2):
            seen = {"number.e164": number(n), "country.name": FEW}
            yield event(next(sequence), TODAY + timedelta(seconds=again), periodic_country_event=seen)
    yield event(next(sequence), LONG_AGO, sms_event={"id": "sms-of-old", "text": "private-text"})
    yield event(next(sequence), TODAY + timedelta(days=3), sms_event={"id": "sms-of-later"})


def fill(store):
    """Two epochs, with duplicates, a broken delivery and a gap. Everything is received at noon of yesterday."""
    payloads = list(deliveries())
    noon = YESTERDAY + timedelta(hours=12)
    lakes.journal(store, *payloads[:100], *payloads[:3], lakes.BROKEN, received_at=noon)
    lakes.publish(store)
    lakes.journal(store, *payloads[100:], payloads[5], received_at=noon)
    changes = [country_v1(n, "Norway", TODAY) for n in range(12)]
    lakes.journal(store, *changes, source=COUNTRIES_V1, received_at=noon)
    lakes.publish(store)
    positions.record_missed(store, SUBSCRIPTION, TODAY - timedelta(hours=3), TODAY - timedelta(hours=1))
    positions.record_missed(store, SUBSCRIPTION, LONG_AGO, LONG_AGO + timedelta(hours=1))


class _Tables(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tables, self._rows, self._cell = {}, None, None

    def handle_starttag(self, tag, attributes):
        if tag == "table":
            self._rows = self.tables[dict(attributes)["id"]] = []
        elif tag == "tr":
            self._rows.append([])
        elif tag in ("th", "td"):
            self._cell = ""

    def handle_data(self, data):
        if self._cell is not None:
            self._cell += data

    def handle_endtag(self, tag):
        if tag in ("th", "td"):
            self._rows[-1].append(self._cell)
            self._cell = None


def tables(html):
    """Every table of a page by its name: a list of rows, each a dictionary by head; numbers are numbers."""
    parser = _Tables()
    parser.feed(html)
    return {
        name: [dict(zip(heads, map(_value, row), strict=True)) for row in rows]
        for name, (heads, *rows) in parser.tables.items()
    }


def _value(cell):
    return int(cell.replace(",", "")) if re.fullmatch(r"[\d,]+", cell) else cell
