"""The supervisor: restarts who was killed, ends with who gave up, drains in the order in which events flow."""

import itertools
import os
import signal

import pytest
from typed import gather
from wgtwo_pipeline.cli.build import build
from wgtwo_pipeline.errors import PipelineError
from wgtwo_pipeline.run import conditions
from wgtwo_pipeline.run import supervisor as supervisor_module
from wgtwo_pipeline.run.supervisor import Supervisor
from wgtwo_pipeline.service.settings import Service

SERVICE = Service("localhost:1", plaintext=True)
IDLE = {"streams": 1, "oldest_unacked_seconds": 0.0}


class Clock:
    def __init__(self):
        self.now, self.sleeps = 1000.0, []

    def monotonic(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds
        self.sleeps.append(seconds)
        self.on_sleep()

    def on_sleep(self):
        pass


class Child:
    """What the supervisor needs of one; ends when asked to, with what the test says."""

    def __init__(self, world, name, work, config, *arguments):
        self.world, self.name, self.arguments = world, name, arguments
        self.facts = dict(IDLE)
        self.exit_code, self.ends_with = None, 0
        self.closed = self.swept = False
        self.pid = None
        self._started_at = world.clock.now
        world.children.append(self)

    @property
    def running(self):
        assert not self.closed
        return self.exit_code is None

    @property
    def age_seconds(self):
        return self.world.clock.now - self._started_at

    def poll(self):
        return self.facts

    def stop(self):
        self.world.log.append(f"stop {self.name}")

    def join(self, timeout_seconds=None):
        self.world.log.append(f"join {self.name}")
        if self.exit_code is None and self.ends_with is not None:
            self.exit_code = self.ends_with
        elif self.exit_code is None:
            assert timeout_seconds is not None, "would block for ever"
            self.world.clock.now += timeout_seconds

    def kill(self):
        self.world.log.append(f"kill {self.name}")
        self.exit_code = -9

    def sweep(self):
        self.swept = True

    def close(self):
        assert self.exit_code is not None
        self.closed = True


class World:
    def __init__(self, monkeypatch):
        self.clock, self.children, self.log = Clock(), [], []
        monkeypatch.setattr(supervisor_module, "time", self.clock)
        monkeypatch.setattr(conditions, "time", self.clock)
        monkeypatch.setattr(supervisor_module, "Child", lambda *arguments: Child(self, *arguments))

    def named(self, name):
        return [child for child in self.children if child.name == name]


@pytest.fixture
def world(monkeypatch):
    return World(monkeypatch)


def config(**flags):
    return build(gather("run", flags, {}))


@pytest.fixture
def supervisor(world):
    with Supervisor(config(subscriptions="2")) as made:
        made.start_publisher()
        made.start_members(SERVICE)
        yield made


def watch_for(world, supervisor, steps, action=lambda step: None):
    """Watches for so many polls, then is stopped as by a signal; `action` is called before each."""
    count = iter(range(steps))

    def on_sleep():
        step = next(count, None)
        if step is None:
            os.kill(os.getpid(), signal.SIGTERM)
        else:
            action(step)

    world.clock.on_sleep = on_sleep
    supervisor.watch()


def test_each_stream_has_a_process(world, supervisor):
    """And the publisher has one; each member knows its number and the service."""
    assert [child.name for child in world.children] == ["publisher", "member-0", "member-1"]
    assert [child.arguments for child in world.named("member-1")] == [(SERVICE, 1)]


def test_a_signal_drains_in_order(world, supervisor):
    """Members first, all at once; then the publisher, who has their last segments to publish."""
    watch_for(world, supervisor, 3)
    assert world.log == [
        *("stop member-0", "stop member-1", "join member-0", "join member-1"),
        *("stop publisher", "join publisher"),
    ]


def test_a_second_signal_kills(world, supervisor):
    """At once, whatever is being waited for."""
    supervisor._stop(signal.SIGINT, None)
    with pytest.raises(KeyboardInterrupt):
        supervisor._stop(signal.SIGINT, None)
    assert sorted(world.log) == ["kill member-0", "kill member-1", "kill publisher"]


def test_the_handlers_are_as_they_were_afterwards(world):
    """A library that calls this keeps its own."""
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with Supervisor(config()):
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_killed_member_is_started_again_ever_less_often(world, supervisor, caplog):
    """After 1, 2, 4, … 30 s; each time that it dies at once."""
    starts = []

    def die(step):
        child = world.named("member-0")[-1]
        if child.exit_code is None:
            starts.append(world.clock.now)
            child.exit_code = -9

    watch_for(world, supervisor, 1500, die)
    waits = [round(later - earlier) for earlier, later in itertools.pairwise(starts)]
    assert waits[:7] == [1, 2, 4, 8, 16, 30, 30]
    assert len(world.named("member-1")) == 1
    dead = world.named("member-0")[:-1]
    assert all(child.closed and child.swept for child in dead)
    assert "member-0 ended with -9; starting it again in 1 s" in caplog.text


def test_a_member_that_was_healthy_for_long_is_started_again_soon(world, supervisor):
    """An accident a day is no reason to wait longer each day."""
    starts = []

    def die(step):
        child = world.named("member-0")[-1]
        if child.exit_code is None and child.age_seconds > 61:
            child.exit_code = -9
        if child not in starts:
            starts.append(child)

    watch_for(world, supervisor, 2000, die)
    gaps = [later._started_at - (earlier._started_at + 61) for earlier, later in itertools.pairwise(starts)]
    assert len(gaps) >= 2
    assert max(gaps) < 1.5


def test_what_a_dead_child_counted_still_counts(world, supervisor):
    """Received, acked and published never go back; its oldest unacked delivery is forgotten."""
    world.named("member-0")[0].facts = {
        "received": 5,
        "acked": 4,
        "streams": 1,
        "oldest_unacked_seconds": 9.0,
    }
    world.named("publisher")[0].facts = {"published": 7}
    supervisor._counts()

    def die(step):
        if step == 0:
            world.named("member-0")[0].exit_code = world.named("publisher")[0].exit_code = -9
        if step == 40:
            world.named("member-0")[1].facts |= {"received": 2}
            counts = supervisor._counts()
            assert (counts["received"], counts["acked"], counts["published"]) == (7, 4, 7)
            assert counts["oldest_unacked_seconds"] == 0
            assert world.named("publisher")[0].closed

    watch_for(world, supervisor, 50, die)


def test_a_child_that_gave_up_ends_everything_with_its_sentence(world):
    """With its exit code; the others are asked to stop."""
    with pytest.raises(PipelineError, match=r"^change --endpoint$") as raised, Supervisor(config()) as made:  # noqa: PT012
        made.start_members(SERVICE)
        made.start_publisher()
        (member,) = world.named("member-0")
        member.facts, member.exit_code = {"error": "change --endpoint", "exit_code": 2}, 2
        made.watch()
    assert raised.value.exit_code == 2
    assert "stop publisher" in world.log


def test_giving_up_takes_ten_seconds_at_most(world):
    """However many children do not end by themselves: they are killed."""
    with pytest.raises(RuntimeError), Supervisor(config(subscriptions="8")) as made:  # noqa: PT012
        made.start_members(SERVICE)
        for child in world.children:
            child.ends_with = None
        raise RuntimeError
    assert world.clock.now - 1000 <= 10.1
    assert len([line for line in world.log if line.startswith("kill")]) == 8


def test_a_member_that_fails_while_draining_is_an_error(world, supervisor):
    """What it could not finish is told, with what to do; it comes again from the service."""
    world.named("member-0")[0].ends_with = 1
    with pytest.raises(
        PipelineError, match="member-0 ended with 1 before its work was done; nothing acked is lost"
    ):
        watch_for(world, supervisor, 1)


def test_a_killed_publisher_is_made_up_for_when_stopping(world, supervisor):
    """What is journaled is published all the same."""

    def die(step):
        world.named("publisher")[0].exit_code = -9

    watch_for(world, supervisor, 1, die)
    assert len(world.named("publisher")) == 2
    assert world.log[-2:] == ["stop publisher", "join publisher"]


@pytest.fixture
def registering(world):
    """A supervisor that keeps a catalog, too."""
    with Supervisor(config(catalog="lake")) as made:
        made.start_publisher()
        made.start_registrar()
        made.start_members(SERVICE)
        yield made


def test_a_catalog_is_brought_up_last(world, registering):
    """The registrar is asked to stop when the last epoch is committed, so that it registers that, too."""
    watch_for(world, registering, 1)
    assert world.log[-4:] == ["stop publisher", "join publisher", "stop registrar", "join registrar"]


def test_a_registrar_is_never_in_the_way(world, registering, caplog):
    """Where it gives up it is started again; the others go on, and the run ends well."""

    def give_up(step):
        registrar = world.named("registrar")[-1]
        registrar.facts, registrar.exit_code = {"error": "no such catalog", "exit_code": 1}, 1

    watch_for(world, registering, 200, give_up)
    assert len(world.named("registrar")) > 2
    assert [len(world.named(name)) for name in ("publisher", "member-0")] == [1, 1]
    assert "registrar ended with 1 (no such catalog); starting it again in 1 s" in caplog.text
    assert "registrar ended with 1 (no such catalog); register does the rest" in caplog.text


def test_a_sandbox_that_does_not_start_is_told(world):
    """After two minutes, or as soon as it has ended."""
    with pytest.raises(PipelineError, match="wgtwo-pipeline sandbox"), Supervisor(config()) as made:
        made.start_sandbox()
    assert world.clock.now - 1000 >= 120
