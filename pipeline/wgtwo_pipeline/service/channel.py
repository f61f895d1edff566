"""One thread that owns the connections to one service, and does all reading, writing and waiting.

Works are handed in from any thread; each is opened on the connection as soon as that has room for it. When the
server says that it goes away another connection takes its place, and the old one ends with its last exchange.

It is over 300 lines because all that the connection's one thread does is to be read in one place.
"""

import contextlib
import logging
import math
import select
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Final, Protocol

from wgtwo_pipeline.service.connect import Connect, Socket
from wgtwo_pipeline.service.http2.connection import Http2
from wgtwo_pipeline.service.http2.frames import ErrorCode, ProtocolError

_LOG = logging.getLogger(__name__)

LOST: Final = -1
"""The code that exchanges are reset with whose connection is lost: what the server has done is not known."""

_READ_BYTES: Final = 1 << 18
_TICK_SECONDS: Final = 0.25
_HELLO_SECONDS: Final = 20.0
_PING_ANSWER_SECONDS: Final = 20.0
_IDLE_SECONDS: Final = 60.0
_CLOSE_SECONDS: Final = 0.2


class Connection:
    """A connected socket and what HTTP/2 knows of it. Only the channel's thread uses it."""

    def __init__(self, connected: Socket) -> None:
        self.http = Http2()
        self.heard_at = self.pinged_at = time.monotonic()
        """When something came last, and when a ping was sent last; of the monotonic clock, as all times here."""
        self.retired = False
        """Whether to open no more exchanges on it, although the server would let us."""
        self._socket = connected
        self._unsent = b""

    @property
    def usable(self) -> bool:
        """Whether exchanges may be opened on it, now or later."""
        return not self.retired and not self.http.spent

    def fileno(self) -> int:
        """The socket's."""
        return self._socket.fileno()

    def receive(self) -> None:
        """Takes what has come. Raises OSError or ProtocolError when the connection is over."""
        while data := self._socket.receive(_READ_BYTES):
            self.heard_at = time.monotonic()
            self.http.feed(data)
            if not self._socket.pending:
                return

    def send(self) -> bool:
        """Sends what it can; returns whether that was all. Raises OSError when the connection is over."""
        data = self._unsent or self.http.take()
        while data:
            self._unsent = data[self._socket.send(data) :]
            if self._unsent:
                return False
            data = self.http.take()
        return True

    @property
    def full(self) -> bool:
        """Whether exchanges that last take all the room that the server gives, so that no other may find any."""
        lasting = sum(each.lasting for each in self.http.exchanges.values())
        return self.http.ready and 0 < self.http.streams_allowed <= lasting

    def close(self, why: str) -> None:
        """Ends it and resets all exchanges that are still open."""
        exchanges, self.http.exchanges = self.http.exchanges, {}
        self._socket.close()
        for exchange in exchanges.values():
            exchange.reset(LOST, why)


class Work(Protocol):
    """What needs exchanges; all of it is called in the channel's thread."""

    deadline: float
    """When it has to have ended, by the monotonic clock; may be infinite."""

    def open(self, connection: Connection) -> bool:
        """Opens on this connection as many exchanges as it lets; returns whether that was all it needs."""

    def fail(self, why: str) -> None:
        """There is no connection to be had."""

    def close(self) -> None:
        """The channel is closed."""

    def expire(self) -> None:
        """Its deadline has come."""


