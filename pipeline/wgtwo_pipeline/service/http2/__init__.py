"""HTTP/2 (RFC 9113) as a gRPC client needs it, without I/O: bytes in, bytes out.

Promises: what the server sends is held against the RFC, and all that is kept is bounded, whatever it sends.
Open first: `connection.py` (the automaton), then `outbox.py` (what waits to be sent), `headers.py` (header
blocks) and `frames.py` (the rules of single frames).
May import: nothing of the project.
"""
