"""The conditions of a run's end: a time to run, a number of events, silence."""

from types import SimpleNamespace

import pytest
from wgtwo_pipeline.run import conditions as module
from wgtwo_pipeline.run.conditions import Conditions
from wgtwo_pipeline.run.config import Stopping


@pytest.fixture
def clock(monkeypatch):
    scripted = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: scripted.now))
    return scripted


def conditions(**wanted):
    defaults = {"run_for_seconds": None, "max_events": None, "until_idle_seconds": None}
    return Conditions(Stopping(**(defaults | wanted)))


def test_without_a_condition_it_goes_on(clock):
    """For ever."""
    watch = conditions()
    clock.now += 1e9
    assert not watch.reached(1e12, 1e12, busy=False, listening=True)


def test_a_time_to_run_counts_from_when_all_listen(clock):
    """Or from half a minute after the start."""
    watch = conditions(run_for_seconds=10)
    clock.now += 8
    assert not watch.reached(0, 0, busy=True, listening=False)
    assert not watch.reached(0, 0, busy=False, listening=True)
    clock.now += 9.9
    assert not watch.reached(0, 0, busy=False, listening=True)
    clock.now += 0.2
    assert watch.reached(0, 0, busy=False, listening=True)


def test_imports_do_not_use_up_the_time_to_run(clock):
    """The half minute in which all must listen begins when all are there; at some time that has had its time, too."""
    watch = conditions(run_for_seconds=10)
    for _ in range(5):
        clock.now += 50
        assert not watch.reached(0, 0, busy=True, listening=False, there=False)
    clock.now += 29
    assert not watch.reached(0, 0, busy=True, listening=False)
    clock.now += 9.9
    assert not watch.reached(0, 0, busy=True, listening=False)
    clock.now += 0.2
    assert watch.reached(0, 0, busy=True, listening=False)
    never_there = conditions(run_for_seconds=10)
    clock.now += 300
    assert never_there.reached(0, 0, busy=True, listening=False, there=False)


def test_so_many_events_are_enough(clock):
    """Journaled ones count."""
    watch = conditions(max_events=10)
    assert not watch.reached(9, 100, busy=False, listening=True)
    assert watch.reached(10, 100, busy=False, listening=True)


def test_idle_means_that_nothing_comes_and_nothing_is_in_hand(clock):
    """Each delivery, and whatever is not acked yet, begins the time anew."""
    watch = conditions(until_idle_seconds=5)
    for received, busy in ((0, True), (1, False), (2, False), (2, True)):
        clock.now += 4
        assert not watch.reached(received, received, busy=busy, listening=True)
    clock.now += 4.9
    assert not watch.reached(2, 2, busy=False, listening=True)
    clock.now += 0.2
    assert watch.reached(2, 2, busy=False, listening=True)
