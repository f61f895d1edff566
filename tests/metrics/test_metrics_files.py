"""`--metrics-file`: what jobs that end leave for Prometheus, and `serve`, which stays."""

import signal

import lakes
import pytest
import requests
from patience import PATIENCE_SECONDS, wait_until
from prometheus_client.parser import text_string_to_metric_families
from wgtwo_pipeline.audit import audit
from wgtwo_pipeline.audit.settings import Auditing
from wgtwo_pipeline.errors import ConfigurationError, LakeError
from wgtwo_pipeline.lake.open import open_store
from wgtwo_pipeline.lake.store import LakeLocation
from wgtwo_pipeline.metrics.outcomes import left_in


def figures(file):
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(file.read_text())
        for sample in family.samples
    }


@pytest.fixture
def store(tmp_path):
    store = open_store(LakeLocation(str(tmp_path / "lake")))
    store.check()
    lakes.lake_of_two_days(store)
    return store


def test_counts_go_on_from_run_to_run_and_the_last_success_stays(tmp_path):
    """A job that fails is counted, and does not make anybody believe that none ever succeeded."""
    file = tmp_path / "publish.prom"
    with left_in(str(file), "publish") as outcomes:
        outcomes.did()
        outcomes.did()
    first = figures(file)
    assert first[("wgtwo_publish_epochs_total", "committed")] == 2
    assert first[("wgtwo_publish_epochs_total", "failed")] == 0
    with pytest.raises(LakeError), left_in(str(file), "publish") as outcomes:  # noqa: PT012
        outcomes.did()
        raise LakeError("full")
    found = figures(file)
    assert found[("wgtwo_publish_epochs_total", "committed")] == 3
    assert found[("wgtwo_publish_epochs_total", "failed")] == 1
    success = ("wgtwo_publish_last_success_timestamp_seconds",)
    assert found[success] == first[success]


def test_a_file_that_is_not_ours_is_replaced(tmp_path):
    """Nothing of it goes on."""
    file = tmp_path / "publish.prom"
    for other in ("not a figure {", "other_total 5\n", 'wgtwo_lake_rows{number="4790000001"} 1\n'):
        file.write_text(other)
        with left_in(str(file), "publish"):
            pass
        assert ("wgtwo_publish_epochs_total", "committed") in figures(file)
        assert "4790000001" not in file.read_text()
        assert "other" not in file.read_text()


def test_nothing_is_done_where_the_file_cannot_be_written(tmp_path):
    """It is said before the work, not after it."""
    with (
        pytest.raises(ConfigurationError, match="--metrics-file"),
        left_in(str(tmp_path / "nowhere" / "a.prom"), "publish"),
    ):
        pytest.fail("it began to work")


def test_an_audit_leaves_its_verdict(store, tmp_path, capsys):
    """Passed and failed, with the number of findings; one that looks deeper has figures of its own."""
    file = tmp_path / "audit.prom"
    assert audit.audit(Auditing(store.location, deep=False, json=False, metrics_file=str(file))) == 0
    assert figures(file)[("wgtwo_audit_passed", "false")] == 1
    key = next(info.key for info in store.list("tables/sms/"))
    store.delete([key])
    assert audit.audit(Auditing(store.location, deep=True, json=False, metrics_file=str(file))) == 1
    found = figures(file)
    assert found[("wgtwo_audit_passed", "false")] == 1, "of the one before"
    assert found[("wgtwo_audit_passed", "true")] == 0
    assert found[("wgtwo_audit_findings", "true")] > 0
    capsys.readouterr()


def test_publish_and_serve_as_they_are_typed(store, tmp_path, command):
    """`publish --metrics-file` leaves figures; `serve` shows the lake until it is asked to stop, and ends well."""
    lakes.journal(store, lakes.sms(99))
    file, lake = tmp_path / "publish.prom", store.location.url
    command("publish", "--lake", lake, "--metrics-file", file).succeeds()
    assert figures(file)[("wgtwo_publish_epochs_total", "committed")] == 1
    served = command("serve", "--lake", lake, "--metrics-address", "127.0.0.1:0")
    address = served.says(r"figures and probes at (http://[^/]+)/")[1]

    def ready():
        return requests.get(f"{address}/readyz", timeout=PATIENCE_SECONDS).status_code == 200

    wait_until(ready, what="it has looked at the lake")
    assert requests.get(f"{address}/livez", timeout=PATIENCE_SECONDS).json()["ok"]
    text = requests.get(f"{address}/metrics", timeout=PATIENCE_SECONDS).text
    assert "wgtwo_lake_committed_epoch 3.0" in text
    served.send(signal.SIGTERM)
    served.succeeds()
