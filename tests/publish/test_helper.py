"""A process that helps: nothing is done twice, and nothing is lost with it."""

import itertools
import os
import signal
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
from patience import wait_until
from wgtwo_pipeline.errors import ConfigurationError, NotFoundError, PipelineError
from wgtwo_pipeline.publish.helper import Task


@dataclass(frozen=True)
class Here:
    """Where a task was done, and which one."""

    pid: int
    number: int


def where(_, number):
    return Here(os.getpid(), number)


def both_at_once(store, number, folder):
    """Returns only when another process is at such a task, too."""
    (folder / f"{os.getpid()}").touch()
    wait_until(lambda: len(list(folder.iterdir())) == 2, 60, "the other process takes a task")
    return where(store, number)


def dies(_, helping):
    """In the helper; here it waits for that."""
    if os.getpid() == helping:
        os.kill(helping, signal.SIGKILL)
    wait_until(lambda: has_ended(helping), 60, "the helper has ended")
    return os.getpid()


def has_ended(pid):
    try:
        return "State:\tZ" in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return True


def fails(_, error, pid):
    """In the helper; here it waits for that."""
    if os.getpid() != pid:
        raise error
    return where(_, 0)


def tasks(function, count, *arguments):
    return [Task(function, (number, *arguments)) for number in range(count)]


def test_both_take_from_one_pile(helper, store, tmp_path):
    """Each task is done once, and each process does some."""
    met = tmp_path / "met"
    met.mkdir()
    done = list(helper.share(tasks(both_at_once, 20, met), store))
    assert sorted(each.number for each in done) == list(range(20))
    assert {each.pid for each in done} == {os.getpid(), helper.pid}
    assert list(helper.share([], store)) == []


def test_what_the_helper_was_at_when_it_died_is_done_here(helper, store, caplog):
    """It may be killed at any moment, for want of memory: that costs time, no work."""
    assert list(helper.share([Task(dies, (helper.pid,))] * 20, store)) == [os.getpid()] * 20
    assert "a helping process has ended: publishing goes on without it" in caplog.text
    assert {each.pid for each in helper.share(tasks(where, 20), store)} == {os.getpid()}


@pytest.mark.parametrize(
    "error", [NotFoundError("tables/x"), ConfigurationError("no"), ValueError("neither"), KeyError("a")]
)
def test_an_error_of_the_helper_is_raised_here(helper, store, error):
    """With its facts, and where it happened; one that is not ours says what it was."""

    def until_the_helper_takes_one():
        for _ in itertools.count():
            list(helper.share([Task(fails, (error, os.getpid()))] * 2, store))

    with pytest.raises(PipelineError) as raised:
        until_the_helper_takes_one()
    if isinstance(error, PipelineError):
        assert type(raised.value) is type(error)
        assert vars(raised.value).get("key") == vars(error).get("key")
        assert str(raised.value) == str(error)
    else:
        assert str(raised.value) == (
            f"unexpected {type(error).__name__}: {error} (--log-level debug shows where)"
        )
    assert "in fails" in "".join(raised.value.__notes__)


def test_who_takes_no_more_stops_both(helper, store):
    """Whatever ends the one who asked ends the work: nothing is begun any more, and the helper is free again."""
    shared = helper.share(tasks(where, 100_000), store)
    next(shared)
    shared.close()
    assert len(list(helper.share(tasks(where, 10), store))) == 10


def test_a_terminal_s_interrupt_is_not_the_helper_s(helper, store, tmp_path):
    """Ctrl-C reaches every process of a terminal: the one that publishes decides, and commits the epoch at hand."""
    os.kill(helper.pid, signal.SIGINT)
    met = tmp_path / "met"
    met.mkdir()
    assert {each.pid for each in helper.share(tasks(both_at_once, 20, met), store)} == {
        os.getpid(),
        helper.pid,
    }


def test_nothing_outlives_who_was_killed(tmp_path):
    """A publisher that is killed leaves no process behind."""
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent("""
            import sys, time
            from wgtwo_pipeline.publish import shard
            from wgtwo_pipeline.publish.helper import Helper

            if __name__ == "__main__":
                print(Helper(shard.prepare, "text", "info").pid, flush=True)
                time.sleep(600)
        """)
    )
    started = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    pid = int(started.stdout.readline())
    with started:
        started.kill()
    wait_until(lambda: has_ended(pid), 60, "the helper has ended")
