"""A network that takes its time: passes on what comes over one TCP connection so many milliseconds later.

`python delay.py 127.0.0.1:50051 10` prints its own port; a round trip through it takes twice as long. It looks every
quarter of a millisecond instead of waking up for every piece, so that it costs the same whatever comes, and holds
nothing back behind what came before.
"""

import contextlib
import socket
import sys
import time
from collections import deque
from typing import Final

_LOOK_SECONDS: Final = 0.00025
_MOST_BYTES: Final = 1 << 20


class Way:
    """One direction. `move` raises ConnectionError at the end of either side."""

    def __init__(self, source: socket.socket, sink: socket.socket, delay_seconds: float) -> None:
        self._source, self._sink, self._delay_seconds = source, sink, delay_seconds
        self._late: deque[tuple[float, bytes]] = deque()  # when it is due, and what
        self._due = b""

    def move(self, now: float) -> None:
        with contextlib.suppress(BlockingIOError):
            data = self._source.recv(_MOST_BYTES)
            if not data:
                raise ConnectionError
            self._late.append((now + self._delay_seconds, data))
        while self._late and self._late[0][0] <= now:
            self._due += self._late.popleft()[1]
        if self._due:
            with contextlib.suppress(BlockingIOError):
                self._due = self._due[self._sink.send(self._due) :]


def main() -> None:
    host, _, port = sys.argv[1].rpartition(":")
    # What comes has waited for half a look already, and is looked at once more when it is due.
    delay_seconds = float(sys.argv[2]) / 1000 - _LOOK_SECONDS
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        client, _ = listener.accept()
    with client, socket.create_connection((host, int(port))) as server:
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            each.setblocking(False)
        ways = Way(client, server, delay_seconds), Way(server, client, delay_seconds)
        with contextlib.suppress(ConnectionError):
            while True:
                time.sleep(_LOOK_SECONDS)
                for way in ways:
                    way.move(time.monotonic())


if __name__ == "__main__":
    main()
