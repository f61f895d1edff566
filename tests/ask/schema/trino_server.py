"""Trino, a real one: a coordinator that works by itself, with Hive's connector over an S3 server.

Its server is an archive of 0.8 GB on Maven Central, which stays in Maven's repository; of it the libraries and this
one connector are unpacked into `.tools/`, once; `python tests/ask/schema/trino_server.py` does it ahead of time.
"""

import contextlib
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import requests

sys.path.insert(0, str(Path(__file__).parents[2]))

from servers import TOOLS, VersityGateway, free_port

VERSION, OLDEST_JAVA = "476", 24
START_SECONDS = 180
WANTED = re.compile(rf"trino-server-{VERSION}/(lib|plugin/hive)/")


def java() -> Path | None:
    """A Java that is new enough, if this machine has one: of JAVA_HOME, of the PATH, or where Debian puts them."""
    homes = [os.environ.get("JAVA_HOME"), *Path("/usr/lib/jvm").glob("*")]
    found = [shutil.which("java"), *(Path(home) / "bin" / "java" for home in homes if home)]
    for each in (Path(name) for name in found if name):
        if each.exists():
            said = subprocess.run([each, "-version"], capture_output=True, text=True, check=True).stderr
            version = re.search(r'"(\d+)', said)
            if version and int(version[1]) >= OLDEST_JAVA:
                return each
    return None


def installed() -> Path:
    """The folder of the server, which appears whole."""
    home = TOOLS.parent / f"trino-{VERSION}"
    if home.exists():
        return home
    artifact = f"-Dartifact=io.trino:trino-server:{VERSION}:tar.gz"
    with tempfile.TemporaryDirectory(dir=TOOLS.parent) as work:
        fetch = ["mvn", "-B", "-q", "dependency:copy", artifact, f"-DoutputDirectory={work}"]
        subprocess.run(fetch, check=True)
        with tarfile.open(Path(work) / f"trino-server-{VERSION}.tar.gz") as files:
            files.extractall(work, (each for each in files if WANTED.match(each.name)), filter="tar")
        with contextlib.suppress(OSError):  # another process was faster
            (Path(work) / f"trino-server-{VERSION}").rename(home)
    return home


class Trino:
    """A running server; `ask` returns the rows of a statement, as its protocol writes them in JSON."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def ask(self, sql: str) -> list[list[Any]]:
        headers = {"X-Trino-User": "test", "X-Trino-Catalog": "lake", "X-Trino-Schema": "wgtwo"}
        headers["X-Trino-Client-Capabilities"] = "PARAMETRIC_DATETIME"  # else times have milliseconds
        answer = requests.post(f"{self._address}/v1/statement", sql.encode(), headers=headers, timeout=60)
        rows: list[list[Any]] = []
        while True:
            answer.raise_for_status()
            page = answer.json()
            if "error" in page:
                raise RuntimeError(f"{page['error']['message']}: {sql}")
            rows += page.get("data", [])
            if "nextUri" not in page:
                return rows
            answer = requests.get(page["nextUri"], headers=headers, timeout=60)

    @property
    def is_up(self) -> bool:
        try:
            return not requests.get(f"{self._address}/v1/info", timeout=5).json()["starting"]
        except (requests.RequestException, ValueError):
            return False


@contextlib.contextmanager
def trino(folder: Path, gateway: VersityGateway, by: Path) -> Iterator[Trino]:
    """Runs the server by this Java for as long as the context lasts, with a catalog `lake` and its schema `wgtwo`."""
    port = free_port()
    _configure(folder, gateway, port)
    home = installed()
    command = [by, "-Xmx1G", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", f"{home}/lib/*"]
    for name, value in {
        "node.environment": "test",
        "node.data-dir": folder / "data",
        "plugin.dir": home / "plugin",
        "config": folder / "config.properties",
        "catalog.config-dir": folder / "catalog",
    }.items():
        command.append(f"-D{name}={value}")
    with (folder / "trino.log").open("wb") as log:
        whole = [*command, "io.trino.server.TrinoServer"]
        process = subprocess.Popen(whole, stdout=log, stderr=log, cwd=folder)  # where it keeps more logs
    try:
        server, deadline = Trino(port), time.monotonic() + START_SECONDS
        while not server.is_up:
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Trino does not serve: {(folder / 'trino.log').read_text()[-3000:]}")
            time.sleep(0.5)
        server.ask("CREATE SCHEMA lake.wgtwo")
        yield server
    finally:
        process.kill()
        process.wait()


def _configure(folder: Path, gateway: VersityGateway, port: int) -> None:
    for name in ("data", "catalog", "metastore"):
        (folder / name).mkdir(parents=True)
    _properties(
        folder / "config.properties",
        {
            "coordinator": "true",
            "node-scheduler.include-coordinator": "true",
            "http-server.http.port": str(port),
            "discovery.uri": f"http://127.0.0.1:{port}",
        },
    )
    _properties(
        folder / "catalog" / "lake.properties",
        {
            "connector.name": "hive",
            "hive.metastore": "file",
            "hive.metastore.catalog.dir": "local:///metastore",
            "hive.security": "allow-all",
            "hive.timestamp-precision": "MICROSECONDS",
            "fs.native-local.enabled": "true",
            "local.location": str(folder),
            "fs.native-s3.enabled": "true",
            "s3.endpoint": gateway.endpoint,
            "s3.region": "us-east-1",
            "s3.path-style-access": "true",
            "s3.aws-access-key": gateway.credentials.access_key,
            "s3.aws-secret-key": gateway.credentials.secret_key,
        },
    )


def _properties(path: Path, values: dict[str, str]) -> None:
    path.write_text("".join(f"{name}={value}\n" for name, value in values.items()))


if __name__ == "__main__":
    sys.stdout.write(f"{installed()}\n")
