"""Installs Flink's Prometheus reporter into `.tools/flink`, once, with Maven: a jar of 0.1 MB."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from install import TOOLS

VERSION = "1.19.1"  # the newest of Flink 1.19 that could be had from Maven Central's mirror
NAME = f"flink-metrics-prometheus-{VERSION}.jar"
REPORTER = "org.apache.flink.metrics.prometheus.PrometheusReporterFactory"


def reporter_settings(ports: Sequence[int]) -> dict[str, str]:
    """Flink's configuration: each of its processes serves its metrics at the first of these ports that is free."""
    return {
        "metrics.reporter.prometheus.factory.class": REPORTER,
        "metrics.reporter.prometheus.port": ",".join(map(str, ports)),
    }


def class_path(home: Path) -> str:
    """What Java finds: all jars of Flink's home, and the reporter."""
    return f"{home}/*{os.pathsep}{install_reporter()}"


def install_reporter(tools: Path = TOOLS) -> Path:
    """Return the jar, downloading it where it is missing. Safe to call twice at once: it appears whole."""
    jar = tools / NAME
    if jar.exists():
        return jar
    tools.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tools) as work:
        artifact = f"-Dartifact=org.apache.flink:flink-metrics-prometheus:{VERSION}"
        command = ["mvn", "-B", "-q", "dependency:copy", artifact, f"-DoutputDirectory={work}"]
        subprocess.run(command, cwd=work, check=True, stdout=subprocess.DEVNULL)
        shutil.move(Path(work) / NAME, jar)
    return jar
