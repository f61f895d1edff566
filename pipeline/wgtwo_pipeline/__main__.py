"""`python -m wgtwo_pipeline` and the script `wgtwo-pipeline`."""

import os
import sys

from wgtwo_pipeline.run import memory

# gRPC's core writes its own lines to standard error (handshakes, GOAWAY); what matters comes as an error anyway.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
memory.keep_little()

from wgtwo_pipeline.cli.main import main  # noqa: E402 - nothing may import Arrow before

if __name__ == "__main__":
    sys.exit(main())
