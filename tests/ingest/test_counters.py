"""Counts of a process: exact whoever adds, and passed on once."""

import threading
import time

from hypothesis import given
from hypothesis import strategies as st
from wgtwo_pipeline.ingest.counters import ACKED, ACKS_FAILED, NAMES, RECEIVED, SEGMENTS, Counters


def test_every_count_is_there_from_the_start():
    """Also where nothing happened yet: readers need no defaults."""
    assert Counters().snapshot() == {**dict.fromkeys(NAMES, 0), "oldest_unacked_seconds": 0.0}


def test_threads_lose_no_count():
    """Many may add at once."""
    counters = Counters()
    threads = [
        threading.Thread(target=lambda: [counters.add(SEGMENTS) for _ in range(2000)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counters.snapshot()[SEGMENTS] == 8000


def test_the_oldest_delivery_in_hand_is_known():
    """Groups may be settled in any order."""
    counters, now_us = Counters(), time.time_ns() // 1000

    def passed():
        return time.time() - now_us / 1e6

    old, new = counters.took(3, now_us - 60_000_000), counters.took(2, now_us - 5_000_000)
    assert 60 <= counters.snapshot()["oldest_unacked_seconds"] <= 60 + passed()
    counters.settled(old, 2, 1)
    assert 5 <= counters.snapshot()["oldest_unacked_seconds"] <= 5 + passed()
    counters.settled(new, 2, 0)
    counts = counters.snapshot()
    assert (counts[RECEIVED], counts[ACKED], counts[ACKS_FAILED]) == (5, 4, 1)
    assert counts["oldest_unacked_seconds"] == 0


def test_a_clock_that_was_set_back_gives_no_negative_wait():
    """At least 0, whatever the machine's time does."""
    counters = Counters()
    counters.took(1, time.time_ns() // 1000 + 3_600_000_000)
    assert counters.snapshot()["oldest_unacked_seconds"] == 0


@given(steps=st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 9)) | st.none()))
def test_each_count_is_news_once(steps):
    """Whoever asks: what all have been told adds up to what was counted."""
    counters, told = Counters(), dict.fromkeys(NAMES, 0)
    for step in [*steps, None]:
        if step is None:
            for name, count in counters.news().items():
                told[name] += count
        else:
            counters.add(*step)
    assert told == {name: counters.snapshot()[name] for name in NAMES}
