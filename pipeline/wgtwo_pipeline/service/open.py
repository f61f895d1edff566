"""Opens a way to the event service: which client library that is, is decided here."""

from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.transport import Transport


def open_transport(service: Service) -> Transport:
    """The transport to use; it connects with the first stream or call. ConfigurationError if the CA file is bad."""
    from wgtwo_pipeline.service.streams import GrpcTransport

    return GrpcTransport(service)
