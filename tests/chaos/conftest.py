"""These tests share what a lake must hold with the end to end tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "e2e"))
