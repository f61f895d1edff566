"""Talking to the event service: byte streams and calls, tokens, and why a connection cannot work.

Promises: payloads stay raw bytes; whatever goes wrong ends a stream or a call with a code, and nothing blocks
longer than it says (`transport.py`).
Open first: `transport.py` (the seam), then `open.py` (which client keeps it).
May import: events, errors, logs; never lake.
"""
