"""What the service's messages are, and how they become rows. Pure: no I/O, no Beam, no clock.

Open first: `tables.py` (descriptors → tables), then `decode.py` (payloads → rows or quarantine, never an exception).
`api.py` is the contract of both API versions: requests, acks, envelopes.
May import: errors, logs.
"""
