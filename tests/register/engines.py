"""Engines that want a home of their own: DuckDB 1.5 with its Iceberg extension, and Spark with Iceberg's runtime.

DuckDB 2 has no such extension yet, and Iceberg's runtime is for an older Spark than the other tests read with. From
PyPI and Maven Central into `.tools/`, once; `python tests/register/engines.py` does it ahead of time.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from servers import TOOLS

DUCKDB, SPARK, ICEBERG = "1.5.5", "4.1.4", "1.12.0"
_DUCKDB = [f"{name}=={DUCKDB}" for name in ("duckdb", "duckdb-extension-avro", "duckdb-extension-iceberg")]
_JAR = f"org.apache.iceberg:iceberg-spark-runtime-4.1_2.13:{ICEBERG}"


def duckdb() -> Path:
    """The Python of an environment with DuckDB 1.5 and its Iceberg extension."""
    return _environment(f"duckdb-{DUCKDB}", [*_DUCKDB, "pytz"]) / "bin" / "python"


def spark() -> tuple[Path, Path]:
    """The Python of an environment with PySpark, and the jar of Iceberg's runtime for it. Needs Java and Maven."""
    for command in ("java", "mvn"):
        if shutil.which(command) is None:
            raise RuntimeError(
                f"no '{command}' on the PATH: Spark needs Java 17, and Maven fetches its Iceberg"
            )
    home = _environment(f"spark-{SPARK}-iceberg-{ICEBERG}", [f"pyspark=={SPARK}"])
    jar = home / "iceberg.jar"
    if not jar.exists():
        with tempfile.TemporaryDirectory(dir=home) as work:
            _run(["mvn", "-B", "-q", "dependency:copy", f"-Dartifact={_JAR}", f"-DoutputDirectory={work}"])
            (made,) = Path(work).glob("*.jar")
            made.rename(jar)
    return home / "bin" / "python", jar


def ask(python: Path, script: str, *arguments: object) -> Any:
    """Runs a script in such an environment; what it prints last, as JSON, is the answer."""
    said = _run([str(python), "-c", script, *map(str, arguments)])
    return json.loads(said.strip().splitlines()[-1])


def _environment(name: str, packages: Sequence[str]) -> Path:
    """A virtual environment that has these packages; it appears whole, so two may ask at once."""
    home = TOOLS.parent / name
    if home.exists():
        return home
    TOOLS.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(dir=TOOLS.parent)) / name
    _run([sys.executable, "-m", "venv", str(made)])
    _run([str(made / "bin" / "python"), "-m", "pip", "install", "--quiet", *packages])
    try:
        made.rename(home)
    except OSError:
        if not home.exists():  # if it does, another process was faster
            raise
    shutil.rmtree(made.parent)
    return home


def _run(command: Sequence[str]) -> str:
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(
            f"`{command[0]} …` exited {done.returncode}: {(done.stdout + done.stderr)[-3000:]}"
        )
    return done.stdout


if __name__ == "__main__":
    sys.stdout.write(f"{duckdb()}\n{spark()[0]}\n")
