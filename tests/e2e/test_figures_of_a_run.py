"""The figures of a real run are the service's own counts; its probes say when events do not become durable."""

import os
import signal
import time

import pytest
import requests
from patience import at_most, wait_until
from processes import Command
from prometheus_client.parser import text_string_to_metric_families

ACK_TIMEOUT_SECONDS = 10.0


class Figures:
    """What a run shows at its `--metrics-address`."""

    def __init__(self, process):
        self.address = process.says(r"figures and probes at (http://[^/]+)/")[1]

    def get(self, path):
        return requests.get(self.address + path, timeout=at_most(20))

    def sum(self, name, **labels):
        """Of all samples of a metric that have these labels."""
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics").text)
            for sample in family.samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    def problems(self):
        """What /readyz says is wrong; it must say something exactly when it answers 503."""
        answer = self.get("/readyz")
        found = answer.json()["problems"]
        assert (answer.status_code == 503) == bool(found), answer.text
        return found


def agrees(figures, group):
    """Whether the figures are what the service says; all quiet."""
    counts = [
        figures.sum(f"wgtwo_ingest_{name}_deliveries_total") for name in ("received", "acked", "redelivered")
    ]
    return counts == [group["delivered"], group["acked"], group["redelivered"]]


def test_figures_are_the_service_s_own_counts_through_deaths_of_members(service, run):
    """Received, acked, redelivered; after each kill -9 of a member; and the lake's add up to what was received."""
    sandbox = service("--rate", 200)
    process = run(
        *(sandbox, "--subscriptions", "2", "--publish-every", "1s", "--metrics-address", "127.0.0.1:0"),
        *("--ack-timeout", "60s"),
    )
    figures = Figures(process)
    for deaths in range(2):
        before = sandbox.group().get("acked", 0)
        sandbox.set_rate(200)
        wait_until(lambda: sandbox.group().get("acked", 0) > before + 100, what="acks")  # noqa: B023
        sandbox.set_rate(0)
        wait_until(lambda: not (sandbox.group()["unacked"] or sandbox.group()["backlog"]), what="it is quiet")
        wait_until(
            lambda: agrees(figures, sandbox.group()),
            what="figures are what the service counted",
            describe=lambda: f"{sandbox.group()}\n{figures.get('/metrics').text}",
        )
        assert figures.sum("wgtwo_child_restarts_total") == deaths
        wait_until(lambda: not figures.problems(), what="it is ready", describe=figures.problems)
        victim = process.children()[-1]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: figures.sum("wgtwo_child_restarts_total") == deaths + 1, what="it is replaced")  # noqa: B023
        assert agrees(figures, sandbox.group()), "nothing is forgotten with a member"
    acked = sandbox.group()["acked"]
    wait_until(
        lambda: figures.sum("wgtwo_lake_received_deliveries_total") == acked,
        what="the lake has been looked at with all of it",
        describe=lambda: figures.get("/metrics").text,
    )
    parts = ("published", "duplicate", "quarantined", "erased")
    assert sum(figures.sum(f"wgtwo_lake_{part}_deliveries_total") for part in parts) == acked
    assert figures.get("/livez").status_code == 200


def _service_away(sandbox, lake, tmp_path):
    address = sandbox.address
    sandbox.command.kill_everything()

    def back():
        again = Command(tmp_path / "output", "sandbox", "--address", address, "--rate", 20)
        return again.end

    return back


def _lake_away(sandbox, lake, tmp_path):
    lake.rename(lake.with_name("away"))

    def back():
        lake.with_name("away").rename(lake)
        return lambda: None

    return back


def _acks_refused(sandbox, lake, tmp_path):
    sandbox.change(refuse_acks=1)

    def back():
        sandbox.change(refuse_acks=0)
        return lambda: None

    return back


@pytest.mark.heavy
@pytest.mark.parametrize("fail", [_service_away, _lake_away, _acks_refused])
def test_it_is_not_ready_within_the_ack_timeout_and_ready_again_after(service, run, tmp_path, fail):
    """Whichever of the three fails: 503 with a sentence in time, alive all the while, and 200 when it is back."""
    sandbox = service("--rate", 20)
    options = ("--ack-timeout", f"{ACK_TIMEOUT_SECONDS:.0f}s", "--publish-every", "1h")
    process = run(sandbox, *options, "--metrics-address", "127.0.0.1:0")
    figures = Figures(process)
    wait_until(lambda: not figures.problems(), 60, "it is ready", figures.problems)
    began_at = time.monotonic()
    back = fail(sandbox, tmp_path / "lake", tmp_path)
    wait_until(figures.problems, ACK_TIMEOUT_SECONDS, "it is not ready", lambda: process.stderr)
    assert time.monotonic() - began_at < ACK_TIMEOUT_SECONDS
    assert figures.get("/livez").status_code == 200
    end = back()
    try:
        wait_until(lambda: not figures.problems(), 60, "it is ready again", figures.problems)
        assert figures.get("/livez").status_code == 200
    finally:
        end()
