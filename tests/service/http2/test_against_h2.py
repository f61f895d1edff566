"""The `h2` library as the server: another reading of RFC 9113, which checks every frame that we send."""

import h2.config
import h2.connection
import h2.events
import h2.settings
from hypothesis import example, given, settings
from hypothesis import strategies as st
from peer import HEAD, REQUEST, TRAILERS, Told
from wgtwo_pipeline.service.http2.connection import Http2

Setting = h2.settings.SettingCodes


class H2Server:
    """Takes requests and answers them as it is told; h2 raises where we break a rule."""

    def __init__(self) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        self.h2 = h2.connection.H2Connection(config)
        self.h2.initiate_connection()
        self.requests: dict[int, list] = {}
        self.whole: list[int] = []
        self.gone: set[int] = set()
        self.settling = True

    def settle(self, changes: dict) -> None:
        """h2 takes an acknowledgement for that of all SETTINGS it has sent: one at a time."""
        if not self.settling:
            self.settling = True
            self.h2.update_settings(changes)

    def feed(self, data: bytes) -> None:
        for event in self.h2.receive_data(data):
            match event:
                case h2.events.RequestReceived():
                    self.requests[event.stream_id] = [tuple(event.headers), b""]
                case h2.events.DataReceived():
                    self.requests[event.stream_id][1] += event.data
                    self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case h2.events.StreamEnded():
                    self.whole.append(event.stream_id)
                case h2.events.SettingsAcknowledged():
                    self.settling = False
                case h2.events.StreamReset():
                    self.gone.add(event.stream_id)

    def answer(self, number: int, body: bytes, padding: int | None, trailers: bool) -> None:
        self.h2.send_headers(number, HEAD)
        pieces = [body[at : at + 5000] for at in range(0, len(body), 5000)] or [b""]
        for at, piece in enumerate(pieces):
            last = at == len(pieces) - 1 and not trailers
            self.h2.send_data(number, piece, end_stream=last, pad_length=padding)
        if trailers:
            self.h2.send_headers(number, TRAILERS, end_stream=True)


class Wire:
    """What has been sent in each direction and not arrived yet; arrives in pieces of any size."""

    def __init__(self) -> None:
        self.http, self.server = Http2(), H2Server()
        self.up = self.down = b""

    def look(self) -> None:
        self.up += self.http.take()
        self.down += self.server.h2.data_to_send()

    def move(self, count: int, up: bool) -> None:
        self.look()
        if up:
            piece, self.up = self.up[:count], self.up[count:]
            self.server.feed(piece)
        else:
            piece, self.down = self.down[:count], self.down[count:]
            self.http.feed(piece)

    def settle(self) -> None:
        self.look()
        while self.up or self.down:
            self.move(1 << 20, up=True)
            self.move(1 << 20, up=False)
            self.look()


STEPS = st.one_of(
    st.tuples(st.just("move"), st.integers(1, 30_000), st.booleans()),
    st.tuples(st.just("request"), st.sampled_from([0, 1, 100, 20_000, 70_000]), st.integers(0, 3)),
    st.tuples(st.just("answer"), st.sampled_from([0, 5, 4000, 30_000]), st.sampled_from([None, 0, 200])),
    st.tuples(st.just("cancel"), st.integers(0, 50), st.none()),
    st.tuples(st.just("reset"), st.integers(0, 50), st.none()),
    st.tuples(st.just("ping"), st.booleans(), st.none()),
    st.tuples(
        st.just("settings"),
        st.sampled_from(
            [Setting.HEADER_TABLE_SIZE, Setting.INITIAL_WINDOW_SIZE, Setting.MAX_CONCURRENT_STREAMS]
        ),
        st.sampled_from([0, 1, 100, 4096, 65_535, 1 << 20]),
    ),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(STEPS, max_size=60))
@example(
    [("request", 70_000, 0), ("settings", Setting.INITIAL_WINDOW_SIZE, 0)]
)  # acknowledged before it is used
def test_conversations_with_h2(steps):
    """Whatever happens in whatever order, both read the same, and both keep to the rules."""
    wire = Wire()
    told: list[Told] = []
    asked: dict[int, tuple] = {}
    answers: dict[int, bytes] = {}
    cancelled: set[int] = set()
    http, server = wire.http, wire.server
    wire.settle()
    for what, first, second in steps:
        if what == "move":
            wire.move(first, second)
        elif what == "request" and http.free > 0:
            told.append(Told())
            fields = (*REQUEST, *((("authorization", f"Bearer {second}"),) if second else ()))
            asked[len(told)] = fields, bytes([len(told) % 251]) * first
            http.request(*asked[len(told)], told[-1])
        elif what == "cancel" and told:
            exchange = told[first % len(told)]
            if exchange.ended is None and exchange.failed is None:
                http.cancel(exchange)
                cancelled.add(exchange.number)
        elif what in ("answer", "reset"):
            open_here = [each for each in server.requests if each not in answers and each not in server.gone]
            if open_here and what == "answer":
                answers[open_here[0]] = bytes([open_here[0] % 251]) * first
                server.answer(open_here[0], answers[open_here[0]], second, trailers=first % 2 == 1)
            elif open_here:
                number = open_here[first % len(open_here)]
                server.gone.add(number)
                server.h2.reset_stream(number, 8)
        elif what == "ping":
            if first:
                http.ping()
            else:
                server.h2.ping(b"12345678")
        elif what == "settings":
            server.settle({first: second})
    wire.settle()
    server.settle({Setting.INITIAL_WINDOW_SIZE: 65_535, Setting.MAX_CONCURRENT_STREAMS: 100})
    wire.settle()
    for index, exchange in enumerate(told, 1):
        number = exchange.number
        if number in cancelled:
            assert exchange.ended is None
            continue
        fields, body = asked[index]
        assert server.requests[number][0] == fields
        if number in answers:
            assert exchange.got == answers[number]
            assert exchange.ended is not None
        else:
            assert exchange.ended is None
            assert (exchange.failed is not None) == (number in server.gone)
            if number not in server.gone:
                assert server.requests[number][1] == body
                assert number in server.whole


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.sampled_from([0, 5, 100, 16_384])), min_size=1, max_size=80),
    st.data(),
)
def test_a_server_that_goes_away(calls, data):
    """GOAWAY in the middle of it: every call is answered or known to be refused, none is neither and none both."""
    wire = Wire()
    http, server = wire.http, wire.server
    wire.settle()
    told = []
    for pause, size in calls:
        if http.free:
            told.append(Told())
            http.request(REQUEST, bytes(size), told[-1])
        wire.move(pause * 200, up=True)
    last = data.draw(st.sampled_from([0, *server.requests]))
    for number in list(server.requests):
        if number <= last and number not in server.gone:
            server.answer(number, b"fine", None, trailers=True)
    server.h2.close_connection(0, last_stream_id=last)
    wire.look()
    http.feed(wire.down)
    for exchange in told:
        if exchange.number <= last:
            assert exchange.got == b"fine"
            assert exchange.ended
        else:
            assert exchange.failed is not None
            assert exchange.failed[0] == 7
    assert not http.exchanges
    assert http.spent
