"""A report of a lake for people: one page with plots, that stands alone and can be printed.

Promise: the lake is not changed; no personal data and no secret is on the page (`questions.py` says how); memory is
bounded, whatever the lake holds: rows are counted where they lie, epoch after epoch is added up.
Open first: `report.py` (the command), then `questions.py` (what is asked of the rows) and `epochs.py` (of manifests).
May import: ask, audit and lake.
"""
