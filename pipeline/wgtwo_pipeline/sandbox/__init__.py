"""A stand-in for wgtwo's event service, for trying the pipeline out and for testing it.

Promise: v0 and v1 behave as the wire contract says, and go wrong only where that was asked for.
Open first: `server.py` (what is served where), then `broker/` (who gets which event, and again when).
May import: errors, logs; never what the pipeline does with the events.
"""
