"""What people ask of the lake: SQL and status, and how answers are shown.

Promise: nothing is changed; what is asked shows one moment of the lake.
Open first: `query.py`, then `views.py` (the lake as DuckDB views); `status.py` is by itself.
May import: lake, events, errors, logs.
"""
