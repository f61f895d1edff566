"""Bugs that a reasonable person might have written into calls and the channel: the tests find each of them."""

import time

import hands as server
import pytest
import test_channel as tests
from wgtwo_pipeline.service.calls import Calls
from wgtwo_pipeline.service.channel import Channel, Connection
from wgtwo_pipeline.service.http2_client import _Reading
from wgtwo_pipeline.service.transport import CallResult


def lose_what_goaway_refuses(patches):
    """A call that was refused counts as made."""
    patches.setattr(Calls, "refused", lambda self, index, why: self.settle(index, CallResult("OK", "", b"")))


def settle_before_the_answer(patches):
    """What was sent counts as answered."""
    original = Calls.open

    def open_all(self, connection):
        done = original(self, connection)
        self._end_with("OK", "")
        return done

    patches.setattr(Calls, "open", open_all)


def go_on_after_goaway(patches):
    """The old connection stays the one to use."""
    patches.setattr(Connection, "usable", property(lambda self: True))


def never_give_back(patches):
    """A stream's window is used up once."""
    patches.setattr(_Reading, "_give_back", lambda self: None)


def give_back_for_nobody(patches):
    """Also when nobody takes what was read."""
    patches.setattr(_Reading, "resume", lambda self: None)


def stay_with_the_silent(patches):
    """Calls go on over a connection that answers nothing."""
    patches.setattr(Channel, "suspect", lambda self, connection: None)


def ping_nobody(patches):
    """Silence is not looked into."""
    patches.setattr(Channel, "_ping", lambda self, connection: None)


def cut_off_the_old(patches):
    """A connection that is going away ends at once."""
    original = Connection.receive

    def receive(self):
        original(self)
        if self.http.spent:
            raise OSError("it goes away")

    patches.setattr(Connection, "receive", receive)


BUGS = [
    (lose_what_goaway_refuses, tests.test_goaway_loses_no_call),
    (settle_before_the_answer, tests.test_goaway_loses_no_call),
    (go_on_after_goaway, tests.test_goaway_loses_no_call),
    (never_give_back, tests.test_a_receiver_that_does_not_come_stops_the_server),
    (give_back_for_nobody, tests.test_a_receiver_that_does_not_come_stops_the_server),
    (stay_with_the_silent, tests.test_calls_that_find_silence_leave_a_stream_where_it_is),
    (ping_nobody, tests.test_calls_that_find_silence_leave_a_stream_where_it_is),
    (cut_off_the_old, tests.test_a_stream_outlives_goaway),
]


@pytest.mark.parametrize(("plant", "test"), BUGS)
def test_a_planted_bug_is_found(plant, test, hands, open_http2, monkeypatch):
    """Without it the test passes, with it it fails, in the end by waiting for what does not come."""
    for module in (server, tests):
        monkeypatch.setattr(module, "PATIENCE_SECONDS", 2.0)
    monkeypatch.setattr(tests, "wait_until", soon)
    plant(monkeypatch)
    with pytest.raises(BaseException):  # noqa: B017, PT011  # however it shows
        test(hands, open_http2)


def soon(condition):
    deadline = time.monotonic() + 2
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
