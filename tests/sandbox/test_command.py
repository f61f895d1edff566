"""The sandbox as a process of its own: it says where it listens and stops on a signal."""

import contextlib
import re
import signal
import socket
import subprocess
import sys

import pytest
from patience import PATIENCE_SECONDS
from sandbox_client import Client, take
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.sandbox.command import run
from wgtwo_pipeline.sandbox.options import SandboxSettings

PROGRAM = """
import logging, sys
from wgtwo_pipeline.sandbox.command import run
from wgtwo_pipeline.sandbox.options import SandboxSettings
logging.basicConfig(level=logging.INFO, stream=sys.stderr)
sys.exit(run(SandboxSettings(address="127.0.0.1:0", rate=100.0)))
"""


@contextlib.contextmanager
def running():
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=subprocess.PIPE, text=True) as process:
        try:
            line = process.stderr.readline()
            yield process, re.search(r"sandbox listening on (\S+)", line).group(1)
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal(number):
    """With a stream open the signal ends it, quietly and with exit code 0."""
    with running() as (process, address):
        client = Client(address)
        stream = client.subscribe()
        take(stream, 3)
        process.send_signal(number)
        assert process.wait(PATIENCE_SECONDS) == 0
        assert process.stderr.read() == ""
        client.close()


def test_a_taken_port_is_refused():
    """At once, with the address and the fix."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match=f"{address}.*--address"):
            run(SandboxSettings(address=address))


@pytest.mark.parametrize("setting", ["oauth_address", "admin_address"])
def test_other_taken_ports_are_refused(setting):
    """With the option that names them."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(ConfigurationError, match="--" + setting.replace("_", "-")):
            run(SandboxSettings(address="127.0.0.1:0", **{setting: address}))


def test_a_folder_that_cannot_hold_a_certificate_is_refused(tmp_path):
    """Where it is no folder, or holds something else under the names."""
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="--tls-dir"):
        run(SandboxSettings(address="127.0.0.1:0", tls_dir=str(tmp_path / "file")))
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("no certificate")
    with pytest.raises(ConfigurationError, match="--tls-dir"):
        run(SandboxSettings(address="127.0.0.1:0", tls_dir=str(tmp_path)))
