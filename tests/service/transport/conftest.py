"""A scripted server, and every implementation of the seam to reach it with."""

import threading

import pytest
from clients import CLIENTS, transport_of
from scripted_server import ScriptedServer
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import Transport


@pytest.fixture
def server():
    server = ScriptedServer()
    yield server
    server.stop()


@pytest.fixture
def tls_server(certificate):
    server = ScriptedServer(certificate=certificate)
    yield server
    server.stop()


@pytest.fixture(params=CLIENTS)
def client(request):
    """By the name that `--transport` has for it."""
    return request.param


@pytest.fixture
def connect(client):
    """Opens a transport of each implementation; closes it afterwards."""
    opened: list[Transport] = []

    def connect(target: str, *, plaintext: bool = True, ca_file: str | None = None, **options) -> Transport:
        opened.append(transport_of(client, Service(target, plaintext, ca_file), **options))
        return opened[-1]

    yield connect
    for transport in opened:
        transport.close()


@pytest.fixture
def release():
    """What a scripted method may wait for, to go on until the test ends."""
    event = threading.Event()
    yield event
    event.set()
