"""What a gRPC client has to offer, for `authorized.py` to make a transport of it: bytes, tokens and codes.

There are two: `http2_client.py` is our own, `grpcio_client.py` is grpcio's.
"""

from collections.abc import Sequence
from typing import Protocol

from wgtwo_pipeline.service.streams import EventStream
from wgtwo_pipeline.service.transport import Done


class Client(Protocol):
    """One service's client. Threads may share it."""

    def open(self, method: str, request: bytes, token: str | None, stream: EventStream) -> None:
        """Starts a server-streaming call that `stream` is told of from now on. Returns at once."""

    def start(
        self, method: str, requests: Sequence[bytes], timeout_seconds: float, token: str | None, done: Done
    ) -> None:
        """Starts unary calls; see `Transport.start_many`. Those begun after `close` are CANCELLED."""

    def close(self) -> None:
        """Ends all streams, takes no more calls and returns; calls under way may still end. Idempotent."""
