"""Makes up believable events: event number i of a seed is always the same, but for its timestamp.

Of every hundred events each kind has its weight, so a hundred hold every kind. Calls go through their stages, a
delivery report follows its SMS. Revocations name a few subscribers only (the last numbers), who have events like all
others, and consent again and again: what they revoke is erased, and most of a lake stays.
"""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from wgtwo.consents.v1 import consent_events_pb2 as consents_v1
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.subscription.v1 import subscription_events_pb2 as subscription_v1

from wgtwo_pipeline.sandbox.events.draw import Draw
from wgtwo_pipeline.sandbox.events.fiction import (
    COUNTRIES,
    FICKLE,
    RIGHTS,
    SENDERS,
    STATUSES,
    SUBSCRIBERS,
    TEXTS,
    Person,
    new_handset,
    stranger,
    travel,
    uuid4,
)
from wgtwo_pipeline.sandbox.events.kinds import Api, Kind


@dataclass(frozen=True)
class Made:
    """An event without its time: v0's Event, or v1's stream response, whose metadata get this `identifier`."""

    kind: Kind
    message: Any
    identifier: str = ""


class Maker:
    """Makes one API's events of these kinds."""

    def __init__(self, seed: int, kinds: tuple[Kind, ...]) -> None:
        self.seed = seed
        self.people = [self._person(n) for n in range(SUBSCRIBERS)]
        self.deck = _reports_last(self._draw("deck").shuffled([k for k in kinds for _ in range(k.weight)]))
        seen: Counter[str] = Counter()
        self.ranks = []
        for kind in self.deck:
            self.ranks.append(seen[kind.name])
            seen[kind.name] += 1

    def make(self, index: int) -> Made:
        """Event `index`, from 0."""
        cycle, place = divmod(index, len(self.deck))
        kind = self.deck[place]
        return self._make(kind, cycle * kind.weight + self.ranks[place])

    def _make(self, kind: Kind, ordinal: int) -> Made:
        make = getattr(self, "_" + kind.name)
        if kind.api == "v0":
            person, payload = make(ordinal)
            event = v0.Event(service_id="wgtwo-sandbox", **{kind.payload: payload})
            event.owner.phone_number.e164 = person.number
            event.owner.sub = person.sub
            return Made(kind, event)
        person, response = make(ordinal)
        return Made(kind, response, person.wg2rn if person is not None else "")

    def _draw(self, *name: object) -> Draw:
        return Draw(self.seed, *name)

    def _person(self, n: int) -> Person:
        draw = self._draw("person", n)
        return Person(
            f"+447700900{n:03d}", f"00101{n:010d}", draw.hex(24), f"wg2rn:subscription:{draw.hex(16)}"
        )

    def _active(self, draw: Draw) -> Person:
        return self.people[draw.below(SUBSCRIBERS)]

    def _fickle(self, draw: Draw) -> Person:
        return self.people[SUBSCRIBERS - FICKLE + draw.below(FICKLE)]

    # Each `_<kind>` returns whose event it is and the payload.

    def _voice(self, ordinal: int) -> tuple[Person, v0.VoiceEvent]:
        call, stage = divmod(ordinal, 4)
        draw = self._draw("call", call)
        person, outgoing, answered = self._active(draw), draw.chance(0.5), draw.chance(0.8)
        stages = (
            v0.VoiceEvent.CALL_INITIATED,
            v0.VoiceEvent.CALL_RINGING,
            v0.VoiceEvent.CALL_ANSWERED if answered else v0.VoiceEvent.CALL_FWD_VOICEMAIL,
            v0.VoiceEvent.CALL_ENDED,
        )
        event = v0.VoiceEvent(call_id=uuid4(draw), type=stages[stage], caller_id_hidden=draw.chance(0.05))
        ends = (person.number, stranger(draw))
        event.from_number.e164, event.to_number.e164 = ends if outgoing else ends[::-1]
        return person, event

    def _voicemail(self, ordinal: int) -> tuple[Person, v0.VoicemailEvent]:
        draw = self._draw("voicemail", ordinal)
        person = self._active(draw)
        event = v0.VoicemailEvent(voicemail_id=uuid4(draw), type=v0.VoicemailEvent.NEW_VOICEMAIL)
        event.from_number.e164, event.to_number.e164 = stranger(draw), person.number
        return person, event

    def _location_update(self, ordinal: int) -> tuple[Person, v0.LocationUpdateEvent]:
        draw = self._draw("location", ordinal)
        person = self._active(draw)
        event = v0.LocationUpdateEvent()
        event.number.e164 = person.number
        for locations in (event.previous, event.current):
            if draw.chance(0.5):
                locations.mme.value = f"mme{draw.below(20):02d}.epc.mnc001.mcc001.3gppnetwork.org"
            else:
                locations.msc.value = locations.vlr.value = f"44770090{draw.below(20):04d}"
                locations.sgsn.value = f"44770091{draw.below(20):04d}"
        return person, event

    def _country_change(self, ordinal: int) -> tuple[Person, v0.CountryChangeEvent]:
        draw = self._draw("country", ordinal)
        person = self._active(draw)
        event = v0.CountryChangeEvent()
        event.msisdn.e164 = person.number
        travel(draw, event)
        return person, event

    def _token_audit(self, ordinal: int) -> tuple[Person, v0.TokenAuditEvent]:
        draw = self._draw("token", ordinal)
        event = v0.TokenAuditEvent(
            operation=draw.pick(
                (v0.TokenAuditEvent.CREATED, v0.TokenAuditEvent.MODIFIED, v0.TokenAuditEvent.DELETED)
            )
        )
        token = {"client_id": f"client-{draw.hex(8)}", "name": draw.pick(("crm", "billing", "support"))}
        changed = event.operator_token
        if event.operation != v0.TokenAuditEvent.CREATED:
            changed.old.MergeFrom(v0.TokenAuditEvent.OperatorTokenMetadata(**token, rights=RIGHTS[:1]))
        if event.operation != v0.TokenAuditEvent.DELETED:
            changed.new.MergeFrom(v0.TokenAuditEvent.OperatorTokenMetadata(**token, rights=RIGHTS))
        return self._active(draw), event

    def _sms(self, ordinal: int) -> tuple[Person, v0.SmsEvent]:
        draw = self._draw("sms", ordinal)
        event = v0.SmsEvent(id=uuid4(draw), uuid=uuid4(draw))
        person = self._address_sms(draw, event)
        if draw.chance(0.1):
            event.bytes = bytes.fromhex(draw.hex(40))
        else:
            event.text = draw.pick(TEXTS)
        return person, event

    def _sms_delivery_report(self, ordinal: int) -> tuple[Person, v0.SmsDeliveryReportEvent]:
        draw = self._draw("sms", ordinal)
        sms_id, _ = uuid4(draw), uuid4(draw)
        event = v0.SmsDeliveryReportEvent(sms_id=sms_id)
        person = self._address_sms(draw, event)
        event.id = uuid4(draw)
        event.status = draw.pick(STATUSES)
        return person, event

    def _address_sms(self, draw: Draw, event: Any) -> Person:
        person, outgoing, other = self._active(draw), draw.chance(0.4), draw.below(10)
        event.direction = 1 if outgoing else 2  # FROM_SUBSCRIBER, TO_SUBSCRIBER in both enums
        if outgoing:
            event.from_e164.e164 = person.number
            if other == 0:
                event.to_national_phone_number.national_phone_number = "2000"
            else:
                event.to_e164.e164 = stranger(draw)
        else:
            event.to_e164.e164 = person.number
            if other < 3:
                event.from_text_address.text_address = draw.pick(SENDERS)
            elif other == 3:
                event.from_national_phone_number.national_phone_number = "2000"
            else:
                event.from_e164.e164 = stranger(draw)
        return person

    def _consent_revoke(self, ordinal: int) -> tuple[Person, v0.ConsentRevokeEvent]:
        person = self._fickle(self._draw("revoke", ordinal))
        event = v0.ConsentRevokeEvent()
        event.msisdn.e164 = person.number
        return person, event

    def _handset_update(self, ordinal: int) -> tuple[Person, v0.HandsetUpdateEvent]:
        draw = self._draw("handset", ordinal)
        person = self._active(draw)
        event = v0.HandsetUpdateEvent()
        event.imsi.value, event.number.e164 = person.imsi, person.number
        new_handset(draw, event)
        return person, event

    def _first_attachment(self, ordinal: int) -> tuple[Person, v0.FirstAttachmentEvent]:
        person = self._active(self._draw("attachment", ordinal))
        event = v0.FirstAttachmentEvent()
        event.imsi.value, event.number.e164 = person.imsi, person.number
        return person, event

    def _periodic_country(self, ordinal: int) -> tuple[Person, v0.PeriodicCountryEvent]:
        draw = self._draw("periodic", ordinal)
        person = self._active(draw)
        event = v0.PeriodicCountryEvent()
        event.imsi.value, event.number.e164 = person.imsi, person.number
        event.country.code, event.country.name = draw.pick(COUNTRIES)
        return person, event

    def _handset_change_v1(self, ordinal: int) -> tuple[Person, Any]:
        draw = self._draw("handset v1", ordinal)
        person = self._active(draw)
        response = subscription_v1.StreamHandsetChangeEventsResponse()
        event = response.handset_change_event
        event.imsi.value, event.number.e164 = person.imsi, person.number
        new_handset(draw, event)
        return person, response

    def _first_attachment_v1(self, ordinal: int) -> tuple[Person, Any]:
        person = self._active(self._draw("attachment v1", ordinal))
        response = subscription_v1.StreamFirstAttachmentEventsResponse()
        event = response.first_attachment_event
        event.imsi.value, event.number.e164 = person.imsi, person.number
        return person, response

    def _country_change_v1(self, ordinal: int) -> tuple[Person, Any]:
        draw = self._draw("country v1", ordinal)
        person = self._active(draw)
        response = subscription_v1.StreamCountryChangeEventsResponse()
        response.country_change_event.number.e164 = person.number
        travel(draw, response.country_change_event)
        return person, response

    def _periodic_country_v1(self, ordinal: int) -> tuple[Person, Any]:
        draw = self._draw("periodic v1", ordinal)
        person = self._active(draw)
        response = subscription_v1.StreamPeriodicCountryEventsResponse()
        event = response.periodic_country_event
        event.imsi.value, event.number.e164 = person.imsi, person.number
        event.country.code, event.country.name = draw.pick(COUNTRIES)
        return person, response

    def _consent_change_v1(self, ordinal: int) -> tuple[Person | None, Any]:
        draw = self._draw("consent v1", ordinal)
        response = consents_v1.StreamConsentChangeEventsResponse()
        event = response.consent_change_event
        what = draw.below(3)
        if what == 2:
            event.revoked.SetInParent()
        else:
            (event.added if what else event.updated).scopes.extend(RIGHTS[: 1 + draw.below(3)])
            if draw.chance(0.1):
                event.tenant = draw.pick(("fjordtel", "skogmobil"))
                return None, response
        person = self._active(draw) if what == 0 else self._fickle(draw)
        event.number.e164 = person.number
        return person, response


def makers(seed: int, kinds: tuple[Kind, ...]) -> dict[Api, Maker]:
    """One maker for each API that has any of these kinds."""
    by_api: dict[Api, tuple[Kind, ...]] = {
        "v0": tuple(kind for kind in kinds if kind.api == "v0"),
        "v1": tuple(kind for kind in kinds if kind.api == "v1"),
    }
    return {api: Maker(seed, own) for api, own in by_api.items() if own}


def _reports_last(deck: list[Kind]) -> list[Kind]:
    """The deck with its SMS and their delivery reports by turns, so that each report follows its SMS."""
    places = [i for i, kind in enumerate(deck) if kind.name in ("sms", "sms_delivery_report")]
    names = {deck[i].name: deck[i] for i in places}
    if len(names) == 2:
        for turn, i in enumerate(places):
            deck[i] = names["sms" if turn % 2 == 0 else "sms_delivery_report"]
    return deck
