"""`--transport` decides which client is opened, and nothing else."""

import pytest
from clients import CLIENTS
from wgtwo_pipeline.service.open import open_transport
from wgtwo_pipeline.service.settings import Service


@pytest.mark.parametrize("name", CLIENTS)
def test_the_client_that_was_named(name):
    """Ours unless grpcio's is asked for."""
    transport = open_transport(Service("127.0.0.1:1", plaintext=True, transport=name))
    assert type(transport._client) is CLIENTS[name]
    transport.close()


def test_ours_is_the_default():
    """A service that nobody chose a client for gets our own."""
    assert Service("127.0.0.1:1").transport == "http2"
