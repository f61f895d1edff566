"""A transport that plays a script, and a clock that it moves: for tests of what receives and acks."""

import threading
from collections import deque

from wgtwo_pipeline.errors import PipelineError
from wgtwo_pipeline.service.transport import CallResult, Received, StreamEndedError


class Clock:
    """Stands in for the module `time`: it moves when something waits."""

    def __init__(self):
        self.now = 1000.0

    def monotonic(self):
        return self.now

    time = monotonic


class Stopping:
    """A flag to stop, as `threading.Event` has it, whose waiting moves the clock; `on_wait` is called before."""

    def __init__(self, clock):
        self._clock, self._is_set = clock, False
        self.waits = []
        self.on_wait = lambda: None

    def set(self):
        self._is_set = True

    def is_set(self):
        return self._is_set

    def wait(self, seconds):
        self.on_wait()
        self.waits.append(seconds)
        if not self._is_set:
            self._clock.now += seconds
        return self._is_set


class ScriptedStream:
    """Plays what each `receive` gives: a list of payloads, or an exception; when that is all, nothing comes."""

    def __init__(self, clock, script, connected=True):
        self._clock, self._script = clock, deque(script)
        self.connected = connected
        self.cancelled = False

    @property
    def waiting(self):
        return sum(len(each) for each in self._script if isinstance(each, list))

    def receive(self, enough, max_count, linger_seconds, timeout_seconds):
        if not self._script:
            if self.cancelled:
                raise StreamEndedError("CANCELLED", "from this side")
            self._clock.now += timeout_seconds
            return []
        step = self._script.popleft()
        if isinstance(step, PipelineError):
            self._script.appendleft(step)
            raise step
        if not step:
            self._clock.now += timeout_seconds
        taken, left = step[:max_count], step[max_count:]
        if left:
            self._script.appendleft(left)
        return [Received(payload, int(self._clock.now * 1e6)) for payload in taken]

    def cancel(self):
        self.cancelled = True


class ScriptedTransport:
    """Hands out streams in turn; answers calls by `answer(request)`, success by default."""

    def __init__(self, clock=None, *streams):
        self.clock = clock or Clock()
        self.streams = deque(streams)
        self.opened: list[ScriptedStream] = []
        self.requests: list[bytes] = []
        self.called: list[list[bytes]] = []
        self.answer = lambda request: CallResult("OK", "", b"")
        self.closed = False
        self.lock = threading.Lock()

    def stream(self, method, request):
        self.requests.append(request)
        script = self.streams.popleft() if self.streams else []
        stream = script if isinstance(script, ScriptedStream) else ScriptedStream(self.clock, script)
        self.opened.append(stream)
        return stream

    def start_many(self, method, requests, timeout_seconds, done):
        """Answers in a thread of its own, so that an answer may be waited for."""
        with self.lock:
            self.called.append(list(requests))

        def work():
            done([self.answer(request) for request in requests])

        threading.Thread(target=work, daemon=True).start()

    def close(self):
        self.closed = True
