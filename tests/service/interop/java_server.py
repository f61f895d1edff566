"""A gRPC server in Java, built with Maven into `.tools/grpc-java` when it is first needed or has changed."""

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).parent / "java"
TOOLS = Path(__file__).parents[3] / ".tools" / "grpc-java"


def command() -> list[str]:
    """What starts it; it prints its port."""
    files = sorted(path for path in SOURCE.rglob("*") if path.is_file())
    version = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    built = TOOLS / version
    if not built.exists():
        TOOLS.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=TOOLS) as folder:
            build = Path(folder) / "build"
            shutil.copytree(SOURCE, build)
            subprocess.run(["mvn", "-q", "-B", "package"], cwd=build, check=True)
            (build / "target").rename(built)
    return ["java", "-Xmx128m", "-cp", f"{built}/classes:{built}/dependency/*", "Server"]
