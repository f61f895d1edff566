"""A real Prometheus scrapes a real run: alerts fire when something fails, and every panel has something to show."""

import contextlib
import shutil
import subprocess

import pytest
import requests
import yaml
from patience import at_most, wait_until
from servers import free_port
from test_alerts import ALERTS, RULES, dashboard

pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

SHORTENED = {"[2m]": "[20s]", "> 3600": "> 5"}
"""What takes minutes for good reasons takes seconds here; what is asked stays the same."""


def shortened():
    """The rules as they are, in a hurry."""
    text = ALERTS.read_text()
    for long, short in SHORTENED.items():
        assert long in text
        text = text.replace(long, short)
    groups = yaml.safe_load(text)
    for rule in groups["groups"][0]["rules"]:
        if "for" in rule:
            rule["for"] = "2s"
    return yaml.safe_dump(groups)


class Prometheus:
    def __init__(self, folder, target):
        program = shutil.which("prometheus")
        assert program, "prometheus is missing: .ci/debian.sh installs it"
        (folder / "alerts.yaml").write_text(shortened())
        jobs = [{"job_name": "run", "static_configs": [{"targets": [target]}]}]
        times = {"scrape_interval": "1s", "evaluation_interval": "1s"}
        config = {"global": times, "rule_files": ["alerts.yaml"], "scrape_configs": jobs}
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}/api/v1"
        with (folder / "prometheus.log").open("wb") as log:
            self.process = subprocess.Popen(
                [program, f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}",
                 f"--web.listen-address=127.0.0.1:{port}"],
                stdout=log, stderr=log,
            )  # fmt: skip

    def close(self):
        self.process.kill()
        self.process.wait()

    def query(self, query):
        asked = query.replace("$__rate_interval", "20s")
        answer = requests.get(f"{self.url}/query", params={"query": asked}, timeout=at_most(20)).json()
        assert answer["status"] == "success", answer
        return answer["data"]["result"]

    def firing(self):
        """The names of the alerts that fire now; nothing while it starts."""
        with contextlib.suppress(requests.RequestException, KeyError):
            found = requests.get(f"{self.url}/alerts", timeout=at_most(20)).json()["data"]["alerts"]
            return {each["labels"]["alertname"] for each in found if each["state"] == "firing"}
        return set()


def test_alerts_fire_and_panels_show(service, run, tmp_path):
    """LakeWritesFail and AcksLate without a lake, HistoryRunsOut without the service; what is well is silent."""
    sandbox = service("--rate", 40, "--malform", 0.05)
    options = ("--publish-every", "2s", "--ack-timeout", "4s", "--history", "60s")
    process = run(sandbox, *options, "--metrics-address", "127.0.0.1:0")
    target = process.says(r"figures and probes at http://([^/]+)/")[1]
    with contextlib.closing(Prometheus(tmp_path, target)) as prometheus:
        wait_until(lambda: _published(prometheus), 60, "it is scraped and publishes")
        empty = dashboard().queries()

        def shown():
            empty[:] = [query for query in empty if not prometheus.query(query)]
            return not empty

        wait_until(shown, 90, "every panel has something to show", lambda: empty, pause_seconds=1)
        assert "WgtwoHistoryRunsOut" not in prometheus.firing()

        lake = tmp_path / "lake"
        lake.rename(lake.with_name("away"))
        _fires(prometheus, "WgtwoLakeWritesFail")
        _fires(prometheus, "WgtwoAcksLate")
        lake.with_name("away").rename(lake)
        silent = lambda: "WgtwoLakeWritesFail" not in prometheus.firing()  # noqa: E731
        wait_until(silent, 90, "it is silent again", prometheus.firing)

        sandbox.command.kill_everything()
        _fires(prometheus, "WgtwoHistoryRunsOut")


def test_a_run_that_does_not_publish_is_noticed(service, run, tmp_path):
    """PublishStalled: what waits in the journal has waited for too long."""
    sandbox = service("--rate", 20)
    process = run(sandbox, "--publish-every", "1h", "--metrics-address", "127.0.0.1:0")
    target = process.says(r"figures and probes at http://([^/]+)/")[1]
    with contextlib.closing(Prometheus(tmp_path, target)) as prometheus:
        _fires(prometheus, "WgtwoPublishStalled")


def _published(prometheus):
    with contextlib.suppress(requests.RequestException):
        return prometheus.query("wgtwo_lake_committed_epoch > 1")
    return []


def _fires(prometheus, name):
    assert any(rule["alert"] == name for rule in RULES)
    wait_until(lambda: name in prometheus.firing(), 90, f"{name} fires", prometheus.firing, pause_seconds=0.2)
