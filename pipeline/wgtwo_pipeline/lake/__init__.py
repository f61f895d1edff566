"""What is stored, and where: objects that are created once, and what they say.

Promises: an object is created whole or not at all, durably, and changed only by replacing it as a whole (`store.py`);
an epoch is sealed by one put-if-absent and published by one manifest (`epochs.py`).
Open first: `store.py` (the seam: `local.py` and `s3.py` keep it, `open.py` chooses); `journal.py`; `epochs.py` (what
changes the lake) and `history.py` (what it holds).
May import: events, errors, logs; never service.
"""
