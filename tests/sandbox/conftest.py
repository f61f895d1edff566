"""Sandboxes in threads and clients to them, stopped and closed after each test."""

import pytest
from sandbox_client import Client
from wgtwo_pipeline.sandbox.options import SandboxSettings
from wgtwo_pipeline.sandbox.server import start_sandbox


@pytest.fixture
def sandbox():
    """Starts sandboxes with `sandbox(rate=…, …)`; stops them all afterwards."""
    started = []

    def start(**settings):
        handle = start_sandbox(SandboxSettings(**{"address": "127.0.0.1:0", **settings}))
        started.append(handle)
        return handle

    yield start
    for handle in started:
        handle.stop()


@pytest.fixture
def connect():
    """Makes clients with `connect(address, …)`; closes them all afterwards."""
    made = []

    def client(address, **how):
        made.append(Client(address, **how))
        return made[-1]

    yield client
    for client in made:
        client.close()
