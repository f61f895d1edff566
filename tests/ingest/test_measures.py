"""What ingest measures besides counts: by code, how long things take, and what is wrong right now."""

from hypothesis import given
from hypothesis import strategies as st
from wgtwo_pipeline.ingest.counters import Counters
from wgtwo_pipeline.ingest.measures import Measures
from wgtwo_pipeline.metrics.table import ACK_BOUNDS


@given(st.lists(st.tuples(st.floats(0, 100), st.integers(1, 50))))
def test_each_observation_is_in_one_bucket(observed):
    """The first whose bound it does not exceed; beyond all bounds in the last; the sum is exact."""
    measures = Measures()
    for seconds, times in observed:
        measures.observe("delivery_to_ack", seconds, times)
    found = measures.facts()["delivery_to_ack"]
    expected = [0] * (len(ACK_BOUNDS) + 1)
    for seconds, times in observed:
        place = next((n for n, bound in enumerate(ACK_BOUNDS) if seconds <= bound), len(ACK_BOUNDS))
        expected[place] += times
    assert found["counts"] == expected
    assert abs(found["sum"] - sum(seconds * times for seconds, times in observed)) < 1e-6


def test_failed_acks_are_told_by_code_and_until_one_succeeds():
    """So that whoever asks knows why nothing is acked, and no longer once it is."""
    measures = Measures()
    measures.acks_ended(0, ["UNAVAILABLE", "UNAVAILABLE", "DEADLINE_EXCEEDED"])
    facts = measures.facts()
    assert facts["failed_acks"] == {"UNAVAILABLE": 2, "DEADLINE_EXCEEDED": 1}
    assert facts["problems"] == {"acks": "the last acks failed (DEADLINE_EXCEEDED, UNAVAILABLE)"}
    measures.acks_ended(0, [])
    assert measures.facts()["problems"], "a group without acks says nothing"
    measures.acks_ended(1, ["UNAVAILABLE"])
    assert measures.facts()["problems"] == {}
    assert measures.facts()["failed_acks"]["UNAVAILABLE"] == 3


def test_what_is_in_flight_is_what_was_taken_and_not_settled():
    """By deliveries; and each that was acked is in the histogram once."""
    counters = Counters()
    first, second = counters.took(3, 1_000_000), counters.took(2, 1_000_000)
    assert counters.facts()["in_flight"] == 5
    counters.settled(first, 2, 1)
    assert counters.facts()["in_flight"] == 2
    counters.settled(second, 2, 0)
    facts = counters.facts()
    assert facts["in_flight"] == 0
    assert sum(facts["delivery_to_ack"]["counts"]) == facts["acked"] == 4
