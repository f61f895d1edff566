"""Installs the Flink operator's definitions of its objects into `.tools`, once, with Maven."""

from __future__ import annotations

import subprocess
import tempfile
import zipfile
from pathlib import Path

VERSION = "1.10.0"
TOOLS = Path(__file__).parents[2] / ".tools" / "flink-operator"
NAME = "flinkdeployments.flink.apache.org-v1.yml"


def install() -> Path:
    """The file with the definition of a FlinkDeployment; it appears whole."""
    file = TOOLS / VERSION / NAME
    if file.exists():
        return file
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=file.parent) as work:
        artifact = f"-Dartifact=org.apache.flink:flink-kubernetes-operator-api:{VERSION}"
        command = ["mvn", "-q", "-B", "dependency:copy", artifact, f"-DoutputDirectory={work}"]
        subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)
        with zipfile.ZipFile(next(Path(work).glob("*.jar"))) as jar:
            made = Path(work) / NAME
            made.write_bytes(jar.read(f"META-INF/fabric8/{NAME}"))
        made.rename(file)
    return file
