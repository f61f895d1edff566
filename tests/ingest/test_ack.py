"""Acks go out in the background, are tried again at once, and hold up neither the journal nor a stop."""

import threading
import time

import pytest
from patience import PATIENCE_SECONDS, wait_until
from scripted_transport import ScriptedTransport
from wgtwo.events.v0 import events_pb2 as v0
from wgtwo.events.v1 import events_pb2 as v1
from wgtwo_pipeline.events import api
from wgtwo_pipeline.ingest.ack import Acker
from wgtwo_pipeline.ingest.counters import Counters
from wgtwo_pipeline.service.transport import CallResult

HANDSETS = next(method for method in api.V1 if method.name == "StreamHandsetChangeEvents")
OK = CallResult("OK", "", b"")


def delivery(number):
    response = v0.SubscribeEventsResponse()
    response.event.metadata.sequence = number
    return response.SerializeToString()


def sequences(requests):
    return [v0.AckRequest.FromString(request).sequence for request in requests]


class Acks:
    """An acker, its transport and its counters."""

    def __init__(self, method=api.V0):
        self.transport, self.counters = ScriptedTransport(), Counters()
        self.acker = Acker(self.transport, method, 3.0, self.counters)

    def ack(self, *payloads):
        self.acker.ack(self.counters.took(len(payloads), time.time_ns() // 1000), payloads)

    def settle(self):
        wait_until(lambda: not self.counters.snapshot()["oldest_unacked_seconds"])
        counts = self.counters.snapshot()
        return counts["acked"], counts["acks_failed"]


@pytest.fixture
def acks():
    made = Acks()
    yield made
    made.acker.close()


def test_a_group_is_acked_by_one_call_of_the_transport(acks):
    """All its acks at once, each with what its delivery says."""
    acks.ack(*(delivery(number) for number in range(1, 6)))
    assert acks.settle() == (5, 0)
    assert [sequences(requests) for requests in acks.transport.called] == [[1, 2, 3, 4, 5]]


def test_only_what_failed_is_tried_again(acks):
    """At once, a few times; then it counts as acked."""
    refusals = {2: 1, 3: 2}

    def answer(request):
        (sequence,) = sequences([request])
        refusals[sequence] = refusals.get(sequence, 0) - 1
        return OK if refusals[sequence] < 0 else CallResult("UNAVAILABLE", "", None)

    acks.transport.answer = answer
    acks.ack(*(delivery(number) for number in range(1, 5)))
    assert acks.settle() == (4, 0)
    assert [sequences(requests) for requests in acks.transport.called] == [[1, 2, 3, 4], [2, 3], [3]]


def test_what_is_refused_for_good_is_left_to_the_server(acks):
    """After three tries: the event comes again. Others go on."""
    acks.transport.answer = lambda request: (
        CallResult("PERMISSION_DENIED", "", None) if sequences([request]) == [2] else OK
    )
    acks.ack(delivery(1), delivery(2))
    assert acks.settle() == (1, 1)
    assert [sequences(requests) for requests in acks.transport.called] == [[1, 2], [2], [2]]


def test_a_lost_answer_is_not_waited_for_again(acks):
    """It may well have counted; another wait would hold up the next."""
    acks.transport.answer = lambda request: CallResult("DEADLINE_EXCEEDED", "", None)
    acks.ack(delivery(1))
    assert acks.settle() == (0, 1)
    assert len(acks.transport.called) == 1


def test_one_lost_answer_does_not_hold_up_the_others(acks):
    """While one group waits for its answers, the next is sent."""
    asked, lost = threading.Event(), threading.Event()

    def answer(request):
        if sequences([request]) == [1]:
            asked.set()
            lost.wait(PATIENCE_SECONDS)
        return OK

    acks.transport.answer = answer
    acks.ack(delivery(1))
    assert asked.wait(PATIENCE_SECONDS)
    for number in range(2, 12):
        acks.ack(delivery(number))
    wait_until(lambda: acks.counters.snapshot()["acked"] == 10)
    lost.set()
    assert acks.settle() == (11, 0)


def test_what_comes_meanwhile_waits_for_nothing(acks):
    """Where answers are slow, small groups do not wait for each other; each failure is counted where it belongs."""
    asked, answered = threading.Barrier(2), {1: threading.Event(), 2: threading.Event()}

    def answer(request):
        (number,) = sequences([request])
        if number in answered:
            asked.wait(PATIENCE_SECONDS)
            answered[number].wait(PATIENCE_SECONDS)
        return CallResult("PERMISSION_DENIED", "", None) if number == 5 else OK

    acks.transport.answer = answer
    for number in answered:
        acks.ack(delivery(number))
        asked.wait(PATIENCE_SECONDS)
    for number in range(3, 8):
        acks.ack(delivery(number))
    answered[1].set()
    wait_until(lambda: acks.counters.snapshot()["acks_failed"] == 1)
    answered[2].set()
    assert acks.settle() == (6, 1)
    assert sorted(map(sequences, acks.transport.called)) == [[1], [2], [3], [4], [5], [5], [5], [6], [7]]


def test_failures_are_told_at_powers_of_two(acks, caplog):
    """A service that refuses every ack fills no log; codes and details are told, nobody's number is."""
    acks.transport.answer = lambda request: CallResult("PERMISSION_DENIED", "no +4712345678", None)
    for number in range(1, 21):
        acks.ack(delivery(number))
        acks.settle()
    lines = [record.getMessage() for record in caplog.records]
    assert lines == ["1 acks failed (PERMISSION_DENIED × 1: no +…); their events will come again"] * 5


def test_after_a_success_the_first_failure_is_told_again(acks, caplog):
    """So that a new fault is noticed."""
    good = OK
    for answer in [CallResult("ABORTED", "", None)] * 3 + [good] + [CallResult("ABORTED", "", None)]:
        acks.transport.answer = lambda request, answer=answer: answer
        acks.ack(delivery(1))
        acks.settle()
    assert len(caplog.records) == 3


def test_what_names_nothing_to_ack_is_counted(acks):
    """Such bytes are journaled all the same."""
    acks.ack(b"", delivery(1), b"\xff")
    assert acks.settle() == (1, 0)
    assert acks.counters.snapshot()["unackable"] == 2


def test_v1_may_refuse_in_an_answer(acks):
    """A status of its own inside an answer that is OK."""

    def answer(status):
        ack = v1.AckResponse(ack_status=v1.AckStatus(status_code=status))
        return lambda request: CallResult("OK", "", ack.SerializeToString())

    mine = Acks(HANDSETS)
    payload = b"\x0a\x08\x1a\x06\x0a\x04inbo"
    mine.transport.answer = answer(v1.AckStatus.STATUS_CODE_SUCCESS)
    mine.ack(payload)
    assert mine.settle() == (1, 0)
    mine.transport.answer = answer(v1.AckStatus.STATUS_CODE_UNSPECIFIED)
    mine.ack(payload)
    assert mine.settle() == (1, 1)
    mine.acker.close()


def test_an_error_of_the_transport_stops_nothing_that_comes_after(acks, caplog):
    """Later acks are sent; the error is told with its traceback, since it is nobody's fault but ours."""

    def raise_(*_):
        raise RuntimeError("a bug")

    works, acks.transport.start_many = acks.transport.start_many, raise_
    acks.ack(delivery(1))
    assert acks.settle() == (0, 1)
    acks.transport.start_many = works
    acks.ack(delivery(2))
    assert acks.settle() == (1, 1)
    assert "a bug" in caplog.text


def test_closing_waits_for_what_was_handed_in():
    """Every ack is answered when `close` returns."""
    mine = Acks()
    slow = threading.Event()
    mine.transport.answer = lambda request: slow.wait(0.02) or OK
    for number in range(1, 21):
        mine.ack(delivery(number))
    mine.acker.close()
    assert mine.counters.snapshot()["acked"] == 20


def test_closing_does_not_wait_for_ever(caplog):
    """A service that no longer answers holds up a stop for the given time only; that is told."""
    mine, never = Acks(), threading.Event()
    mine.transport.answer = lambda request: (never.wait(PATIENCE_SECONDS), OK)[1]
    for number in range(1, 5):
        mine.ack(delivery(number))
    started = time.monotonic()
    mine.acker.close(timeout_seconds=0.3)
    assert time.monotonic() - started > 0.25  # and it is over before the service answers
    assert "their events may come again" in caplog.text
    never.set()
