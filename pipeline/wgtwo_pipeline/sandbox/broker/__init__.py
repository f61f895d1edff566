"""Who gets which event, and again when: channels, groups, positions, acks, tokens.

Promise: delivers as the wire contract says, and goes wrong only where `Faults` says so; belongs to one event loop.
Open first: `engine.py` (the rules, pure), then `core.py` (the engine with a clock, a maker and faults), `stream.py`
(one server stream). `state.py` tells what happened, for those who prove delivery.
May import: the sandbox's events, faults and options; errors.
"""
