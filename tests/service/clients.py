"""Every client that may stand behind the seam, for the suites that all of them have to pass."""

from wgtwo_pipeline.service.authorized import AuthorizedTransport, wait
from wgtwo_pipeline.service.grpcio_client import GrpcioClient
from wgtwo_pipeline.service.http2_client import Http2Client
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import CallResult

CLIENTS = {"http2": Http2Client, "grpc": GrpcioClient}


def transport_of(kind: str, service: Service, **options) -> AuthorizedTransport:
    return AuthorizedTransport(service, CLIENTS[kind](service, **options))


class Caller:
    """The calls of one client, without the tokens and streams that a transport adds."""

    def __init__(self, kind: str, service: Service) -> None:
        self._client = CLIENTS[kind](service)

    def call_many(self, method, requests, timeout_seconds, token) -> list[CallResult]:
        return wait(lambda done: self._client.start(method, requests, timeout_seconds, token, done))

    def close(self) -> None:
        self._client.close()
