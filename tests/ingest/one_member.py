"""One member's session in a scripted world: one lake, one clock, and streams that say what a test wants."""

from datetime import UTC, datetime, timedelta

from memory_store import MemoryStore
from scripted_transport import Clock, ScriptedTransport, Stopping
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo_pipeline.events import api
from wgtwo_pipeline.ingest import ack
from wgtwo_pipeline.ingest import session as rooms
from wgtwo_pipeline.ingest.counters import Counters
from wgtwo_pipeline.ingest.session import Session
from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.lake import journal, positions
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import StreamEndedError

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
MEMBER = Member(api.V0, "v0.test", 0)
SETTINGS = IngestSettings(
    Service("localhost:1", plaintext=True),
    LakeLocation("memory"),
    api.Terms(("sms",), "queue", "durable", max_in_flight=4, ack_timeout_seconds=30),
    api.Start("oldest"),
)
CUT = StreamEndedError("UNAVAILABLE", "cut")


class World:
    """One lake and one clock; sessions come and go."""

    def __init__(self, monkeypatch):
        self.clock, self.store = Clock(), MemoryStore()
        self.stopping, self.transport = Stopping(self.clock), None

        class Scripted(datetime):
            @classmethod
            def now(cls, tz=None):
                return self.now().astimezone(tz)

        monkeypatch.setattr(rooms, "time", self.clock)
        monkeypatch.setattr(ack, "time", self.clock)
        monkeypatch.setattr(rooms, "datetime", Scripted)
        monkeypatch.setattr(journal, "datetime", Scripted)
        monkeypatch.setattr(rooms.random, "uniform", lambda low, high: 1.0)
        monkeypatch.setattr(rooms, "open_store", lambda location: self.store)
        monkeypatch.setattr(rooms, "open_transport", lambda service: self.transport)
        self.opened = []

    def now(self):
        return START + timedelta(seconds=self.clock.now - 1000)

    def session(self, *streams, settings=SETTINGS):
        self.transport = ScriptedTransport(self.clock, *streams)
        self.opened.append(Session(settings, MEMBER, Counters(), self.stopping))
        return self.opened[-1]

    def segments(self):
        return [segment for _, segment in journal.read(self.store, self.store.keys("journal/"))]

    def gaps(self):
        return list(positions.gaps(self.store))


def asked(request):
    return v0.SubscribeEventsRequest.FromString(request)


def payloads(received):
    return [each.payload for each in received]


def quiet(session, world, seconds, step=0.5):
    """Asks for so long; leaves word as `Subscribe` does. Returns when it left word."""
    beats, ends = [], world.clock.now + seconds
    while world.clock.now < ends:
        if not session.receive(step) and session.heartbeat_due:
            session.journal([])
            beats.append(world.clock.now)
    return beats
