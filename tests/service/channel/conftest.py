"""Our client, and a server made by hand for it."""

import contextlib
import queue

import pytest
from hands import Hands
from patience import PATIENCE_SECONDS
from wgtwo_pipeline.service.authorized import AuthorizedTransport
from wgtwo_pipeline.service.http2_client import Http2Client
from wgtwo_pipeline.service.settings import Service

METHOD = "/test.Service/Call"


@pytest.fixture
def hands():
    made = Hands()
    yield made
    made.close()


class Opened(AuthorizedTransport):
    """A transport whose calls a test starts, and whose results it takes later."""

    def __init__(self, service, client):
        super().__init__(service, client)
        self._reached_before = True  # so that no verdict knocks at the hand-made server

    def begin(self, *requests, seconds=PATIENCE_SECONDS):
        results: queue.SimpleQueue = queue.SimpleQueue()
        self.start_many(METHOD, requests, seconds, results.put)
        return lambda: [result.code for result in results.get(timeout=PATIENCE_SECONDS)]


@pytest.fixture
def open_http2():
    with contextlib.ExitStack() as stack:

        def open_http2(target, **options):
            service = Service(target, plaintext=True)
            transport = Opened(service, Http2Client(service, **options))
            stack.callback(transport.close)
            return transport

        yield open_http2
