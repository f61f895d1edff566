"""Proves that every journaled event is published, a duplicate, quarantined or erased, once; says where it is not.

Promise: believes no count that it can recompute; changes nothing; memory does not grow with the lake.
Open first: `audit.py` (the order of the looks), then `epochs.py` (the ledger that the others check against).
May import: lake, events, errors, logs.
"""
