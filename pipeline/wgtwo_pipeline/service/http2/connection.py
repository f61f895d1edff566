"""The client's side of one connection: an automaton that takes frames and tells those who have opened streams.

The sections of RFC 9113 stand beside its rules. What breaks a rule of the connection raises ProtocolError; what
breaks one of a stream resets that stream. Pushes are refused, priorities mean nothing, and neither does
content-length: gRPC's messages say themselves how long they are.

It is over 300 lines because the automaton is one: each rule changes the state that the others read.
"""

from typing import Final

from wgtwo_pipeline.service.http2 import frames, headers
from wgtwo_pipeline.service.http2.frames import U32, ErrorCode, ProtocolError, frame
from wgtwo_pipeline.service.http2.headers import Fields, HeadersError, Section
from wgtwo_pipeline.service.http2.outbox import FIRST_WINDOW, Outbox

STREAM_WINDOW: Final = 8 << 20
"""So many bytes the server may send on one stream before any of them was taken."""
CONNECTION_WINDOW: Final = 1 << 30
"""The connection's, given back as it is used: what bounds memory are the streams' windows."""

_OURS: Final = (
    (frames.ENABLE_PUSH, 0),
    (frames.INITIAL_WINDOW_SIZE, STREAM_WINDOW),
    (frames.MAX_HEADER_LIST_SIZE, headers.MOST_BYTES),
)
_RARE: Final = frames.PADDED | frames.PRIORITIZED
_TEXT_BYTES: Final = 200


class Exchange:
    """One stream, for whoever opens it. All is called from `Http2.feed`, in the order of the frames."""

    __slots__ = ("head", "number", "room")

    lasting = False
    """Whether it is not expected to end soon."""

    def __init__(self) -> None:
        self.number = 0
        """The stream's, once it is open."""
        self.head: Section | None = None
        """The head of the answer, once it has come."""
        self.room = STREAM_WINDOW
        """How many bytes the server may send now."""

    def data(self, buffer: bytes, begin: int, end: int) -> None:
        """`buffer[begin:end]` has come. It counts against the window until `Http2.took` is told."""
        raise NotImplementedError

    def end(self, trailers: Section) -> None:
        """The answer is whole. Where there are no trailers, these are its head."""
        raise NotImplementedError

    def reset(self, code: int, why: str) -> None:
        """The stream has ended without a whole answer. REFUSED_STREAM says that the server has done nothing."""
        raise NotImplementedError


