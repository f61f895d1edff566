"""Our client with other people's servers and proxies: 10,000 events of a Go server, each acked."""

import json
import subprocess
import threading
import time

import java_server as java
import pytest
from middle import PROXIES
from scripted_server import self_signed
from servers import tool
from wgtwo_pipeline.events import api
from wgtwo_pipeline.service.authorized import AuthorizedTransport
from wgtwo_pipeline.service.http2_client import Http2Client
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import StreamEndedError

EVENTS = 10_000
TERMS = api.Terms(("sms", "voice"), "interop", "interop", 200, 30.0)

pytestmark = pytest.mark.heavy


@pytest.fixture
def go_server():
    """grpc-go: what it has sent on a stream that ended and was not acked is lost with that stream."""
    command = [tool("loadserver"), "--events", str(EVENTS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        yield json.loads(server.stdout.readline())["address"]
        server.terminate()


@pytest.fixture
def java_server():
    """grpc-java: ends each connection after a second, in peace."""
    with subprocess.Popen(java.command(), stdout=subprocess.PIPE, text=True) as server:
        yield f"127.0.0.1:{server.stdout.readline().strip()}"
        server.terminate()


@pytest.fixture
def proxy(request, go_server, tmp_path):
    made = PROXIES[request.param](tmp_path / "proxy", self_signed("127.0.0.1"), go_server)
    made.start()
    yield made
    made.stop()


class Client:
    """Receives and acks until all events have come."""

    def __init__(self, service: Service) -> None:
        self.transport = AuthorizedTransport(service, Http2Client(service))
        self.sequences: set[int] = set()
        self.acked = self.failed = 0
        self.streams = 0
        self._settled = threading.Condition()
        self._under_way = 0

    def run(self, while_running=lambda client: None, until=EVENTS, seconds: float = 90.0) -> None:
        deadline = time.monotonic() + seconds
        stream = None
        while len(self.sequences) < until and time.monotonic() < deadline:
            if stream is None:
                request = api.subscribe_request(api.V0, TERMS, api.Start(), client_id="interop")
                stream = self.transport.stream(api.V0.stream, request)
                self.streams += 1
            try:
                received = stream.receive(100, 100, 0.05, 0.5)
            except StreamEndedError:
                stream = None
                time.sleep(0.1)
                continue
            while_running(self)
            self._ack([each.payload for each in received])
        with self._settled:
            assert self._settled.wait_for(lambda: not self._under_way, 30)

    def _ack(self, payloads: list[bytes]) -> None:
        requests = [api.ack_request(api.V0, payload) for payload in payloads]

        def done(results):
            with self._settled:
                self.acked += sum(result.code == "OK" for result in results)
                self.failed += sum(result.code != "OK" for result in results)
                self._under_way -= 1
                self._settled.notify_all()

        with self._settled:
            self._under_way += 1
        self.sequences.update(payloads)
        self.transport.start_many(api.V0.ack, requests, 10.0, done)

    def close(self) -> None:
        self.transport.close()


@pytest.fixture
def connect(tmp_path):
    made = []

    def connect(target, certificate=None):
        made.append(Client(Service(target, plaintext=certificate is None, ca_file=certificate)))
        return made[-1]

    yield connect
    for each in made:
        each.close()


def test_grpc_go(go_server, connect):
    """Every event once, every ack answered, on one stream."""
    client = connect(go_server)
    client.run()
    assert (len(client.sequences), client.acked, client.failed, client.streams) == (EVENTS, EVENTS, 0, 1)


@pytest.mark.timeout(600)  # Maven may have to fetch all that it needs
def test_grpc_java(java_server, connect):
    """A stream to its end, and calls for three seconds, in which connections come and go: none is lost."""
    transport = connect(java_server).transport
    stream = transport.stream("/test.Service/Stream", b"50000")
    got: list[bytes] = []
    while len(got) < 50_000 and (received := stream.receive(1000, 1000, 0.1, 30)):
        got += [each.payload for each in received]
    with pytest.raises(StreamEndedError) as end:
        stream.receive(1, 1, 0, 30)
    assert end.value.code == "OK"
    assert got == [b"%08d" % number for number in range(50_000)]
    ends = time.monotonic() + 3
    while time.monotonic() < ends:
        requests = [b"%d" % number for number in range(500)]
        results = transport.call_many("/test.Service/Call", requests, 20)
        assert [result.response for result in results] == requests


@pytest.mark.parametrize("proxy", PROXIES, indirect=True)
def test_through_a_proxy_with_tls(proxy, connect):
    """ALPN, limits of streams and of requests of a connection, GOAWAY for those: nothing is lost."""
    client = connect(proxy.target, f"{proxy.folder}/both.pem")
    client.run()
    assert (len(client.sequences), client.acked, client.failed) == (EVENTS, EVENTS, 0)


@pytest.mark.parametrize("proxy", PROXIES, indirect=True)
def test_a_proxy_that_takes_a_new_configuration(proxy, connect):
    """Draining: no ack fails; a stream may have to be opened anew."""
    client = connect(proxy.target, f"{proxy.folder}/both.pem")
    drained = []

    def drain(client):
        if len(client.sequences) > 3000 * (len(drained) + 1) and len(drained) < 2:
            drained.append(time.monotonic())
            proxy.drain()

    client.run(drain)
    assert len(drained) == 2
    # Those that were on their way on a stream that ended, the Go server does not send again.
    assert len(client.sequences) > EVENTS - 3 * TERMS.max_in_flight
    assert client.failed <= 3 * TERMS.max_in_flight


@pytest.mark.parametrize("proxy", PROXIES, indirect=True)
def test_a_proxy_that_is_restarted(proxy, connect):
    """Cut connections: the streams end, and others go on once the proxy is back."""
    client = connect(proxy.target, f"{proxy.folder}/both.pem")
    restarted = []

    def restart(client):
        if not restarted and len(client.sequences) > 4000:
            restarted.append(True)
            proxy.restart()

    client.run(restart, until=EVENTS - 2 * TERMS.max_in_flight)
    assert restarted
    assert client.streams > 1
    assert len(client.sequences) >= EVENTS - 2 * TERMS.max_in_flight
