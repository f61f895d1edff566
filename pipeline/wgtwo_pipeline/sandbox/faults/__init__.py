"""What goes wrong on purpose, beyond what the broker can refuse, drop or hold back by itself.

Promise: nothing happens unless it is asked for; which event or connection is struck, the caller decides.
Open first: `malform.py` (bytes that a client must survive), then `reset.py` (connections that break off).
May import: the sandbox's events.
"""
