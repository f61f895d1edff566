"""Real servers for the heavy tests, each a process on a free port with its own credentials and folders.

They are built by `make tools` into `.tools/bin/` (or the folder `WGTWO_TOOLS` names).
"""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from botocore.config import Config

TOOLS = Path(os.environ.get("WGTWO_TOOLS", Path(__file__).parent.parent / ".tools" / "bin"))
START_SECONDS = 20


def tool(name: str) -> str:
    """Return the path of a Go-built tool; the test fails when it is missing."""
    path = TOOLS / name
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make tools`")
    return str(path)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"{process.args} ended with {process.returncode} instead of serving")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    pytest.fail(f"{process.args} does not serve port {port} after {START_SECONDS} s")


@dataclass
class Credentials:
    access_key: str
    secret_key: str

    def environment(self) -> dict[str, str]:
        """What boto3's chain needs to find these and nothing of the machine's."""
        return {
            "AWS_ACCESS_KEY_ID": self.access_key,
            "AWS_SECRET_ACCESS_KEY": self.secret_key,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
        }


ADMINISTRATOR = Credentials("testaccess", "testsecretkey")
"""Whoever may do everything on a VersityGateway."""


class VersityGateway:
    """versitygw on a folder: a real S3 server that checks signatures and conditions."""

    def __init__(self, folder: Path, port: int | None = None, versioning: bool = False) -> None:
        self.folder = folder
        self._versioning = versioning
        self.port = port or free_port()
        self.endpoint = f"http://127.0.0.1:{self.port}"
        self.credentials = ADMINISTRATOR
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("data", "iam", "versions"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def start(self) -> "VersityGateway":
        options = {
            "--port": f"127.0.0.1:{self.port}",
            "--access": self.credentials.access_key,
            "--secret": self.credentials.secret_key,
            "--iam-dir": str(self.folder / "iam"),
        }
        command = [tool("versitygw"), *(word for option in options.items() for word in option)]
        command += ["--iam-cache-disable", "--keep-alive", "--quiet", "posix"]
        command += ["--versioning-dir", str(self.folder / "versions")] if self._versioning else []
        command += [str(self.folder / "data")]
        with (self.folder / "versitygw.log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        wait_for_port(self.port, self._process)
        return self

    def kill(self) -> None:
        """Kill -9; `start` starts it again on the same folder and port. No orderly end: that takes 10 s."""
        if self._process:
            self._process.kill()
            self._process.wait()

    def client(self) -> Any:
        """A boto3 client of the administrator."""
        return s3_client(self.endpoint, self.credentials)


def s3_client(endpoint: str, credentials: Credentials) -> Any:
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=credentials.access_key,
        aws_secret_access_key=credentials.secret_key,
        region_name="us-east-1",
        config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 3}),
    )


@contextlib.contextmanager
def versitygw(folder: Path, versioning: bool = False) -> Iterator[VersityGateway]:
    """Run versitygw on a folder for as long as the context lasts; with `versioning` its buckets may keep versions."""
    gateway = VersityGateway(folder, versioning=versioning).start()
    try:
        yield gateway
    finally:
        gateway.kill()


class Toxiproxy:
    """One toxiproxy server with one proxy in front of `upstream` ("host:port")."""

    def __init__(self, process: subprocess.Popen[bytes], api: str, port: int) -> None:
        self._process = process
        self._proxy = f"{api}/proxies/upstream"
        self.port = port
        self.endpoint = f"http://127.0.0.1:{port}"

    def add(self, kind: str, stream: str = "downstream", toxicity: float = 1.0, **attributes: int) -> str:
        """Add a fault: latency, timeout, reset_peer, limit_data, bandwidth, slow_close, slicer."""
        body = {"type": kind, "stream": stream, "toxicity": toxicity, "attributes": attributes}
        answer = requests.post(f"{self._proxy}/toxics", json=body, timeout=5)
        answer.raise_for_status()
        return str(answer.json()["name"])

    def clear(self) -> None:
        """Remove every fault and let connections through."""
        for toxic in requests.get(f"{self._proxy}/toxics", timeout=5).json():
            requests.delete(f"{self._proxy}/toxics/{toxic['name']}", timeout=5).raise_for_status()
        self.enable(True)

    def enable(self, enabled: bool) -> None:
        """Let connections through, or cut all and refuse new ones."""
        requests.post(self._proxy, json={"enabled": enabled}, timeout=5).raise_for_status()


@contextlib.contextmanager
def toxiproxy(upstream: str) -> Iterator[Toxiproxy]:
    """Run toxiproxy in front of `upstream` for as long as the context lasts."""
    api_port, port = free_port(), free_port()
    process = subprocess.Popen(
        [tool("toxiproxy-server"), "-host", "127.0.0.1", "-port", str(api_port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_port(api_port, process)
        api = f"http://127.0.0.1:{api_port}"
        proxy = {"name": "upstream", "listen": f"127.0.0.1:{port}", "upstream": upstream, "enabled": True}
        requests.post(f"{api}/proxies", json=proxy, timeout=5).raise_for_status()
        yield Toxiproxy(process, api, port)
    finally:
        process.terminate()
        process.wait()
