"""The events that the sandbox makes up: which kinds there are, how each looks, and its bytes. Pure.

Promise: event i of a seed is always the same, but for its timestamp.
Open first: `kinds.py` (the one table of kinds), then `make.py` (an event of each) and `fiction.py` (of what).
May import: the generated stubs.
"""
