"""Alerts, runbook and dashboard speak of metrics that there are, and of each other."""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from wgtwo_pipeline.metrics.table import METRICS

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "infra" / "prometheus" / "alerts.yaml"
RULES = [rule for group in yaml.safe_load(ALERTS.read_text())["groups"] for rule in group["rules"]]
DEMANDED = {
    *("HistoryRunsOut", "AcksLate", "NothingJournaledWhileEventsWait", "IngestGone", "Gap", "PublishStalled"),
    *("AuditFailed", "QuarantineRate", "LakeWritesFail", "MemberRestarts", "BacklogGrows", "ErasureOverdue"),
}


def dashboard():
    file = ROOT / "infra" / "grafana" / "dashboard.py"
    spec = importlib.util.spec_from_file_location("dashboard", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def metrics_in(query):
    known = set()
    for metric in METRICS:
        suffixes = ("_bucket", "_sum", "_count") if metric.kind == "histogram" else ("",)
        known |= {metric.full_name + suffix for suffix in suffixes}
    named = set(re.findall(r"wgtwo_\w+", query))
    assert named, query
    return named, known


def test_the_alerts_are_those_that_were_asked_for():
    """By name; users silence them by it."""
    assert {rule["alert"] for rule in RULES} == {f"Wgtwo{name}" for name in DEMANDED}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_each_alert_has_a_section_of_the_runbook_and_metrics_that_there_are(rule):
    """Whoever is woken finds what to do."""
    named, known = metrics_in(rule["expr"])
    assert named <= known
    name = rule["alert"].removeprefix("Wgtwo")
    assert rule["annotations"]["runbook"] == f"docs/runbook.md#{name.lower()}"
    assert rule["labels"]["severity"] in ("critical", "warning")
    section = (ROOT / "docs" / "runbook.md").read_text().partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert len(section.split()) > 20, f"docs/runbook.md says too little of {name}"


def test_the_runbook_speaks_only_of_what_there_is():
    """No section of an alert that is gone, no metric that was renamed."""
    text = (ROOT / "docs" / "runbook.md").read_text()
    assert set(re.findall(r"^## (\w+)", text, re.MULTILINE)) == DEMANDED
    named, known = metrics_in(text)
    assert named <= known


def test_each_alert_is_tried_by_a_rule_test():
    """One that fires, and one that does not on a healthy pipeline."""
    tests = yaml.safe_load((ALERTS.parent / "alerts_test.yaml").read_text())["tests"]
    tried = [
        (each["alertname"], bool(each["exp_alerts"])) for test in tests for each in test["alert_rule_test"]
    ]
    for name in DEMANDED:
        assert {(f"Wgtwo{name}", True), (f"Wgtwo{name}", False)} <= set(tried), name
    for test in tests:
        for series in test["input_series"]:
            named, known = metrics_in(series["series"])
            assert named <= known


def test_the_dashboard_is_what_its_program_writes():
    """Nobody edits the JSON; each panel asks for metrics that there are."""
    made = dashboard()
    assert made.FILE.read_text() == made.text(), "run: python infra/grafana/dashboard.py"
    for query in made.queries():
        named, known = metrics_in(query)
        assert named <= known


@pytest.mark.heavy
def test_the_rules_do_what_they_say():
    """promtool's own rule tests: each alert fires when it should, and a healthy pipeline raises none."""
    program = shutil.which("promtool")
    assert program, "promtool is missing: .ci/debian.sh installs it"
    for command in (["check", "rules", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        ended = subprocess.run(
            [program, *command], cwd=ALERTS.parent, capture_output=True, text=True, timeout=120, check=False
        )
        assert ended.returncode == 0, ended.stdout + ended.stderr
