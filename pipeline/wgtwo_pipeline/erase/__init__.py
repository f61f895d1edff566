"""plan ─► rewrite ─► receipt: what a request names leaves tables, quarantine and retained copies.

Promise: at every moment every other event is in one row; a redo, and a second eraser, find what is left to do.
Open first: `rooms.py` (the rooms as Beam DoFns), then `rewrite.py` (one object), `requests.py` (who is to be erased).
May import: lake, events, errors, logs.
"""
