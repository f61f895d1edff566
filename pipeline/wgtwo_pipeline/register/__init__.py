"""manifests and receipts ─► an Iceberg commit: the tables as a catalog shows them, a function of the epochs' log.

Promise: every snapshot shows the rows of the epochs up to one number, each once; it may be killed, doubled or
deleted and done again; it never stands in the way of publish or ack. Only here is pyiceberg imported.
Open first: `register.py` (the steps), then `lake_catalog.py` (a commit is one put-if-absent).
May import: lake, events, errors, logs.
"""
