"""Talking to the event service: byte streams and calls, tokens, and why a connection cannot work.

Promises: payloads stay raw bytes; whatever goes wrong ends a stream or a call with a code, and nothing blocks
longer than it says (`transport.py`).
Open first: `transport.py` (the seam) and `open.py` (what stands behind it): `authorized.py` makes a transport of a
client (`client.py`). Ours is `http2_client.py` on top of `channel.py` (a thread that owns the connection), `calls.py`
and `http2/` (the protocol, without I/O); the other one is `grpcio_client.py`.
May import: events, errors, logs; never lake.
"""
