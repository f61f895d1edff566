"""Children: they report, stop when the pipe ends for whatever reason, and tell in one line what made them give up."""

import contextlib
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import scripted_works as works
from patience import PATIENCE_SECONDS, wait_until
from typed import gather
from wgtwo_pipeline.cli.build import build
from wgtwo_pipeline.run.children import Child

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def config():
    return build(gather("run", {}, {}))


@pytest.fixture
def start(config):
    started = []

    def start(work, *arguments):
        started.append(Child(work.__name__, work, config, *arguments))
        return started[-1]

    yield start
    for child in started:
        with contextlib.suppress(ValueError):  # closed by the test itself
            child.kill()
            child.close()


def exists(pid):
    """Whether a process runs; one that only waits to be buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_child_works_until_it_is_asked_to_stop(start):
    """It reports meanwhile, ends with 0, and what it reported last is known."""
    child = start(works.wait)
    wait_until(lambda: child.poll().get("pid"))
    assert child.running
    assert child.exit_code is None
    child.stop()
    child.stop()
    child.join(PATIENCE_SECONDS)
    assert (child.running, child.exit_code) == (False, 0)
    assert child.facts["stopped"]
    assert child.facts["done"]


def test_a_child_that_has_not_begun_stops_at_once(start):
    """However long its imports take on a busy machine; once it has begun, it finishes."""
    importing, working = start(works.import_long), start(works.import_and_work)
    wait_until(lambda: importing.poll().get("importing") and working.poll().get("pid"))
    for child in (importing, working):
        child.stop()
        child.join(PATIENCE_SECONDS)
        assert child.exit_code == 0
    assert "done" not in importing.facts
    assert working.facts["stopped"]


def test_reports_are_merged_as_they_come(start):
    """The newest value of each fact counts; polling never blocks."""
    silent = start(works.say_nothing)
    assert silent.poll() == {}  # else it would wait for ever
    silent.stop()
    child = start(works.count, "received", 3)
    wait_until(lambda: child.poll().get("received") == 3)
    child.stop()
    child.join(PATIENCE_SECONDS)
    assert child.facts["received"] == 3


def test_a_stop_calls_back(start):
    """Also for who asks to be called when it has already come."""
    child = start(works.call_back)
    wait_until(lambda: child.poll().get("ready"))
    child.stop()
    child.join(PATIENCE_SECONDS)
    assert child.facts["late"] is True


@pytest.mark.parametrize(
    ("work", "code", "message"),
    [(works.refuse, 1, "change --endpoint"), (works.misconfigure, 2, "no such option")],
)
def test_an_error_of_ours_is_reported_with_its_exit_code(start, work, code, message):
    """The sentence alone: the parent shows it."""
    child = start(work)
    child.join(PATIENCE_SECONDS)
    assert (child.exit_code, child.facts["error"], child.facts["exit_code"]) == (code, message, code)


def test_another_error_is_one_line_without_secrets(start):
    """However long and whatever it says."""
    child = start(works.break_down)
    child.join(PATIENCE_SECONDS)
    error = child.facts["error"]
    assert child.exit_code == 1
    assert error.startswith("unexpected ValueError: first line second line with Bearer ***")
    assert "\n" not in error
    assert len(error) < 700
    assert error.endswith("(--log-level debug shows where)")


def test_a_thread_does_not_hold_up_the_end(start):
    """What libraries leave running ends with the work."""
    child = start(works.leave_a_thread)
    child.join(PATIENCE_SECONDS)
    assert child.exit_code == 0


def test_more_than_a_pipe_holds_is_no_deadlock(start):
    """A parent that waits for the end takes reports meanwhile."""
    child = start(works.flood)
    child.join(PATIENCE_SECONDS)
    assert child.exit_code == 0
    assert len([name for name in child.facts if name.startswith("fact")]) == 50


def test_signals_to_all_do_not_stop_a_child(start):
    """Terminals and service managers signal everyone: only the parent decides."""
    child = start(works.wait)
    pid = wait_until(lambda: child.poll().get("pid"))
    for number in (signal.SIGINT, signal.SIGTERM):
        os.kill(pid, number)
    child.join(0.3)
    assert child.running
    child.stop()
    child.join(PATIENCE_SECONDS)
    assert child.exit_code == 0


@pytest.mark.parametrize("how", ["stopped", "killed"])
def test_what_a_child_has_started_ends_with_it(start, how):
    """A runner's server does not stay behind, whether its child ends in order or is killed."""
    child = start(works.have_a_child)
    grandchild = wait_until(lambda: child.poll().get("grandchild"))
    if how == "stopped":
        child.stop()
        child.join(PATIENCE_SECONDS)
    else:
        os.kill(child.facts["pid"], signal.SIGKILL)
        child.join(PATIENCE_SECONDS)
        assert child.exit_code == -signal.SIGKILL
        child.sweep()
    wait_until(lambda: not exists(grandchild))


def test_a_parent_that_is_killed_takes_its_children_along():
    """The pipe ends with it, whatever ended it: nobody goes on unattended."""
    program = """
        import sys, time
        sys.path[:0] = sys.argv[1:]
        import scripted_works
        from wgtwo_pipeline.run.children import Child
        from wgtwo_pipeline.cli.build import build
        from wgtwo_pipeline.cli.command import Settings
        from wgtwo_pipeline.cli.main import program
        if __name__ == "__main__":
            settings = Settings(program.commands["run"].make_context("run", []))
            child = Child("wait", scripted_works.wait, build(settings))
            while "pid" not in child.poll():
                time.sleep(0.01)
            print(child.facts["pid"], flush=True)
            time.sleep(600)
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(program), str(HERE), str(HERE.parent)],
        stdout=subprocess.PIPE,
        text=True,
    )
    pid = int(parent.stdout.readline())
    assert exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    wait_until(lambda: not exists(pid))


def test_a_child_that_ended_leaves_no_descriptor(start):
    """Restarting for days must not use them up."""
    children = [start(works.refuse) for _ in range(2)]
    for child in children:
        child.join(PATIENCE_SECONDS)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for child in children:
        child.close()
    assert len(list(Path("/proc/self/fd").iterdir())) <= before - 4
    assert children[0].facts["error"] == "change --endpoint"
