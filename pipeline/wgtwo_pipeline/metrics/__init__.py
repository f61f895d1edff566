"""The figures that the outside sees: which there are, and how they are written for Prometheus.

Promise: a figure that is not in the table cannot be shown; labels have bounded values and never name anybody.
Open first: `table.py` (every metric, once), then `samples.py` (values), `outcomes.py` and `textfile.py` (of jobs).
May import: machine, errors, logs.
"""
