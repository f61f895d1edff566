"""What children do in tests: functions that a new process can import."""

import os
import subprocess
import sys
import threading
import time

from patience import PATIENCE_SECONDS
from wgtwo_pipeline.errors import ConfigurationError, ServiceError


def wait(config, lifeline):
    """Until asked to stop."""
    lifeline.report(pid=os.getpid())
    lifeline.stopping.wait(PATIENCE_SECONDS)
    lifeline.report(stopped=True)


def count(config, lifeline, name, most):
    """Counts in the background."""
    counted = iter(range(most + 1))
    last = {name: 0}

    def facts():
        last[name] = next(counted, most)
        return dict(last)

    lifeline.report_regularly(facts)
    lifeline.stopping.wait(PATIENCE_SECONDS)


def say_nothing(config, lifeline):
    """Until asked to stop, and not even then."""
    lifeline.stopping.wait(PATIENCE_SECONDS)


def call_back(config, lifeline):
    """Ends by the callback."""
    called = threading.Event()
    lifeline.on_stop(called.set)
    lifeline.report(ready=True)
    called.wait(PATIENCE_SECONDS)
    late = threading.Event()
    lifeline.on_stop(late.set)
    lifeline.report(late=late.is_set())


def import_long(config, lifeline):
    """Never comes to an end by itself."""
    with lifeline.expendable():
        lifeline.report(importing=True)
        time.sleep(10 * PATIENCE_SECONDS)


def import_and_work(config, lifeline):
    """As `wait`, after imports."""
    with lifeline.expendable():
        pass
    wait(config, lifeline)


def refuse(config, lifeline):
    raise ServiceError("change --endpoint")


def misconfigure(config, lifeline):
    raise ConfigurationError("no such option")


def break_down(config, lifeline):
    raise ValueError("first line\nsecond line with Bearer abcdefgh " + "x" * 9000)


def leave_a_thread(config, lifeline):
    """Its thread would hold up an orderly end of the interpreter."""
    threading.Thread(target=lambda: time.sleep(10 * PATIENCE_SECONDS)).start()


def have_a_child(config, lifeline):
    """As Beam starts Prism."""
    started = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(10 * PATIENCE_SECONDS)"])
    lifeline.report(pid=os.getpid(), grandchild=started.pid)
    lifeline.stopping.wait(PATIENCE_SECONDS)


def flood(config, lifeline):
    """More than a pipe holds, at the end."""
    for number in range(50):
        lifeline.report(**{f"fact{number}": "x" * 10_000})
