"""Our own gRPC client: streams and calls share one connection (`channel.py`), whose HTTP/2 is `http2/`.

A call costs a few microseconds of CPU, a tenth of what it costs grpcio.
"""

import math
from collections.abc import Sequence
from typing import Final

from wgtwo_pipeline.service.calls import Calls
from wgtwo_pipeline.service.channel import Channel, Connection
from wgtwo_pipeline.service.connect import connector
from wgtwo_pipeline.service.http2.connection import Exchange
from wgtwo_pipeline.service.http2.headers import Fields, Section
from wgtwo_pipeline.service.settings import Service
from wgtwo_pipeline.service.statuses import PREFIX, message, reset_code, status
from wgtwo_pipeline.service.streams import EventStream
from wgtwo_pipeline.service.transport import MAX_MESSAGE_BYTES, SILENT_SECONDS, Done

KEEPALIVE_SECONDS: Final = SILENT_SECONDS - 20.0
_GIVEN_BACK_BYTES: Final = 1 << 20  # of a stream's window, at once
_MOST_FIELDS: Final = 64


class Http2Client:
    """A `Client`."""

    def __init__(self, service: Service, keepalive_seconds: float = KEEPALIVE_SECONDS) -> None:
        """ConfigurationError if the CA file or a proxy cannot be used."""
        self._service = service
        self._channel = Channel(connector(service), keepalive_seconds)
        self._fields: dict[tuple[str, str | None, int | None], Fields] = {}

    def open(self, method: str, request: bytes, token: str | None, stream: EventStream) -> None:
        """See `Client.open`."""
        reading = _Reading(self._channel, self._request_fields(method, token, None), message(request), stream)
        stream.read_by(reading)
        self._channel.submit(reading)

    def start(
        self, method: str, requests: Sequence[bytes], timeout_seconds: float, token: str | None, done: Done
    ) -> None:
        """See `Client.start`."""
        if not requests:
            done([])
            return
        # In whole tenths: the next calls then have the same header block, which is looked up.
        timeout_ms = max(1, math.ceil(timeout_seconds * 10)) * 100
        fields = self._request_fields(method, token, timeout_ms)
        self._channel.submit(Calls(self._channel, fields, requests, timeout_seconds, done))

    def close(self) -> None:
        """See `Client.close`."""
        self._channel.close()

    def _request_fields(self, method: str, token: str | None, timeout_ms: int | None) -> Fields:
        key = (method, token, timeout_ms)
        fields = self._fields.get(key)
        if fields is None:
            if len(self._fields) >= _MOST_FIELDS:
                self._fields.clear()
            fields = self._fields[key] = (
                (":method", "POST"),
                (":scheme", "http" if self._service.plaintext else "https"),
                (":path", method),
                (":authority", self._service.target),
                ("te", "trailers"),
                ("content-type", "application/grpc"),
                ("user-agent", "wgtwo-pipeline"),
                *((("grpc-timeout", f"{timeout_ms}m"),) if timeout_ms is not None else ()),
                *((("authorization", f"Bearer {token}"),) if token is not None else ()),
            )
        return fields


class _Reading(Exchange):
    """A server-streaming call, as an exchange, as a `Work` of the channel, and as the `Reading` of a stream."""

    lasting = True
    deadline = math.inf

    def __init__(self, channel: Channel, fields: Fields, request: bytes, stream: EventStream) -> None:
        super().__init__()
        self._channel, self._fields, self._request, self._stream = channel, fields, request, stream
        self._connection: Connection | None = None
        self._partial = bytearray()
        self._not_given_back = 0  # of the stream's window

    def resume(self) -> None:
        """See `Reading.resume`."""
        self._channel.post(self._give_back)

    def cancel(self) -> None:
        """See `Reading.cancel`."""
        self._channel.post(self._stop)

    # In the channel's thread:

    def open(self, connection: Connection) -> bool:
        """See `Work.open`."""
        if not self._stream.ended:
            self._connection = connection
            connection.http.request(self._fields, self._request, self)
            self._stream.connected = True
        return True

    def fail(self, why: str) -> None:
        """See `Work.fail`."""
        self._over("UNAVAILABLE", why)

    def close(self) -> None:
        """See `Work.close`."""
        self._over("CANCELLED", "closed on this side")

    def expire(self) -> None:
        """It has no deadline."""

    def data(self, buffer: bytes, begin: int, end: int) -> None:
        """See `Exchange.data`."""
        size = end - begin
        if (
            not self._partial
            and size >= PREFIX.size
            and buffer[begin : begin + PREFIX.size] == PREFIX.pack(0, size - PREFIX.size)
        ):
            self._stream.deliver(
                buffer[begin + PREFIX.size : end]
            )  # one frame, one message: as nearly always
        elif not self._split(buffer[begin:end]):
            self._stop()
            self._over(
                "RESOURCE_EXHAUSTED", f"a message of more than {MAX_MESSAGE_BYTES} bytes, or compressed"
            )
            return
        self._not_given_back += size
        if self._not_given_back >= _GIVEN_BACK_BYTES and not self._stream.full:
            self._give_back()

    def end(self, trailers: Section) -> None:
        """See `Exchange.end`."""
        assert self.head is not None
        code, detail = status(trailers, self.head)
        if code == "OK" and self._partial:
            code, detail = "INTERNAL", "the stream has ended in the middle of a message"
        self._over(code, detail)

    def reset(self, code: int, why: str) -> None:
        """See `Exchange.reset`. Whoever wants the stream opens another one, also if this one was only refused."""
        self._over(reset_code(code), why)

    def _split(self, data: bytes) -> bool:
        """Delivers the whole messages in what has come; False if there is one that cannot be taken."""
        partial = self._partial
        partial += data
        begin = 0
        while len(partial) - begin >= PREFIX.size:
            compressed, length = PREFIX.unpack_from(partial, begin)
            if compressed or length > MAX_MESSAGE_BYTES:
                return False
            end = begin + PREFIX.size + length
            if end > len(partial):
                break
            self._stream.deliver(bytes(partial[begin + PREFIX.size : end]))
            begin = end
        del partial[:begin]
        return True

    def _give_back(self) -> None:
        if self._connection is not None:
            self._connection.http.took(self, self._not_given_back)
            self._not_given_back = 0

    def _stop(self) -> None:
        if self._connection is not None:
            self._connection.http.cancel(self)
        self._channel.done(self)

    def _over(self, code: str, detail: str) -> None:
        self._channel.done(self)
        self._stream.over(code, detail)
