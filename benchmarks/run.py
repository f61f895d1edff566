"""All measurements that the README states, one after the other. Keep the machine otherwise idle."""

import subprocess
import sys
from pathlib import Path

for name in ("ingest.py", "publish.py", "beam_source.py"):
    subprocess.run([sys.executable, str(Path(__file__).parent / name), *sys.argv[1:]], check=True)
