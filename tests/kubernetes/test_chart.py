"""The chart and the plain manifests, before a real kube-apiserver in a namespace that enforces "restricted"."""

from __future__ import annotations

import copy
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import operator_crds
import pytest
import yaml
from api_server import Answer, ApiServer, Document, api_server, pods_of
from patience import wait_until
from servers import tool

INFRA = Path(__file__).resolve().parents[2] / "infra"
CHART = INFRA / "helm" / "wgtwo-pipeline"

# The session's first test also waits for Maven, on a machine that has nothing yet.
pytestmark = [pytest.mark.heavy, pytest.mark.timeout(400)]

VALUES = {
    "as it comes": {},
    "as little as possible": {
        "existingSecret": "",
        "erase": {"enabled": False},
        "audit": {"enabled": False},
        "ingest": {"replicas": 0},
    },
    "a role, a registry, other options": {
        "serviceAccount": {"annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/x"}},
        "imagePullSecrets": [{"name": "registry"}],
        "image": {"repository": "registry.example:5000/wgtwo-pipeline", "tag": "1"},
        "config": {"types": ["sms", "voice"], "max-in-flight": 200, "plaintext": False},
    },
    "a dashboard": {"grafanaDashboard": {"enabled": True}},
    "a Flink session": {"flink": {"enabled": True, "taskManagers": 2, "subscriptions": 4}},
    "a Flink application": {"flink": {"enabled": True, "mode": "application"}},
}


