"""The measurements that the README states, one after the other; the long ones are begun by hand (`bounds.py`,
`compaction.py`, `erase.py`). What is given goes to all but the last. Keep the machine otherwise idle.
"""

import subprocess
import sys
from pathlib import Path

given = sys.argv[1:]
measured = ("ingest.py", "publish.py", "beam_source.py", "start.py")
runs = {**dict.fromkeys(measured, given), "files.py": ["--events", "300000"]}
for name, arguments in runs.items():
    subprocess.run([sys.executable, str(Path(__file__).parent / name), *arguments], check=True)