class Channel:
    """See above. It connects with the first work, and again whenever there is work and no connection."""

    def __init__(self, connect: Connect, keepalive_seconds: float) -> None:
        """After `keepalive_seconds` of silence a connection that has exchanges is pinged."""
        self._connect, self._keepalive_seconds = connect, keepalive_seconds
        self._poll = select.poll()
        self._woken, self._waker = socket.socketpair()
        for end in (self._woken, self._waker):
            end.setblocking(False)
        self._poll.register(self._woken, select.POLLIN)
        self._posted: deque[Callable[[], None]] = deque()
        self._queue: deque[Work] = deque()
        self._under_way: dict[Work, None] = {}
        self._connections: dict[int, Connection] = {}
        self._blocked: set[int] = set()
        self._current: Connection | None = None
        self._connecting = self._sleeping = self._closing = self._ended = False
        self._thread = threading.Thread(target=self._run, name="http2", daemon=True)
        self._thread.start()

    def submit(self, work: Work) -> None:
        """Has a work done."""
        self.post(lambda: self._submit(work))

    def post(self, function: Callable[[], None]) -> None:
        """Has `function` called in the channel's thread, soon; never once that has ended."""
        self._posted.append(function)
        if self._sleeping:
            self._sleeping = False
            self._wake()
        if self._ended:  # it may have ended before it saw this
            self._call_posted()

    def close(self) -> None:
        """Takes no more work; what is under way ends with its answers or deadlines, and then the thread does.

        Idempotent.
        """
        self._closing = True
        self._wake()
        if self._thread is not threading.current_thread():
            self._thread.join(_CLOSE_SECONDS)

    # In the channel's thread:

    def again(self, work: Work) -> None:
        """Opens more of a work: the server has refused some of its exchanges without looking at them."""
        if work in self._under_way and work not in self._queue:
            self._queue.append(work)

    def done(self, work: Work) -> None:
        """Forgets a work."""
        self._under_way.pop(work, None)
        if work in self._queue:
            self._queue.remove(work)

    def suspect(self, connection: Connection) -> None:
        """Asks a connection for a sign of life, and opens nothing on it any more."""
        if connection.usable:
            connection.retired = True
            self._ping(connection)

    def _submit(self, work: Work) -> None:
        if self._closing:
            work.close()
        else:
            self._under_way[work] = None
            self._queue.append(work)

    def _run(self) -> None:
        try:
            next_tick = 0.0
            while not self._closing or self._under_way:
                self._sleep(next_tick)
                self._call_posted()
                self._open_queued()
                for connection in list(self._connections.values()):
                    self._guarded(connection, self._send)
                now = time.monotonic()
                if now >= next_tick:
                    next_tick = now + _TICK_SECONDS
                    self._look_after(now)
        except Exception:
            _LOG.exception("the event service's connections failed")
        finally:
            self._end()

    def _sleep(self, until: float) -> None:
        """Waits for something to happen, and takes what has come."""
        until = min(until, min((work.deadline for work in self._under_way), default=math.inf))
        self._sleeping = True  # before the look at what was posted: whoever posts looks the other way round
        wait_seconds = 0.0 if self._posted else max(0.0, until - time.monotonic())
        events = self._poll.poll(math.ceil(wait_seconds * 1000))
        self._sleeping = False
        for descriptor, what in events:
            connection = self._connections.get(descriptor)
            if connection is None:
                self._woken.recv(4096)
            elif what & ~select.POLLOUT:
                self._guarded(connection, Connection.receive)

    def _call_posted(self) -> None:
        while self._posted:
            try:
                function = self._posted.popleft()
            except IndexError:  # once the thread has ended, whoever posts calls this
                return
            try:
                function()
            except Exception:  # the thread must go on
                _LOG.exception("the event service's connection failed at a task")

    def _open_queued(self) -> None:
        if not self._queue:
            return
        if self._current is None or not self._current.usable:
            self._current = None  # it ends with its last exchange
            if not self._connecting:
                self._connecting = True
                threading.Thread(target=self._make_connection, name="connect", daemon=True).start()
            return
        while self._queue and self._current.http.free > 0 and self._queue[0].open(self._current):
            self._queue.popleft()
        if self._queue and self._current.http.free <= 0:
            self._current.retired = self._current.full

    def _guarded(self, connection: Connection, use: Callable[[Connection], object]) -> None:
        try:
            use(connection)
        except (OSError, ProtocolError) as error:
            self._drop(connection, str(error) or type(error).__name__)
        except Exception:
            _LOG.exception("the event service's connection failed")
            self._drop(connection, "an internal error")

    def _send(self, connection: Connection) -> None:
        descriptor, all_sent = connection.fileno(), connection.send()
        if all_sent == (descriptor in self._blocked):
            self._poll.modify(descriptor, select.POLLIN | (0 if all_sent else select.POLLOUT))
            (self._blocked.discard if all_sent else self._blocked.add)(descriptor)

    def _drop(self, connection: Connection, why: str) -> None:
        descriptor = connection.fileno()
        if self._connections.pop(descriptor, None) is None:
            return
        self._poll.unregister(descriptor)
        self._blocked.discard(descriptor)
        with contextlib.suppress(OSError):
            connection.send()  # what it has to say for goodbye
        if connection.http.goodbye is not None and connection.http.goodbye[0] == ErrorCode.ENHANCE_YOUR_CALM:
            self._keepalive_seconds *= 2  # that is how servers say that they find pings too frequent
        if self._current is connection:
            self._current = None
            if not connection.http.ready:  # it has never been one
                self._fail_queued(why)
        connection.close(why)

    def _fail_queued(self, why: str) -> None:
        queued, self._queue = self._queue, deque()
        for work in queued:
            work.fail(why)

    def _ping(self, connection: Connection) -> None:
        connection.pinged_at = time.monotonic()
        connection.http.ping()

    def _look_after(self, now: float) -> None:
        for work in [work for work in self._under_way if work.deadline <= now]:
            work.expire()
        for connection in list(self._connections.values()):
            self._look_after_one(connection, now)

    def _look_after_one(self, connection: Connection, now: float) -> None:
        http, silent_seconds = connection.http, now - connection.heard_at
        patience_seconds = min(self._keepalive_seconds, _PING_ANSWER_SECONDS)
        unanswered = connection.pinged_at > connection.heard_at
        if not http.exchanges and (not connection.usable or silent_seconds > _IDLE_SECONDS):
            self._drop(connection, "it is not needed any more")
        elif not http.ready and silent_seconds > _HELLO_SECONDS:
            self._drop(connection, "the server does not say hello, as one of HTTP/2 does")
        elif unanswered and now - connection.pinged_at > patience_seconds:
            self._drop(connection, "the connection is dead: a ping was not answered")
        elif http.exchanges and not unanswered and silent_seconds > self._keepalive_seconds:
            self._ping(connection)

    def _make_connection(self) -> None:
        """In a thread of its own: names are looked up and hands shaken."""
        try:
            connected, why = self._connect(), ""
        except OSError as error:
            connected, why = None, str(error) or type(error).__name__
        except Exception as error:
            _LOG.exception("connecting to the event service failed")
            connected, why = None, f"an internal error ({type(error).__name__})"
        self.post(lambda: self._connected(connected, why))

    def _connected(self, connected: Socket | None, why: str) -> None:
        self._connecting = False
        if connected is None:
            self._fail_queued(why)
        elif self._ended:
            connected.close()
        else:
            self._current = connection = Connection(connected)
            self._connections[connection.fileno()] = connection
            self._poll.register(connection.fileno(), select.POLLIN)

    def _wake(self) -> None:
        with contextlib.suppress(OSError):  # it is full, or closed: awake anyway
            self._waker.send(b"\0")

    def _end(self) -> None:
        self._closing = True
        for connection in list(self._connections.values()):
            self._drop(connection, "closed on this side")
        for work in list(self._under_way):
            work.close()
        self._ended = True
        self._call_posted()
        self._woken.close()
        self._waker.close()
