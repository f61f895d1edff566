"""A lake in a folder, and the command line as a function."""

from local_lake import run, store

__all__ = ["run", "store"]
