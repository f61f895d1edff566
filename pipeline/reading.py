"""Opens a lake to look at it: nothing is created, and a missing one is said to be missing."""

from pipeline.config import Config
from pipeline.errors import LakeError
from pipeline.store import Store, open_store


def open_to_read(config: Config) -> Store:
    """The store of a lake that is there. Raises LakeError naming the fix."""
    store = open_store(config.lake)
    try:
        store.check(writes=False)
    except LakeError as error:
        raise LakeError(f"{error}; --lake names another") from error
    return store
