"""seal ─► decode ─► deduplicate ─► write ─► commit: an epoch becomes table files and a manifest.

Promise: a function of the seal; redone, or done twice at once, it gives the same objects under the same names.
Open first: `rooms.py` (the rooms as Beam DoFns), then `write.py` (rows → Parquet).
May import: lake, events, errors, logs.
"""
