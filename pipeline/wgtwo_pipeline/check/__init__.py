"""Tries out what a run needs, before it runs: a line for each thing, with ✓ or ✗, and with ✗ the fix.

Promise: nothing is acked, no event is taken from the queue's members, and the lake is left as it was, but for a probe
that is deleted (and a folder that is new). Every sentence is the one that a run would end with.
Open first: `check.py` (the command), then `storage.py`, `connection.py` and `cluster.py` (what is tried).
May import: run and what stands below it.
"""
