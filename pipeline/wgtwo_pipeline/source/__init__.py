"""The lake as a source in somebody else's Beam graph: the runner's state holds a position in the epochs' log.

Promises: rows of tables exactly once for each element of the graph, deliveries of the journal at least once, nothing
skipped without a sentence; nothing here changes the lake but `read_events.py`, which ingests.
Open first: `../beam.py` (what its users import), `read_lake.py`, `read_journal.py`.
May import: all but beam; of what stands above `lake`, only `read_events.py` does.
"""
