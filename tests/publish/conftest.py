"""A lake in a folder; a process that helps."""

import pytest
from local_lake import store
from wgtwo_pipeline.publish import shard
from wgtwo_pipeline.publish.helper import Helper

__all__ = ["helper", "store"]


@pytest.fixture
def helper():
    """One that has been started."""
    with Helper(shard.prepare, "text", "warning") as made:
        yield made