def helm(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [tool("helm"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=check)


def rendered(values: Document, folder: Path) -> list[Document]:
    """The objects that the chart makes of these values."""
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    ended = helm(
        "template",
        "wgtwo",
        CHART,
        "--namespace",
        "wgtwo",
        "--kube-version",
        "1.34",
        "--values",
        folder / "values.yaml",
    )
    return [each for each in yaml.safe_load_all(ended.stdout) if each]


@pytest.fixture(scope="module")
def server(tmp_path_factory) -> Iterator[ApiServer]:
    with api_server(tmp_path_factory.mktemp("kubernetes")) as running:
        definition = yaml.safe_load(operator_crds.install().read_text())
        for document in (definition, yaml.safe_load((INFRA / "k8s" / "namespace.yaml").read_text())):
            created = running.create(document)
            assert created.code == 201, created
        kind = ("flink.apache.org/v1beta1", "FlinkDeployment")
        wait_until(lambda: running.knows(*kind), 30, "the operator's objects are known")
        yield running


def shown(server: ApiServer, document: Document) -> list[Answer]:
    """What the server says of an object, and of the pods that would be made of it."""
    return [server.apply(document), *(server.create(pod, dry_run=True) for pod in pods_of(document))]


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_a_cluster_accepts_what_the_chart_makes(server, tmp_path, values):
    """Every object and every pod, strictly and without a warning, under "restricted"."""
    documents = rendered(values, tmp_path)
    assert {"ServiceAccount", "ConfigMap", "CronJob"} <= {each["kind"] for each in documents}
    for document in documents:
        for answer in shown(server, document):
            assert answer.accepted, (document["kind"], document["metadata"]["name"], answer)


def test_prometheus_and_grafana_get_the_files_of_infra(tmp_path):
    """The rules, the dashboard and the monitor of the pods' port, for operators that are not there to be asked."""
    enabled = {name: {"enabled": True} for name in ("podMonitor", "prometheusRule", "grafanaDashboard")}
    made = {(each["kind"], each["metadata"]["name"]): each for each in rendered(enabled, tmp_path)}
    rules = yaml.safe_load((INFRA / "prometheus" / "alerts.yaml").read_text())
    assert made["PrometheusRule", "wgtwo"]["spec"] == rules
    dashboard = made["ConfigMap", "wgtwo-dashboard"]["data"]["wgtwo-pipeline.json"]
    assert json.loads(dashboard) == json.loads((INFRA / "grafana" / "dashboard.json").read_text())
    (endpoint,) = made["PodMonitor", "wgtwo"]["spec"]["podMetricsEndpoints"]
    pod = made["Deployment", "wgtwo-ingest"]["spec"]["template"]
    assert endpoint["port"] in [port["name"] for port in pod["spec"]["containers"][0]["ports"]]
    wanted = made["PodMonitor", "wgtwo"]["spec"]["selector"]["matchLabels"]
    assert wanted.items() <= pod["metadata"]["labels"].items()


def test_helm_finds_nothing_wrong(tmp_path):
    """`helm lint --strict`, with the values as they come."""
    ended = helm("lint", "--strict", CHART, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize(
    "wrong",
    [
        {"ingest": {"replica": 3}},
        {"publish": {"schedule": "every minute"}},
        {"config": {"lake": "/data/lake"}},
        {"config": {"client-secret": "hush"}},
        {"flink": {"enabled": True, "mode": "perjob"}},
    ],
    ids=lambda wrong: str(wrong),
)
def test_values_that_cannot_work_are_refused(tmp_path, wrong):
    """By the schema, before anything is rendered: a misspelt name, a folder as the lake, a secret in the open."""
    (tmp_path / "values.yaml").write_text(yaml.safe_dump(wrong))
    ended = helm(
        "template",
        "wgtwo",
        CHART,
        "--kube-version",
        "1.34",
        "--values",
        tmp_path / "values.yaml",
        check=False,
    )
    assert ended.returncode != 0
    assert "values.schema.json" in ended.stderr or "don't meet the specifications" in ended.stderr


def test_the_plain_manifests_are_the_chart_s(tmp_path):
    """Nobody edits them by hand, and nobody forgets `make manifests`."""
    subprocess.run([INFRA / "k8s" / "render.sh", tool("helm"), tmp_path], check=True, timeout=120)
    for made in tmp_path.iterdir():
        assert (INFRA / "k8s" / made.name).read_text() == made.read_text(), "run: make manifests"


def _selector(document: Document) -> None:
    document["spec"]["selector"]["matchLabels"]["app.kubernetes.io/component"] = "another"


def _schedule(document: Document) -> None:
    document["spec"]["schedule"] = "*/15 * * *"


def _root(document: Document) -> None:
    document["spec"]["template"]["spec"]["securityContext"]["runAsNonRoot"] = False


def _misspelt(document: Document) -> None:
    document["spec"]["template"]["spec"]["terminationGracePeriod"] = 60


def _port(document: Document) -> None:
    document["spec"]["template"]["spec"]["containers"][0]["livenessProbe"]["httpGet"]["port"] = (
        "no_such_port!"
    )


def _memory(document: Document) -> None:
    document["spec"]["template"]["spec"]["containers"][0]["resources"]["limits"]["memory"] = "512Megs"


def _volume(document: Document) -> None:
    document["spec"]["template"]["spec"]["containers"][0]["volumeMounts"][0]["name"] = "nowhere"


def _flink(document: Document) -> None:
    document["spec"]["flinkVersion"] = "v9_9"


@pytest.mark.parametrize(
    ("kind", "plant"),
    [
        ("Deployment", _selector),
        ("CronJob", _schedule),
        ("Deployment", _root),
        ("Deployment", _misspelt),
        ("Deployment", _port),
        ("Deployment", _memory),
        ("Deployment", _volume),
        ("FlinkDeployment", _flink),
    ],
)
def test_a_planted_mistake_is_found(server, tmp_path, kind: str, plant: Callable[[Document], None]):
    """The same look, of an object with one mistake, fails: it is the server that looks, not we."""
    documents = rendered({"flink": {"enabled": kind == "FlinkDeployment"}}, tmp_path)
    document = next(each for each in documents if each["kind"] == kind)
    assert all(answer.accepted for answer in shown(server, document))
    mistaken = copy.deepcopy(document)
    plant(mistaken)
    assert not all(answer.accepted for answer in shown(server, mistaken))
