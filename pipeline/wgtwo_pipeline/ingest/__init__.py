"""subscribe ─► journal ─► ack: what comes is durable before it is acknowledged.

Promise: ack last; everything here may be killed at any instruction, and costs redeliveries only.
Open first: `session.py` (one member's stream, journal and acks), then `subscribe.py` (its rooms in Beam).
`worker.py` is the only global state of the project.
May import: service, lake, events, errors, logs.
"""
