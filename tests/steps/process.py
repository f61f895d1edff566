"""One process of the scripted world: what it holds in memory, and how it freezes, goes on and dies."""

from scripted_lake import ScriptedStore
from scripted_time import Coroutine


class KilledError(BaseException):
    """The process is dead: nothing of it may run on."""


class Process:
    """What one process holds in memory; gone when it is killed."""

    def __init__(self, world, role, number):
        self.world, self.role, self.name = world, role, f"{role}-{number}"
        self.number = number
        self.dead = False
        self.parked = False
        self.credit: int | None = None  # so many steps before it parks again
        self.resume_at: int | None = None
        self.way = ""
        self.caches = {}
        self.is_checked = False
        self.transports = []
        self.store = ScriptedStore(world, self, world.bucket)
        self.worker = None
        self._running: Coroutine | None = None

    def run(self, function):
        """Runs it in this process. Returns whether it ended; False where it froze. Raises what it raises."""
        self._running = Coroutine(function)
        return self.go_on()

    def go_on(self, credit=None):
        self.credit, self.parked = credit, False
        before, self.world.current = self.world.current, self
        self._running.go_on()
        self.world.current = before
        if self.parked:
            return False
        if self._running.error is not None:
            raise self._running.error
        return True

    def park(self):
        self.parked = True
        self._running.park()
        if self.dead:
            raise KilledError

    def background(self):
        """Gives what goes on beside the flow a turn: the calls that were started."""
        for transport in self.transports:
            transport.turn()
