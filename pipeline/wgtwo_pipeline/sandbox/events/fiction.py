"""What made-up events are made of: people, places, numbers and texts that exist nowhere.

Numbers are Ofcom's, PTS's and NANPA's for fiction; IMSIs are of the test network 001-01.
"""

import uuid
from dataclasses import dataclass
from typing import Any

from wgtwo.events.v0 import events_pb2 as v0

from wgtwo_pipeline.sandbox.events.draw import Draw

SUBSCRIBERS, FICKLE = 900, 45
"""How many there are, and how many of them, the last ones, revoke their consent and give it again."""
COUNTRIES = (
    ("NO", "Norway"),
    ("SE", "Sweden"),
    ("GB", "United Kingdom"),
    ("DE", "Germany"),
    ("ES", "Spain"),
    ("CI", "Côte d'Ivoire"),
    ("US", "United States"),
)
TEXTS = (
    "On my way, five minutes",
    "Your code is 4711",
    "Takk for sist! Sees på lørdag 🎉",
    "Din tid är bokad: måndag 09:30",
    "ok",
    "Your parcel is ready for pick-up at the usual place. Bring an identity card. " * 3,
)
SENDERS = ("Parcels", "DENTIST", "Bank 24")
STATUSES = (
    *[v0.SmsDeliveryReportEvent.DELIVERED] * 5,
    v0.SmsDeliveryReportEvent.TEMPORARY_FAILURE,
    v0.SmsDeliveryReportEvent.FINAL_FAILURE,
    v0.SmsDeliveryReportEvent.EXPIRED,
)
RIGHTS = ("events.sms.subscribe", "events.voice.subscribe", "sms.send.to_subscriber")


@dataclass(frozen=True)
class Person:
    """A subscriber who does not exist."""

    number: str
    imsi: str
    sub: str
    wg2rn: str


def uuid4(draw: Draw) -> str:
    """An identifier in the form of a random UUID."""
    return str(uuid.UUID(int=draw.below(1 << 128), version=4))


def stranger(draw: Draw) -> str:
    """The number of somebody who is no subscriber."""
    return draw.pick((f"+120255501{draw.below(100):02d}", f"+467017406{5 + draw.below(95):02d}"))


def travel(draw: Draw, event: Any) -> None:
    """Fills an event's previous and current country, which differ."""
    before = draw.below(len(COUNTRIES))
    after = (before + 1 + draw.below(len(COUNTRIES) - 1)) % len(COUNTRIES)
    event.previous.code, event.previous.name = COUNTRIES[before]
    event.current.code, event.current.name = COUNTRIES[after]


def new_handset(draw: Draw, event: Any) -> None:
    """Fills an event's previous and current handset."""
    for handset in (event.previous, event.current):
        handset.imei_sv.imei = f"00101{draw.below(10**10):010d}"
        handset.imei_sv.software_version = f"{draw.below(100):02d}"
