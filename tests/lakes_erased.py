"""Erasures in lakes of tests: deliveries that belong to somebody, and the real eraser with or without a runner."""

from types import SimpleNamespace

from lakes import NOON, _timestamp, _v0
from wgtwo.consents.v1 import consent_events_pb2 as consents
from wgtwo_pipeline.erase import rooms
from wgtwo_pipeline.erase.settings import Erasing
from wgtwo_pipeline.lake.journal import Source
from wgtwo_pipeline.run import erasing

CONSENTS = Source("v1.StreamConsentChangeEvents.test", "v1", "StreamConsentChangeEvents")
HERS, HIS = "+4790000001", "+4790000002"


def sms_of(owner, sequence, moment=NOON, other="+46701740600", text="hello", redelivered=False):
    """A delivery of an SMS that somebody got."""
    response = _v0(sequence, moment, redelivered)
    response.event.owner.phone_number.e164 = owner
    event = response.event.sms_event
    event.id, event.text, event.direction = f"sms-{sequence}", text, 2
    event.from_e164.e164, event.to_e164.e164 = other, owner
    return response.SerializeToString()


def revoke(owner, sequence, moment=NOON, redelivered=False):
    """A delivery of v0's revocation."""
    response = _v0(sequence, moment, redelivered)
    response.event.owner.phone_number.e164 = owner
    response.event.consent_revoke_event.msisdn.e164 = owner
    return response.SerializeToString()


def consent(what, moment, owner=None, tenant=None):
    """A delivery of v1's consent change: `added`, `updated` or `revoked`."""
    response = consents.StreamConsentChangeEventsResponse()
    response.metadata.timestamp.CopyFrom(_timestamp(moment))
    event = response.consent_change_event
    getattr(event, what).SetInParent()
    if tenant:
        event.tenant = tenant
    else:
        event.number.e164 = owner
    return response.SerializeToString()


def broken_of(owner):
    """A delivery that nobody can decode, and that holds a number."""
    return b"\x0a\x20\x0b" + owner.encode() + b"\xff"


def erase_directly(settings, backwards=False):
    """`flows.erase` without Beam: the same rooms; what a runner may deliver in any order comes in two."""
    direction = -1 if backwards else 1
    looked = [
        found
        for group in list(rooms.Candidates(settings).process(None))[::direction]
        for _, found in rooms.Look(settings).process(group)
    ]
    planned = list(rooms.Plan(settings).process((settings.erasure, looked)))
    done = [found for group in planned[::direction] for _, found in rooms.Rewrite(settings).process(group)]
    for _ in rooms.Finish(settings).process((settings.erasure, done)):
        pass


def configuration(store, **options):
    """What an eraser needs of a configuration."""
    return SimpleNamespace(
        command="erase",
        lake=store.location,
        publishing=SimpleNamespace(
            partition_by="date", journal_retention_seconds=86400.0, publish_every_seconds=900.0
        ),
        erasing=Erasing(**options),
        beam_args=("--runner=DirectRunner",),
    )


def eraser(store, **options):
    """The real eraser, which also publishes; on Beam's in-process runner."""
    return erasing.Eraser(configuration(store, **options))
