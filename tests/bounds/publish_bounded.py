"""`wgtwo-pipeline publish` with epochs of at most so many rows: for tests, which have no time for many real ones."""

import sys

from pipeline import epochs
from pipeline.cli import main

if __name__ == "__main__":
    bounded = epochs.Limits(rows=int(sys.argv[1]))
    epochs.Limits = lambda: bounded  # type: ignore[assignment, misc]
    sys.exit(main(["publish", *sys.argv[2:]]))
