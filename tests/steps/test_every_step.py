"""Every step can be the last: the world is stopped at each step in turn, in each way."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import announce, broken
from stories import STORIES, faults, told
from test_steps import STORY_NAMES, plans
from world import World

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("story", STORIES, ids=STORY_NAMES)
def test_every_stop(story, capsys):
    """Each death and each lost answer at each step: a fresh start runs to the end with all promises kept."""
    struck, found = broken(story, faults(told(story)))
    announce(capsys, f"{story.name}: stopped at {struck} steps")
    assert not found


@given(story=st.sampled_from(STORIES[:-1]), plan=plans())
@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
def test_many_things_go_wrong(story, plan):
    """Many sequences of deaths, zombies and lost answers break no promise."""
    assert World(story, plan).run() == []
