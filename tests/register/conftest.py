"""A lake in memory that the real rooms of publish fill."""

import lakes
import pytest
from memory_store import MemoryStore
from wgtwo_pipeline.lake import epochs
from wgtwo_pipeline.publish import rooms


@pytest.fixture
def empty(monkeypatch):
    """A lake in which nothing is."""
    epochs.sealed.cache_clear()
    store = MemoryStore()
    monkeypatch.setattr(rooms, "open_store", lambda _: store)
    return store


@pytest.fixture
def store(empty):
    """A lake of two days, three tables and two epochs."""
    lakes.lake_of_two_days(empty)
    return empty
