"""What runs where: child processes here, jobs on a cluster; and what is said of them meanwhile.

Promise: a child that dies is started again; a stop drains in the order in which events flow, and loses nothing.
Open first: `supervisor.py` (the commands `run` and `ingest`), then `works.py` (what each child does); `publishing.py`
is the command `publish`.
May import: flows and everything below them, ask and audit to show what was done, the sandbox to run one inside.
"""
