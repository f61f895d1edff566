"""Fixtures: a lake in a folder, and what a graph on Beam's in-process runner gives."""

from local_lake import run, store

__all__ = ["run", "store"]
