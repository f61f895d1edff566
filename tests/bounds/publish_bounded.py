"""`wgtwo-pipeline publish` with epochs of at most so many rows: for tests, which have no time for many real ones."""

import sys

from wgtwo_pipeline.run import memory

memory.keep_little()

from wgtwo_pipeline.cli.main import main  # noqa: E402
from wgtwo_pipeline.lake import epochs  # noqa: E402 - as the command does

if __name__ == "__main__":
    bounded = epochs.Limits(rows=int(sys.argv[1]))
    epochs.Limits = lambda: bounded  # type: ignore[assignment, misc]
    sys.exit(main(["publish", *sys.argv[2:]]))
