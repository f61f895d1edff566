"""Any step can be the last: the world is stopped at steps of every kind, and the promises are checked.

The real rooms run in a scripted world (`world.py`); what they leave is judged by code that shares nothing with
them (`checker.py`). Here a part of all stops, `test_every_step.py` and `test_every_zombie.py` have them all.
"""

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from mutants import LOSES_AN_OUTPUT, MUTANTS
from plan import FAULTS, ZIGZAG, Fault
from runs import announce, broken, every
from stories import ASLEEP, BACKLOG, PLAIN, SMALL, STORIES, faults, told, zombies
from world import World

STORY_NAMES = [story.name for story in STORIES]


@pytest.mark.parametrize("story", STORIES, ids=STORY_NAMES)
def test_undisturbed(story):
    """A story that nothing disturbs keeps every promise, and is the same each time it is told."""
    assert told(story) == told(story)


@pytest.mark.parametrize("at", range(len(STORIES)), ids=STORY_NAMES)
def test_a_process_dies_or_an_answer_is_lost(at, capsys):
    """Whatever dies or is lost at a step, a fresh start runs to the end with all promises kept."""
    struck, found = broken(STORIES[at], every(faults(told(STORIES[at])), 47, at))
    announce(capsys, f"{STORIES[at].name}: stopped at {struck} steps")
    assert not found


@pytest.mark.parametrize("at", range(len(STORIES)), ids=STORY_NAMES)
def test_a_zombie_goes_on(at, capsys):
    """A process that freezes at a step, and goes on beside or after its successor, breaks no promise."""
    struck, found = broken(STORIES[at], every(zombies(told(STORIES[at]), (2, 21, None)), 293, at))
    announce(capsys, f"{STORIES[at].name}: {struck} zombies")
    assert not found


def plans(most_steps=250):
    """Several things that go wrong in one run, at any step; what does not fit a step's kind does not happen."""
    whats = st.sampled_from(["freeze", "again", *sorted({what for each in FAULTS.values() for what in each})])
    return st.dictionaries(
        st.integers(0, most_steps),
        st.builds(
            Fault,
            what=whats,
            resume=st.none() | st.integers(1, 90),
            way=st.sampled_from(["", ZIGZAG]),
            all=st.booleans(),
            pause=st.sampled_from([0.0, 0.0, 0.0, 31.0, 2400.0]),
        ),
        min_size=2,
        max_size=6,
    )


@given(story=st.sampled_from(STORIES[:-1]), plan=plans())
@example(story=BACKLOG, plan=ASLEEP)
@settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_several_things_go_wrong(story, plan):
    """Several deaths, zombies and lost answers in one run break no promise together, either."""
    assert World(story, plan).run() == []


@pytest.mark.parametrize("mutant", MUTANTS, ids=str)
def test_a_planted_bug_is_found(mutant):
    """Each bug that someone might write into a room is seen by the checker."""
    assert mutant.found()


def test_an_output_lost_by_the_runner_is_not_committed():
    """Where a runner loses an output, the accounting refuses to commit, and publishing again makes it whole."""
    assert World(PLAIN, mutate=LOSES_AN_OUTPUT).run() == []


@pytest.mark.parametrize("story", [PLAIN, SMALL], ids=["plain", "small"])
def test_on_beams_runner_the_same(story):
    """What the rooms publish when called directly is what Beam's in-process runner publishes, byte for byte."""

    def tables(world):
        assert world.run() == []
        return {
            key: item.data
            for key, item in world.bucket.objects.items()
            if key.startswith(("tables/", "quarantine/"))
        }

    assert tables(World(story, on_beam=True)) == tables(World(story))
