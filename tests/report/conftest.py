"""A small lake in a folder, as `tests/lakes.py` makes them, and the command line as a function."""

from local_lake import run, store

__all__ = ["run", "store"]
