"""A scripted world for a member's session."""

import pytest
from one_member import World


@pytest.fixture
def world(monkeypatch):
    made = World(monkeypatch)
    yield made
    for session in made.opened:
        session.close()
