"""The event kinds of both APIs: what each is called, streamed by and scoped with.

Source: the wire contract's services, enum `EventType` and scopes. A kind's name is that of its table, and
also the name of its channel.
"""

from dataclasses import dataclass
from typing import Literal

Api = Literal["v0", "v1"]


@dataclass(frozen=True)
class Kind:
    """One event kind; `method` is the part between `Stream`/`Ack` and `Events`/`Event` of v1's methods."""

    name: str
    api: Api
    payload: str  # the field that holds the event's own message
    scope: str | None = None  # None: needs none
    number: int = 0  # v0: its EventType
    service: str = ""  # v1
    method: str = ""  # v1
    weight: int = 1  # how many of a hundred made-up events of its API


_SUBSCRIPTION = "wgtwo.subscription.v1.SubscriptionEventService"
_CONSENT = "wgtwo.consents.v1.ConsentEventService"

KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("voice", "v0", "voice_event", "events.voice.subscribe", 1, weight=24),
        Kind("voicemail", "v0", "voicemail_event", "events.voicemail.subscribe", 2, weight=4),
        Kind("location_update", "v0", "location_update_event", "events.location.subscribe", 3, weight=20),
        Kind("country_change", "v0", "country_change_event", "events.roaming.subscribe", 4, weight=4),
        Kind("token_audit", "v0", "token_audit_event", None, 5, weight=2),
        Kind("sms", "v0", "sms_event", "events.sms.subscribe", 6, weight=16),
        Kind(
            "sms_delivery_report",
            "v0",
            "sms_delivery_report_event",
            "events.sms_delivery_report.subscribe",
            7,
            weight=16,
        ),
        Kind("consent_revoke", "v0", "consent_revoke_event", None, 8, weight=2),
        Kind("handset_update", "v0", "handset_update_event", "events.handset_update.subscribe", 9, weight=4),
        Kind("first_attachment", "v0", "first_attachment_event", None, 10, weight=2),
        Kind("periodic_country", "v0", "periodic_country_event", None, 11, weight=6),
        Kind(
            "handset_change_v1",
            "v1",
            "handset_change_event",
            "subscription.handset_details:read",
            service=_SUBSCRIPTION,
            method="HandsetChange",
            weight=20,
        ),
        Kind(
            "first_attachment_v1",
            "v1",
            "first_attachment_event",
            "subscription.first_attachment:read",
            service=_SUBSCRIPTION,
            method="FirstAttachment",
            weight=12,
        ),
        Kind(
            "country_change_v1",
            "v1",
            "country_change_event",
            "subscription.country_change:read",
            service=_SUBSCRIPTION,
            method="CountryChange",
            weight=24,
        ),
        Kind(
            "periodic_country_v1",
            "v1",
            "periodic_country_event",
            "subscription.periodic_country:read",
            service=_SUBSCRIPTION,
            method="PeriodicCountry",
            weight=32,
        ),
        Kind(
            "consent_change_v1",
            "v1",
            "consent_change_event",
            None,
            service=_CONSENT,
            method="ConsentChange",
            weight=12,
        ),
    )
}

V0_BY_NUMBER: dict[int, Kind] = {kind.number: kind for kind in KINDS.values() if kind.api == "v0"}

SMS_SCOPES: dict[str, str] = {
    "SendTextFromSubscriber": "sms.send.from_subscriber",
    "SendBinaryToSubscriber": "sms.send.to_subscriber",
    "SendTextToSubscriber": "sms.send.to_subscriber",
    "SendTextToSubscriberAsOperator": "sms.send.to_subscriber_as_operator",
    "SendTextToSubscriberAsProduct": "sms.send.to_subscriber_as_product",
}

SCOPES: frozenset[str] = frozenset(
    {kind.scope for kind in KINDS.values() if kind.scope is not None} | set(SMS_SCOPES.values())
)


def kinds_named(types: tuple[str, ...]) -> tuple[Kind, ...]:
    """The kinds that `--types` names, all of them where it names none or `all`.

    A name that both APIs have without the suffix (`country_change`) means both; with `_v1`, v1's only.
    Raises KeyError with a name that neither has.
    """
    if not types or "all" in types:
        return tuple(KINDS.values())
    for name in types:
        if name not in KINDS and f"{name}_v1" not in KINDS:
            raise KeyError(name)
    return tuple(
        kind for kind in KINDS.values() if kind.name in types or kind.name.removesuffix("_v1") in types
    )
