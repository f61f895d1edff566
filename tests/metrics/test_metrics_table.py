"""The table of metrics: what the outside relies on, and how values of it are written."""

import re
import subprocess
import sys

import pytest
from prometheus_client.parser import text_string_to_metric_families
from wgtwo_pipeline.errors import ConfigurationError
from wgtwo_pipeline.ingest.counters import NAMES, Counters
from wgtwo_pipeline.metrics import textfile
from wgtwo_pipeline.metrics.samples import Buckets, Samples, written
from wgtwo_pipeline.metrics.table import METRICS, of_children

NOT_SHOWN = {"acks_failed", "segments", "reconnects"}
"""Counted for the log; outside they are there by code, by kind, and as streams."""


def families(samples):
    text = written(samples)[0].decode()
    return {family.name: family for family in text_string_to_metric_families(text)}


def test_names_are_as_prometheus_wants_them():
    """Lower case, once each; counters end with _total and nothing else does; units are base units."""
    names = [metric.name for metric in METRICS]
    assert len(set(names)) == len(names)
    for metric in METRICS:
        assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert (metric.kind == "histogram") == bool(metric.bounds)
        assert list(metric.bounds) == sorted(metric.bounds)
        assert metric.help.endswith("."), metric.name


def test_no_label_can_name_anybody():
    """Each takes few values: names that are configured, tables, codes, outcomes."""
    labels = {label for metric in METRICS for label in metric.labels}
    assert labels == {
        *("subscription", "member", "child", "table", "reason", "code", "kind", "outcome", "deep"),
        *("process", "version"),
    }


def test_every_count_of_ingest_is_shown():
    """What a member counts is a metric, but for what another shows in more detail; and the facts have them all."""
    facts = {metric.fact for metric in of_children()}
    assert set(NAMES) - NOT_SHOWN <= facts
    told = set(Counters().facts()) - {"acks_failed", "segments", "reconnects", "problems"}
    assert told <= facts


def test_what_the_table_does_not_have_cannot_be_shown():
    """Neither a name nor a label: no figure comes about by accident."""
    samples = Samples()
    with pytest.raises(KeyError, match="no_such"):
        samples.add("no_such", 1)
    with pytest.raises(KeyError, match="labels"):
        samples.add("lake_rows", 1)
    with pytest.raises(KeyError, match="labels"):
        samples.add("lake_rows", 1, table="sms", number="4790000001")


def test_values_are_read_as_they_were_added():
    """Every metric of the table, of each type, goes through Prometheus' own parser."""
    samples = Samples()
    for value, metric in enumerate(METRICS, 1):
        labels = {label: f"a {label}" for label in metric.labels}
        buckets = Buckets([1] * (len(metric.bounds) + 1), float(value))
        samples.add(metric.name, buckets if metric.kind == "histogram" else value, **labels)
    found = families(samples)
    for value, metric in enumerate(METRICS, 1):
        family = found[metric.full_name.removesuffix("_total")]
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        if metric.kind == "histogram":
            counts = [each.value for each in family.samples if each.name.endswith("_bucket")]
            assert counts == list(range(1, len(metric.bounds) + 2)), "cumulated"
        else:
            (sample,) = [each for each in family.samples if each.name == metric.full_name]
            assert (sample.value, set(sample.labels)) == (value, set(metric.labels))


def test_what_is_added_twice_adds_up():
    """Members of one subscription share its histograms."""
    samples = Samples()
    for counts in ([1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5]):
        samples.add("ingest_segment_deliveries", Buckets(counts, 10.0), subscription="v0.a")
    value = samples.get("ingest_segment_deliveries", subscription="v0.a")
    assert value == Buckets([2, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5], 20.0)


def test_a_file_is_replaced_as_a_whole(tmp_path):
    """Who reads it meanwhile has the old or the new one; nothing else is left in the folder; others may read it."""
    file = tmp_path / "publish.prom"
    for epochs in (1, 2):  # a count goes on from that in the file
        samples = Samples()
        samples.add("publish_epochs_total", 1, outcome="committed")
        textfile.write(str(file), samples)
        assert f'wgtwo_publish_epochs_total{{outcome="committed"}} {epochs}.0' in file.read_text()
    assert [each.name for each in tmp_path.iterdir()] == ["publish.prom"]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_file_that_cannot_be_written_is_refused_before_the_work(tmp_path):
    """With what to do; and nothing is half written."""
    with pytest.raises(ConfigurationError, match="name a file in a folder that exists"):
        textfile.check(str(tmp_path / "nowhere" / "publish.prom"))
    textfile.check(str(tmp_path / "publish.prom"))
    textfile.check(None)
    (tmp_path / "folder.prom").mkdir()
    with pytest.raises(ConfigurationError, match="the work itself is done"):
        textfile.write(str(tmp_path / "folder.prom"), Samples())
    assert [each.name for each in tmp_path.iterdir()] == ["folder.prom"]


def test_what_is_counted_in_workers_needs_no_prometheus():
    """A worker of a cluster counts without the package that only writes figures."""
    code = "import wgtwo_pipeline.ingest.counters, sys; assert 'prometheus_client' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
