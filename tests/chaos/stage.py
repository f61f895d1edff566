"""The real parts and all that can happen to them: copies of the pipeline, the service, the lake, the networks."""

import contextlib
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from books import Books, Life
from processes import Command
from servers import Toxiproxy, VersityGateway

BUCKET, PREFIX = "a-lake", "lakes/one"
LAKE = f"s3://{BUCKET}/{PREFIX}"
SERVICE = ("--rate", 100, "--malform", 0.01, "--drop-acks", 0.02, "--duplicate-deliveries", 0.02)
START_SECONDS = 90
RUN = ("run", "--publish-every", "1s")
COPIES = ("copy 1", "copy 2")

TOXICS = (
    ("latency", {"latency": 200, "jitter": 150}),
    ("latency", {"latency": 1500, "jitter": 500}),
    ("reset_peer", {"timeout": 0}),
    ("reset_peer", {"timeout": 300}),
    ("timeout", {"timeout": 0}),  # nothing comes through, no connection ends
    ("limit_data", {"bytes": 0}),
    ("limit_data", {"bytes": 30_000}),
    ("bandwidth", {"rate": 20}),
    ("slicer", {"average_size": 100, "size_variation": 50, "delay": 2000}),
)


class Stage:
    """Everything in one thread: what lasts for a while is ended by `pause`, in which time passes.

    What begins something of a kind that still goes on ends that first.
    """

    def __init__(
        self,
        folder: Path,
        chance: random.Random,
        gateway: VersityGateway,
        to_lake: Toxiproxy,
        to_service: Toxiproxy,
        service_port: int,
    ) -> None:
        self._folder, self._chance, self._gateway = folder, chance, gateway
        self._networks = {"to the lake": to_lake, "to the service": to_service}
        self._service_port = service_port
        self._options = ("--lake", LAKE, "--s3-endpoint", to_lake.endpoint)
        service = ("--endpoint", f"127.0.0.1:{to_service.port}", "--plaintext", "--ack-timeout", "3s")
        self._ingest_options = (*self._options, *service)
        self._ends: dict[str, tuple[float, Callable[[], object]]] = {}
        self._begun = 0  # lives of the service
        self.started: list[Command] = []
        self.copies: dict[str, Command] = {}
        self.kills: Counter[str] = Counter()
        self.troubles: Counter[str] = Counter()
        self.refusals: list[str] = []
        self.books = Books()
        self._begin_life()

    # What time does

    def pause(self, seconds: float) -> None:
        self.wait(lambda: False, seconds)

    def wait(self, condition: Callable[[], object], seconds: float) -> bool:
        """Lets time pass until the condition holds, or for as long; returns whether it holds."""
        deadline = time.monotonic() + seconds
        while not (held := bool(condition())) and time.monotonic() < deadline:
            self._tick()
            time.sleep(0.05)
        return held

    def expect(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        """Lets time pass until the condition holds; fails the test when it doesn't in time."""
        if not self.wait(condition, seconds):
            going_on = [f"{name}:\n{copy.stderr[-3000:]}" for name, copy in self.copies.items()]
            pytest.fail(
                "\n".join([f"not within {seconds} s: {what}", f"under way: {list(self._ends)}", *going_on])
            )

    def _tick(self) -> None:
        for name, (at, _) in list(self._ends.items()):
            if time.monotonic() >= at:
                self.settle(name)
        for name, copy in self.copies.items():
            if name not in self._ends and not copy.running:
                self._note_refusal(copy)
                self.start(name)

    def _note_refusal(self, command: Command) -> None:
        lines = command.stderr.splitlines() or [""]
        self.refusals.append(f"{command.process.returncode}: {lines[-1]}")

    def settle(self, name: str) -> None:
        """Ends now what of this name goes on, if anything does."""
        if name in self._ends:
            _, end = self._ends.pop(name)
            end()

    def settle_all(self) -> None:
        for name in list(self._ends):
            self.settle(name)

    def _for_a_while(
        self, name: str, longest: float, begin: Callable[[], object], end: Callable[[], object]
    ) -> None:
        self.settle(name)
        begin()
        self._ends[name] = (time.monotonic() + self._chance.uniform(0, longest), end)

    # What can be started

    def command(self, *arguments: object) -> Command:
        """Any command on the lake, through the network."""
        options = self._ingest_options if arguments[0] in ("run", "ingest") else self._options
        environment = self._gateway.credentials.environment()
        self.started.append(Command(self._folder, *arguments, *options, env=environment))
        return self.started[-1]

    def start_copies(self) -> None:
        for name in COPIES:
            self.start(name)

    def start(self, name: str) -> None:
        """One of the two copies; the second is also `ingest` at times, with the first alone to publish."""
        only_ingest = name == COPIES[1] and self._chance.random() < 0.25
        self.copies[name] = self.command(*(("ingest",) if only_ingest else RUN))

    def _begin_life(self) -> None:
        self._begun += 1
        self.life = Life(self._folder, self._service_port, self._begun, *SERVICE)
        self.started.append(self.life.command)

    @property
    def acked(self) -> int:
        """By the life that is; -1 while there is none."""
        return -1 if "service" in self._ends else int(self.life.group().get("acked", 0))

    def all_acked(self) -> bool:
        group = self.life.group()
        return bool(group) and not any(group[name] for name in ("backlog", "unacked", "waiting"))

    @property
    def lives(self) -> int:
        return self._begun

    # What can happen

    def kill_copy(self) -> None:
        """A copy with all its processes, at one moment."""
        name, copy = self._awake()
        self._for_a_while(name, 2, copy.kill_everything, partial(self.start, name))
        self.kills["a whole copy"] += 1

    def kill_parent(self) -> None:
        """A copy's first process: its children go on beside the next copy, until they notice."""
        name, copy = self._awake()
        copy.send(signal.SIGKILL)
        copy.wait(5)
        self.start(name)
        self.kills["a parent"] += 1

    def kill_child(self) -> None:
        """A publisher or a member; its parent is to start another."""
        _, copy = self._awake()
        os.kill(self._chance.choice(copy.children()), signal.SIGKILL)
        self.kills["a child"] += 1

    def kill_lake(self) -> None:
        self._for_a_while("lake", 3, self._gateway.kill, self._gateway.start)
        self.kills["the S3 server"] += 1

    def kill_service(self) -> None:
        """It forgets everything; the next life knows only what it makes itself."""
        self.settle("service")
        self.books.close(self.life)
        self._for_a_while("service", 2, self.life.command.kill_everything, self._begin_life)
        self.kills["the event service"] += 1

    def kill_publish(self) -> None:
        """A `publish` beside the publishers of the copies; most of the time of its life it is at work."""
        self.settle("publish")
        publish = self.command("publish")
        self._for_a_while("publish", 8, lambda: None, partial(self._end_publish, publish))

    def _end_publish(self, publish: Command) -> None:
        if publish.running:
            publish.kill_everything()
            self.kills["a publish"] += 1
        elif publish.process.returncode:
            self._note_refusal(publish)

    def freeze(self) -> None:
        """A copy stands still, longer than its events wait for their acks, and goes on as if nothing were."""
        name, copy = self._awake()
        stopped = copy.everything()

        def send(number: signal.Signals) -> None:
            for pid in stopped:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)

        self._for_a_while(name, 9, partial(send, signal.SIGSTOP), partial(send, signal.SIGCONT))
        self.troubles["a copy frozen"] += 1

    def cut(self) -> None:
        """Every connection of one network is cut, none can be made."""
        where, network = self._network()
        self._for_a_while(where, 4, partial(network.enable, False), network.clear)
        self.troubles[f"network {where} cut"] += 1

    def disturb(self) -> None:
        """One network is slow, silent, or loses what was asked or answered."""
        where, network = self._network()
        kind, attributes = self._chance.choice(TOXICS)
        stream = self._chance.choice(("upstream", "downstream"))
        begin = partial(network.add, kind, stream, **attributes)
        self._for_a_while(where, 4, begin, network.clear)
        self.troubles[f"network {where} disturbed"] += 1

    def fill_disk(self) -> None:
        """No byte is left on the S3 server's disk."""
        filler = self._gateway.folder / "data" / "filler"

        def fill() -> None:
            with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
                while True:
                    file.write(bytes(1 << 16))

        self._for_a_while("disk", 4, fill, filler.unlink)
        self.troubles["disk full"] += 1

    def _network(self) -> tuple[str, Toxiproxy]:
        return self._chance.choice(list(self._networks.items()))

    def _awake(self) -> tuple[str, Command]:
        """One of the copies, most of the time when it is at work, else while it starts."""
        name = self._chance.choice(COPIES)
        self.settle(name)

        def at_work() -> bool:
            copy = self.copies[name]
            return bool(copy.children()) and "subscribing" in copy.stderr

        if self._chance.random() < 0.8:
            self.expect(at_work, START_SECONDS, f"{name} works")
        self.expect(lambda: self.copies[name].children(), START_SECONDS, f"{name} has children")
        return name, self.copies[name]
