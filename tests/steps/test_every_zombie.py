"""At every step a process can freeze, and go on when others have taken over: all of it, on a worker of its own."""

import pytest
from runs import announce, broken, every
from stories import STORIES, told, zombies
from test_steps import STORY_NAMES

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(1800)]


@pytest.mark.parametrize("at", range(len(STORIES)), ids=STORY_NAMES)
def test_every_zombie(at, capsys):
    """A process frozen at each step, going on a little, half way or wholly later, at once or in turns."""
    story = STORIES[at]
    struck, found = broken(story, every(zombies(told(story), (1, 4, 12, 30, 60, None)), 7, at))
    announce(capsys, f"{story.name}: {struck} zombies")
    assert not found
