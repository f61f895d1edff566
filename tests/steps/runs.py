"""Many runs at once, and what is said of them."""

import sys

from world import World


def broken(story, plans):
    """Runs a story under each plan; returns how many of them struck, and what was broken under which plan."""
    struck, found = 0, {}
    for plan in plans:
        world = World(story, plan)
        violations = world.run()
        struck += bool(world.hit)
        if violations:
            found[str(plan)] = violations[:3]
    return struck, found


def announce(capsys, text):
    """Prints a line although pytest captures what tests print."""
    with capsys.disabled():
        sys.stderr.write(f"\n{text}\n")


def every(plans, stride, start=0):
    """A part of the plans, of every kind and from every part of the story."""
    return plans[start % stride :: stride]
