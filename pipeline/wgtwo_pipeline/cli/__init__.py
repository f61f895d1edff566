"""The command line: what was typed, checked once, becomes a frozen configuration; how it ends is an exit code.

Open first: `options.py` (the one table of options), then `main.py` (a command and its exit code) and `build.py` (what
cannot work together is refused with its origin and its fix).
May import: everything.
"""