class Http2:
    """One connection, for one thread.

    `request` opens streams, `feed` takes what the server sends, and what `take` returns is to be sent to it.
    """

    def __init__(self) -> None:
        self.exchanges: dict[int, Exchange] = {}
        """The streams that are open."""
        self.ready = False
        """Whether the server's SETTINGS have come, with which it says hello."""
        self.goodbye: tuple[int, str] | None = None
        """Error code and text of a GOAWAY, the server's or ours."""
        self._next = 1
        self._forgiven = 0  # up to here a stream that is closed may have been closed from this side
        self.streams_allowed = frames.MOST
        """How many the server lets be open at once."""
        self._rest = b""
        self._block: tuple[int, int, bytes] | None = None  # stream, flags and beginning of headers that go on
        self._continued = 0
        self._unreturned = 0
        self._writer, self._reader = headers.Writer(), headers.Reader()
        self._outbox = Outbox()
        ours = b"".join(frames.SETTING.pack(*each) for each in _OURS)
        self._outbox.add(frame(frames.SETTINGS, 0, 0, ours))
        self._outbox.add(frame(frames.WINDOW_UPDATE, 0, 0, U32.pack(CONNECTION_WINDOW - FIRST_WINDOW)))

    @property
    def spent(self) -> bool:
        """Whether no stream will ever be opened here again."""
        return self.goodbye is not None or self._next > frames.MOST

    @property
    def free(self) -> int:
        """How many streams may be opened now; none while several requests wait for room at the server."""
        if not self.ready or self.spent or self._outbox.full:
            return 0
        return max(0, self.streams_allowed - len(self.exchanges))

    def request(self, fields: Fields, body: bytes, exchange: Exchange) -> None:
        """Opens a stream and sends all of it, as fast as the server has room. Only where `free` is positive."""
        exchange.number = number = self._next
        self._next = number + 2
        self.exchanges[number] = exchange
        self._outbox.request(number, self._writer.write(fields), body)

    def cancel(self, exchange: Exchange, code: ErrorCode = ErrorCode.CANCEL) -> None:
        """Ends a stream from this side: its exchange hears nothing more. Does nothing where it has ended."""
        if self._let_go(exchange.number) is not None:
            self._outbox.add(frame(frames.RST_STREAM, 0, exchange.number, U32.pack(code)))

    def took(self, exchange: Exchange, count: int) -> None:
        """Lets the server send so many more bytes on this stream."""
        if count and exchange.number in self.exchanges:
            exchange.room += count
            self._outbox.add(frame(frames.WINDOW_UPDATE, 0, exchange.number, U32.pack(count)))

    def ping(self) -> None:
        """Asks the server for a sign of life; whatever comes is one."""
        self._outbox.add(frame(frames.PING, 0, 0, bytes(8)))

    def take(self) -> bytes:
        """What is to be sent now. Not to be called while what it gave before is still waiting to be sent."""
        return self._outbox.take()

    def feed(self, data: bytes) -> None:
        """Takes what has come, cut anywhere, and tells the exchanges.

        Raises ProtocolError: then nothing may be called any more but `take`, which has the goodbye.
        """
        try:
            self._feed(self._rest + data if self._rest else data)
        except HeadersError as error:
            raise self._over(ProtocolError(ErrorCode.COMPRESSION_ERROR, str(error))) from None  # 4.3
        except ProtocolError as error:
            raise self._over(error) from None
        if self._unreturned >= CONNECTION_WINDOW // 2:
            self._outbox.add(frame(frames.WINDOW_UPDATE, 0, 0, U32.pack(self._unreturned)))
            self._unreturned = 0

    def _over(self, error: ProtocolError) -> ProtocolError:
        self.goodbye = error.code, str(error)
        self._outbox.add(frame(frames.GOAWAY, 0, 0, U32.pack(0) + U32.pack(error.code)))  # 5.4.1
        return error

    def _feed(self, buffer: bytes) -> None:
        at, size = 0, len(buffer)
        exchanges, known, unpack = self.exchanges, self._reader.known, frames.HEAD.unpack_from
        while size - at >= frames.HEAD.size:
            high, length, kind, flags, number = unpack(buffer, at)
            begin = at + frames.HEAD.size
            end = begin + length
            if high or length > frames.BYTES:  # 4.2
                raise ProtocolError(ErrorCode.FRAME_SIZE_ERROR, "a frame larger than agreed, or none at all")
            if end > size:
                break
            at = end
            exchange = exchanges.get(number)
            if exchange is None or flags & _RARE or self._block is not None:
                self._any(kind, flags, number & frames.MOST, buffer[begin:end])
            # What comes all the time is dealt with here.
            elif kind == frames.DATA:
                self._data(exchange, flags, length, buffer, begin, end)
            elif kind == frames.HEADERS and flags & frames.END_HEADERS:
                block = buffer[begin:end]
                self._section(exchange, flags, known.get(block) or self._reader.read(block))
            else:
                self._any(kind, flags, number, buffer[begin:end])
        self._rest = buffer[at:]

    def _any(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        """Any frame, in any state. Of a kind that nobody knows it means nothing (4.1)."""
        if not self.ready and (kind != frames.SETTINGS or flags & frames.ACK):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "it does not begin with its SETTINGS")  # 3.4
        if self._block is not None and (kind != frames.CONTINUATION or number != self._block[0]):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "headers interrupted by another frame")  # 6.10
        frames.check(kind, flags, number, len(payload))
        if number and kind != frames.PRIORITY and (number >= self._next or number % 2 == 0):
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"stream {number} was never opened")  # 5.1, 5.1.1
        if kind == frames.DATA:
            self._data_of_any(flags, number, payload)
        elif kind == frames.HEADERS:
            begin, end = frames.content(flags, payload, prioritized=True)
            self._headers(number, flags, flags, payload[begin:end])
        elif kind == frames.CONTINUATION:
            if self._block is None:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "headers continued that never began")  # 6.10
            self._headers(number, self._block[1], flags, payload)
        elif kind == frames.SETTINGS and not flags & frames.ACK:
            self._settle(payload)
        elif kind == frames.PING and not flags & frames.ACK:
            self._outbox.reply(frame(frames.PING, frames.ACK, 0, payload))
        elif kind == frames.WINDOW_UPDATE:
            self._widen(number, U32.unpack(payload)[0] & frames.MOST)
        elif kind == frames.RST_STREAM:
            exchange, code = self._let_go(number), U32.unpack(payload)[0]
            if exchange is not None:
                exchange.reset(code, f"the server has reset the stream ({frames.name(code)})")
        elif kind == frames.GOAWAY:
            self._go_away(payload)
        elif kind == frames.PUSH_PROMISE:
            raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a push, which was forbidden")  # 6.6

    def _data_of_any(self, flags: int, number: int, payload: bytes) -> None:
        begin, end = frames.content(flags, payload)
        exchange = self.exchanges.get(number)
        if exchange is None:
            self._unreturned += len(payload)
            self._closed(number)
        else:
            self._data(exchange, flags, len(payload), payload, begin, end)
            padding = len(payload) - (end - begin)
            if padding and number in self.exchanges:  # nobody else gives it back (6.9.1)
                exchange.room += padding
                self._outbox.reply(frame(frames.WINDOW_UPDATE, 0, number, U32.pack(padding)))

    def _data(self, exchange: Exchange, flags: int, length: int, buffer: bytes, begin: int, end: int) -> None:
        """6.1. `length` is what counts against the windows."""
        self._unreturned += length
        exchange.room -= length
        if exchange.room < 0:
            self._fail(exchange, ErrorCode.FLOW_CONTROL_ERROR, "more data than its window allows")  # 6.9.1
        elif exchange.head is None:
            self._fail(exchange, ErrorCode.PROTOCOL_ERROR, "data before headers")  # 8.1
        else:
            if begin < end:
                exchange.data(buffer, begin, end)
            if flags & frames.END_STREAM and self._answered(exchange):
                exchange.end(exchange.head)

    def _headers(self, number: int, first_flags: int, flags: int, piece: bytes) -> None:
        """4.3. Also those that nobody waits for are read: the table is everybody's."""
        if self._block is not None:
            piece = self._block[2] + piece
        self._continued += 1
        if (
            len(piece) + self._continued * frames.HEAD.size > headers.MOST_BYTES
        ):  # also if the pieces are empty
            raise ProtocolError(ErrorCode.ENHANCE_YOUR_CALM, "headers without end")  # 10.5.1
        if not flags & frames.END_HEADERS:
            self._block = number, first_flags, piece
            return
        self._block, self._continued = None, 0
        section = self._reader.read(piece)
        exchange = self.exchanges.get(number)
        if exchange is None:
            self._closed(number)
        else:
            self._section(exchange, first_flags, section)

    def _section(self, exchange: Exchange, flags: int, section: Section) -> None:
        """8.1: heads of status 1xx, as many as there are; a head; maybe trailers. The last ends the stream."""
        last, is_head = flags & frames.END_STREAM, exchange.head is None
        informational = section.status[:1] == "1"
        if section.malformed:
            self._fail(exchange, ErrorCode.PROTOCOL_ERROR, section.malformed)
        elif is_head != bool(section.status):
            self._fail(exchange, ErrorCode.PROTOCOL_ERROR, "no status" if is_head else "a second head")
        elif informational and (last or section.status == "101"):  # 8.1, 8.6
            self._fail(exchange, ErrorCode.PROTOCOL_ERROR, f"an answer of status {section.status}")
        elif not is_head and not last:
            self._fail(exchange, ErrorCode.PROTOCOL_ERROR, "trailers that do not end it")
        elif not informational:
            if is_head:
                exchange.head = section
            if last and self._answered(exchange):
                exchange.end(section)

    def _answered(self, exchange: Exchange) -> bool:
        """Notes that the server has said all it will on this stream; returns whether it was open until now."""
        if self.exchanges.pop(exchange.number, None) is None:
            return False
        if self._outbox.drop(exchange.number):  # it does not want the rest of the request (8.1)
            self._outbox.add(frame(frames.RST_STREAM, 0, exchange.number, U32.pack(ErrorCode.NO_ERROR)))
        return True

    def _fail(self, exchange: Exchange, code: ErrorCode, why: str) -> None:
        """5.4.2."""
        self.cancel(exchange, code)
        exchange.reset(code, f"the server does not keep to HTTP/2 on this stream: {why}")

    def _let_go(self, number: int) -> Exchange | None:
        """Forgets a stream on which the server may go on sending for a while."""
        self._outbox.drop(number)
        self._forgiven = max(self._forgiven, number)
        return self.exchanges.pop(number, None)

    def _closed(self, number: int) -> None:
        """5.1: what comes on a stream that is not open any more was sent before the server knew, or is wrong."""
        if number > self._forgiven:
            raise ProtocolError(ErrorCode.STREAM_CLOSED, f"stream {number} goes on after its end")

    def _settle(self, payload: bytes) -> None:
        """6.5.2. Those that nobody knows mean nothing."""
        for at in range(0, len(payload), frames.SETTING.size):
            setting, value = frames.SETTING.unpack_from(payload, at)
            if setting == frames.HEADER_TABLE_SIZE:
                self._writer.resize(value)
            elif setting == frames.ENABLE_PUSH and value:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a server that wants to be pushed to")
            elif setting == frames.MAX_CONCURRENT_STREAMS:
                self.streams_allowed = value
            elif setting == frames.INITIAL_WINDOW_SIZE:
                self._outbox.resize_streams(value)
            elif setting == frames.MAX_FRAME_SIZE and not frames.BYTES <= value < 1 << 24:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, f"frames of {value} bytes")
        self.ready = True
        self._outbox.reply(frame(frames.SETTINGS, frames.ACK, 0, b""))
        self._outbox.send_more()

    def _widen(self, number: int, more: int) -> None:
        """6.9."""
        exchange = self.exchanges.get(number)
        if not number:
            if not more:
                raise ProtocolError(ErrorCode.PROTOCOL_ERROR, "a window that is widened by nothing")
            self._outbox.widen(more)
        elif exchange is not None and not more:
            self._fail(exchange, ErrorCode.PROTOCOL_ERROR, "a window that is widened by nothing")
        elif exchange is not None and not self._outbox.widen_stream(number, more):
            self._fail(exchange, ErrorCode.FLOW_CONTROL_ERROR, "a window wider than windows are")

    def _go_away(self, payload: bytes) -> None:
        """6.8. It may come again, with a lower number."""
        last, code = U32.unpack(payload[:4])[0] & frames.MOST, U32.unpack(payload[4:8])[0]
        text = payload[8 : 8 + _TEXT_BYTES].decode("ascii", "replace")
        self.goodbye = code, "".join(filter(str.isprintable, text))
        for number in [number for number in self.exchanges if number > last]:
            exchange = self._let_go(number)
            assert exchange is not None
            why = f"the server is going away ({frames.name(code)}) {self.goodbye[1]}".rstrip()
            exchange.reset(ErrorCode.REFUSED_STREAM, why)
