"""The lakes of these tests are made as those of the benchmarks are."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
