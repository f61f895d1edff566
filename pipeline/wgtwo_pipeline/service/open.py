"""Opens a way to the event service: which client that is, is decided here."""

from typing import TYPE_CHECKING

from wgtwo_pipeline.service.authorized import AuthorizedTransport
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import Transport

if TYPE_CHECKING:
    from wgtwo_pipeline.service.client import Client


def open_transport(service: Service) -> Transport:
    """The transport that `service.transport` names; it connects with the first stream or call.

    ConfigurationError if the CA file or a proxy cannot be used.
    """
    client: Client
    if service.transport == "grpc":
        from wgtwo_pipeline.service.grpcio_client import GrpcioClient  # grpcio takes its time to be imported

        client = GrpcioClient(service)
    else:
        from wgtwo_pipeline.service.http2_client import Http2Client

        client = Http2Client(service)
    return AuthorizedTransport(service, client)
