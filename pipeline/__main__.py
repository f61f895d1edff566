"""`python -m pipeline` and the script `wgtwo-pipeline`."""

import os
import sys

# gRPC's core writes its own lines to standard error (handshakes, GOAWAY); what matters comes as an error anyway.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from pipeline.cli import main

if __name__ == "__main__":
    sys.exit(main())
