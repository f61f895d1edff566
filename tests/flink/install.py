"""Installs what a Flink cluster needs beside Python into `.tools/flink`, once, with pip and Maven.

From PyPI come Flink's jars, from Maven Central Beam's job server. `python tests/flink/install.py` does it ahead of
tests.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Sequence
from pathlib import Path

FLINK = "1.19.3"
JOB_SERVER = "2.62.0"  # the newest whose artifacts could be had; it runs pipelines of newer Python SDKs
JAR = "job-server.jar"
TOOLS = Path(__file__).parents[2] / ".tools" / "flink"

# One jar for the job server: Flink takes 0.1 s for each jar that a job brings along, and it would bring 150.
POM = f"""<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>wgtwo-pipeline</groupId>
  <artifactId>job-server</artifactId>
  <version>{JOB_SERVER}</version>
  <dependencies>
    <dependency>
      <groupId>org.apache.beam</groupId>
      <artifactId>beam-runners-flink-1.19</artifactId>
      <version>{JOB_SERVER}</version>
    </dependency>
  </dependencies>
  <build>
    <plugins>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-shade-plugin</artifactId>
        <version>3.6.0</version>
        <executions>
          <execution>
            <phase>package</phase>
            <goals><goal>shade</goal></goals>
            <configuration>
              <outputFile>{JAR}</outputFile>
              <artifactSet>
                <excludes>
                  <exclude>org.apache.flink:*</exclude>
                  <exclude>org.slf4j:*</exclude>
                </excludes>
              </artifactSet>
              <filters>
                <filter>
                  <artifact>*:*</artifact>
                  <excludes>
                    <exclude>META-INF/*.SF</exclude>
                    <exclude>META-INF/*.RSA</exclude>
                    <exclude>META-INF/*.DSA</exclude>
                  </excludes>
                </filter>
              </filters>
              <transformers>
                <transformer implementation="org.apache.maven.plugins.shade.resource.ServicesResourceTransformer"/>
              </transformers>
            </configuration>
          </execution>
        </executions>
      </plugin>
    </plugins>
  </build>
</project>
"""


def install(tools: Path = TOOLS) -> Path:
    """Return the folder that holds all jars, downloading them where these versions are missing.

    Safe to call twice at once: the folder appears whole. Raises RuntimeError naming the fix without Java or Maven.
    """
    home = tools / f"flink-{FLINK}-beam-{JOB_SERVER}"
    if home.exists():
        return home
    for command in ("java", "mvn"):
        if shutil.which(command) is None:
            raise RuntimeError(
                f"no '{command}' on the PATH: a Flink cluster needs Java 17 and Maven (Debian: apt-get install maven)"
            )
    tools.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=tools) as work:
        made = Path(work) / "jars"
        made.mkdir()
        _download_flink(Path(work), made)
        _download_job_server(Path(work), made)
        try:
            made.rename(home)
        except OSError:
            if not home.exists():  # if it does, another process was faster
                raise
    return home


def with_job_server(jar: Path, home: Path, folder: Path) -> Path:
    """Return `folder`, made with links to what `home` holds, and to `jar` in the place of its job server."""
    folder.mkdir()
    for each in home.iterdir():
        (folder / each.name).symlink_to(jar.resolve(strict=True) if each.name == JAR else each)
    return folder


def _download_flink(work: Path, jars: Path) -> None:
    name = f"apache-flink-libraries=={FLINK}"
    _run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", str(work), name])
    (archive,) = work.glob("apache*flink*libraries-*.tar.gz")
    with tarfile.open(archive) as tar:
        for member in tar:
            member.name = Path(member.name).name
            if re.fullmatch(
                r"(flink-dist|log4j-.*)-\d.*\.jar", member.name
            ):  # no SQL, no Scala, no file formats
                tar.extract(member, jars, filter="data")


def _download_job_server(work: Path, jars: Path) -> None:
    (work / "pom.xml").write_text(POM)
    _run(["mvn", "-B", "-q", "-f", str(work / "pom.xml"), "package"])
    (work / JAR).rename(jars / JAR)


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise RuntimeError(f"`{' '.join(command)}` exited {done.returncode}: {done.stdout[-2000:]}")


if __name__ == "__main__":
    sys.stdout.write(f"{install()}\n")
