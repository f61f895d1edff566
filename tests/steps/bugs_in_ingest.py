"""Bugs to plant on the way from the stream to the journal: each function puts one into the real rooms.

Each is what a reasonable person might have written.
"""

import contextlib
import json
from dataclasses import replace
from datetime import timedelta

from scripted_lake import ScriptedStore
from wgtwo_pipeline.errors import AlreadyExistsError, LakeError
from wgtwo_pipeline.ingest import ack, session, subscribe
from wgtwo_pipeline.ingest.session import Session
from wgtwo_pipeline.ingest.settings import IngestSettings
from wgtwo_pipeline.lake import journal, lake_format, positions


def ack_first(patches):
    def process(self, group):
        mine = subscribe.worker().session(self._settings, group.member)
        mine.ack(group.number, group.received)
        mine._transport.turn()
        mine.journal(group.received)
        yield group

    patches.setattr(subscribe.Journal, "process", process)


def assume_it_was_put(patches):
    def insist(self, put):
        with contextlib.suppress(LakeError):
            put()
        return 0

    patches.setattr(Session, "_insist", insist)


def say_the_format_last(patches):
    original = journal.SegmentWriter.write

    def write(self, *arguments, **named):
        said, self._said = self._said, True
        key = original(self, *arguments, **named)
        if not said:
            lake_format.ensure(self.store)
        return key

    patches.setattr(journal.SegmentWriter, "write", write)


def say_the_format_in_its_own_way(patches):
    def ensure(store):
        content = {"format": 2, "by": store.location.url}
        with contextlib.suppress(AlreadyExistsError):
            store.create(lake_format.KEY, json.dumps(content).encode())

    patches.setattr(lake_format, "ensure", ensure)


def reuse_names(patches):
    original = journal.SegmentName.key.fget

    def key(self):
        return original(
            replace(self, writer="0", counter=1, created_at=self.created_at.replace(second=0, microsecond=0))
        )

    patches.setattr(journal.SegmentName, "key", property(key))


def put_over(patches):
    def create(self, key, data):
        data = bytes(memoryview(data).cast("B"))
        self._step("put", key)
        self._bucket.overwrite(key, data)

    patches.setattr(ScriptedStore, "create", create)


def give_up_recording(patches):
    original = positions.record_missed

    def record_missed(*arguments):
        with contextlib.suppress(LakeError):
            original(*arguments)

    patches.setattr(positions, "record_missed", record_missed)


def cover_what_waits(patches):
    original = Session._cover
    patches.setattr(Session, "_cover", lambda self, received, had_room: original(self, [], True))


def take_silence_for_room(patches):
    patches.setattr(ack.Acker, "in_flight", property(lambda self: 0))


def settle_before_the_answer(patches):
    def send(self, group, requests, acked, tries):
        self._settle(group, len(requests), [])
        self._transport.start_many(self._method.ack, requests, self._timeout_seconds, lambda results: None)

    patches.setattr(ack.Acker, "_send", send)


def listen_while_asleep(patches):
    """Takes all that happened since it subscribed for received, however long it slept meanwhile."""

    def smallest(*values):
        return values[0] if isinstance(values[0], timedelta) else min(*values)

    patches.setattr(session, "min", smallest, raising=False)


def gap_named_by_start(patches):
    patches.setattr(
        positions.Gap,
        "key",
        property(lambda self: f"{positions.GAPS}{self.subscription}/{self.start:%Y%m%dT%H%M%S.%fZ}.json"),
    )


def no_overlap(patches):
    patches.setattr(IngestSettings, "overlap", property(lambda self: timedelta()))


def never_record(patches):
    patches.setattr(session.positions, "record_missed", lambda *_: None)
