"""Installs a Python with what Dataflow needs into `.tools`, once: 0.6 GB, with pins that others here refuse."""

import contextlib
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LOCK = ROOT / "requirements-worker.lock"


def dataflow_python() -> Path:
    """Its interpreter, with what a worker has and `apache-beam[gcp]`; the folder appears whole."""
    found = re.search(r"^apache-beam==(\S+)", LOCK.read_text(), re.MULTILINE)
    assert found
    home = ROOT / ".tools" / f"dataflow-{found[1]}"
    if not home.exists():
        home.parent.mkdir(exist_ok=True)
        uv = Path(sys.executable).parent / "uv"
        with tempfile.TemporaryDirectory(dir=home.parent) as work:
            made = Path(work) / "venv"
            subprocess.run([uv, "venv", "-q", "--seed", "--python", sys.executable, made], check=True)
            wanted = [f"apache-beam[gcp]=={found[1]}", "-r", str(LOCK)]
            subprocess.run([uv, "pip", "install", "-q", "--python", made / "bin/python", *wanted], check=True)
            with contextlib.suppress(OSError):  # another process was faster
                made.rename(home)
    return home / "bin" / "python"
