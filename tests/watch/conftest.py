"""A small lake in a folder, as `tests/lakes.py` makes them."""

import local_lake

store = local_lake.store
