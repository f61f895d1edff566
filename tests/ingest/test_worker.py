"""What outlives bundles: one session for a member of a process, closed when nobody asks for it any more."""

import itertools
import multiprocessing
import os
import pickle
import threading

import pytest
from memory_store import MemoryStore
from patience import PATIENCE_SECONDS, wait_until
from scripted_transport import Clock, ScriptedTransport
from wgtwo_pipeline.events import api
from wgtwo_pipeline.ingest import session, worker
from wgtwo_pipeline.ingest.session import Session
from wgtwo_pipeline.ingest.settings import IngestSettings, Member
from wgtwo_pipeline.ingest.worker import Worker
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.service.settings import OAuth, Secret, Service

SECRET = Service("localhost:1", oauth=OAuth("http://localhost/token", "id", Secret("hidden-value"), ("a",)))
TERMS = api.Terms(("sms",), "queue", "durable", 4, 30)
SETTINGS = IngestSettings(SECRET, LakeLocation("memory"), TERMS, api.Start())
MEMBER = Member(api.V0, "v0.test", 0)


@pytest.fixture
def transports(monkeypatch):
    opened = []

    def open_transport(service):
        opened.append(ScriptedTransport())
        return opened[-1]

    store = MemoryStore()
    monkeypatch.setattr(session, "open_store", lambda location: store)
    monkeypatch.setattr(session, "open_transport", open_transport)
    monkeypatch.setattr(worker, "_WATCH_SECONDS", 0.01)
    return opened


@pytest.fixture
def process(transports):
    made = Worker()
    yield made
    made.stopping.set()
    made.close()


def test_a_member_has_one_session(process, transports):
    """Whoever asks, with whatever copy of the settings: a runner pickles them, and the secret stays behind."""
    copy = pickle.loads(pickle.dumps(SETTINGS))
    assert b"hidden-value" not in pickle.dumps(SETTINGS)
    assert process.session(SETTINGS, MEMBER) is process.session(copy, pickle.loads(pickle.dumps(MEMBER)))
    assert len(transports) == 1


def test_members_and_lakes_have_sessions_of_their_own(process, transports):
    """Another member, or the same of another lake."""
    other = Member(api.V0, "v0.test", 1)
    elsewhere = IngestSettings(SECRET, LakeLocation("other"), TERMS, api.Start())
    found = {
        id(process.session(*each)) for each in ((SETTINGS, MEMBER), (SETTINGS, other), (elsewhere, MEMBER))
    }
    assert len(found) == len(transports) == 3


def test_threads_that_ask_at_once_get_the_same_session(process, transports):
    """No second connection by chance."""
    barrier, found = threading.Barrier(8), []

    def ask():
        barrier.wait()
        found.append(process.session(SETTINGS, MEMBER))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(map(id, found))) == len(transports) == 1


def test_an_abandoned_session_is_closed_and_opened_anew(process, transports, monkeypatch, caplog):
    """Its stream ends, so that its events go to another member; whoever asks later gets a new one."""
    monkeypatch.setattr(IngestSettings, "abandon_seconds", 0.1)
    first = process.session(SETTINGS, MEMBER)
    wait_until(lambda: transports[0].closed)
    assert "closing member 0" in caplog.text
    monkeypatch.setattr(IngestSettings, "abandon_seconds", 100.0)
    assert process.session(SETTINGS, MEMBER) is not first
    assert len(transports) == 2


def test_a_session_that_is_asked_for_stays(process, transports, monkeypatch):
    """Each call of the runner counts, also one that only acks."""
    clock, looks = Clock(), itertools.count()
    abandoned = Session.abandoned.fget
    monkeypatch.setattr(session, "time", clock)
    monkeypatch.setattr(IngestSettings, "abandon_seconds", 100.0)
    monkeypatch.setattr(Session, "abandoned", property(lambda self: (next(looks), abandoned(self))[1]))
    first = process.session(SETTINGS, MEMBER)
    for _ in range(5):
        clock.now += 90
        assert process.session(SETTINGS, MEMBER) is first
        seen = next(looks)
        wait_until(lambda seen=seen: next(looks) > seen + 2, what="the watcher looks")
        assert not transports[0].closed
    clock.now += 101
    wait_until(lambda: transports[0].closed)


def test_closing_closes_every_session(process, transports):
    """And may be done again."""
    process.session(SETTINGS, MEMBER)
    process.close()
    process.close()
    assert transports[0].closed


def test_a_process_has_one_worker():
    """The same at each call, from each thread."""
    found = [worker.worker()]
    thread = threading.Thread(target=lambda: found.append(worker.worker()))
    thread.start()
    thread.join()
    assert found[0] is found[1] is worker.worker()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_child_gets_its_own_and_leaves_the_parent_s_alone(transports, monkeypatch):
    """Neither its start nor its end touches the parent's sessions."""
    monkeypatch.setattr(worker, "_workers", {})
    parent = worker.worker()
    parent.session(SETTINGS, MEMBER)
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def child():
        mine = worker.worker()
        theirs.send((mine is parent, bool(mine._sessions)))
        worker._close(parent, os.getppid())  # what atexit does with what the parent has registered
        theirs.send(transports[0].closed)

    forked = context.Process(target=child)
    forked.start()
    forked.join(PATIENCE_SECONDS)
    assert forked.exitcode == 0
    assert ours.recv() == (False, False)
    assert ours.recv() is False
    assert worker.worker() is parent
    parent.stopping.set()
    parent.close()
