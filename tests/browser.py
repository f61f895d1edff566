"""A page of headless Chromium, driven over its DevTools protocol."""

import base64
import contextlib
import json
import os
import re
import secrets
import shutil
import socket
import struct
import subprocess

import pytest
import requests


class Browser:
    """One page of a headless Chromium. Only what these tests need of DevTools and of RFC 6455."""

    def __init__(self, program, folder):
        self.process = subprocess.Popen(
            [program, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
             "--no-first-run", "--remote-debugging-port=0", f"--user-data-dir={folder}", "about:blank"],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        for line in self.process.stderr:
            if found := re.search(r"DevTools listening on ws://([^/]+)/", line):
                break
        else:
            pytest.fail("chromium did not start")
        (page,) = [
            p for p in requests.get(f"http://{found[1]}/json", timeout=10).json() if p["type"] == "page"
        ]
        host, _, port = found[1].partition(":")
        self.socket = socket.create_connection((host, int(port)), timeout=20)
        path = page["webSocketDebuggerUrl"].split(found[1], 1)[1]
        self.socket.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {found[1]}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {base64.b64encode(secrets.token_bytes(16)).decode()}\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.reader = self.socket.makefile("rb")
        while self.reader.readline().strip():
            pass
        self.calls = 0
        self.problems = []
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        self.calls += 1
        text = json.dumps({"id": self.calls, "method": method, "params": params}).encode()
        mask = secrets.token_bytes(4)
        head = b"\x81" + (
            bytes([0x80 | len(text)]) if len(text) < 126 else b"\xfe" + struct.pack(">H", len(text))
        )
        self.socket.sendall(head + mask + bytes(byte ^ mask[i % 4] for i, byte in enumerate(text)))
        while True:
            message = self._receive()
            if message.get("id") == self.calls:
                assert "error" not in message, message
                return message["result"]
            if message.get("method") in ("Runtime.exceptionThrown", "Log.entryAdded"):
                self.problems.append(message)

    def _receive(self):
        _, size = self.reader.read(2)
        if size == 126:
            (size,) = struct.unpack(">H", self.reader.read(2))
        elif size == 127:
            (size,) = struct.unpack(">Q", self.reader.read(8))
        return json.loads(self.reader.read(size))

    def run(self, script):
        """The value of a script, awaited."""
        result = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def enter(self, identifier, value):
        """Gives an input a value as if it had been typed and left."""
        self.run(
            f"(() => {{ const input = document.getElementById({json.dumps(identifier)});"
            f"input.value = {json.dumps(value)}; input.dispatchEvent(new Event('change')); }})()"
        )

    def close(self):
        self.socket.close()
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()


@pytest.fixture
def browser(tmp_path):
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.fail("chromium is missing: install it (Debian: `apt-get install chromium`) or set CHROMIUM")
    with contextlib.closing(Browser(program, tmp_path / "profile")) as page:
        yield page
