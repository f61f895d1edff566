"""infra/k8s and infra/compose.yaml start what this version understands, with the file and variables given there."""

import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from typed import settings
from wgtwo_pipeline.cli.main import program

INFRA = Path(__file__).resolve().parents[2] / "infra"
PLAIN, SESSION, APPLICATION = "wgtwo-pipeline.yaml", "flink-session.yaml", "flink-application.yaml"
SECRET = {"CLIENT_ID": "us", "CLIENT_SECRET": "hush"}


def documents(name: str) -> list[dict[str, Any]]:
    return [each for each in yaml.safe_load_all((INFRA / "k8s" / name).read_text()) if each]


def pods(name: str) -> dict[str, dict[str, Any]]:
    """The pod of each workload, by its component."""
    found = {}
    for each in documents(name):
        spec = each.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found[each["metadata"]["labels"]["app.kubernetes.io/component"]] = spec["template"]["spec"]
    return found


@pytest.fixture
def understood(tmp_path: Path):
    """What a command makes of a container's arguments, with the ConfigMap's file and the Secret's variables."""

    def understand(name: str, words: list[str]) -> Any:
        (config,) = [each for each in documents(name) if each["kind"] == "ConfigMap"]
        (tmp_path / "pipeline.toml").write_text(config["data"]["pipeline.toml"])
        environment = {**SECRET, "WGTWO_CONFIG": str(tmp_path / "pipeline.toml")}
        return program.commands[words[0]].request(settings(*words, environment=environment))

    return understand


@pytest.mark.parametrize(
    ("name", "components"),
    [
        (PLAIN, {"ingest", "publish", "erase", "audit"}),
        (SESSION, {"ingest", "publish", "erase", "audit", "job-server"}),
        (APPLICATION, {"publish", "erase", "audit"}),
    ],
)
def test_each_container_starts_a_command_of_this_version(understood, name, components):
    """Its arguments are parsed and built with the configuration that is mounted beside it, into the same lake."""
    found = pods(name)
    assert set(found) == components
    for component in components - {"job-server"}:
        (container,) = found[component]["containers"]
        assert {"name": "WGTWO_CONFIG", "value": "/etc/wgtwo/pipeline.toml"} in container["env"]
        assert understood(name, container["args"]).lake.url == "s3://my-bucket/wgtwo"


def test_flink_s_own_mode_submits_and_leaves(understood):
    """The driver's command is ours, detached; from nothing, since no state is worth restoring."""
    (flink,) = [each["spec"] for each in documents(APPLICATION) if each["kind"] == "FlinkDeployment"]
    option, driver = flink["job"]["args"]
    assert option == "--driver-cmd"
    _, *words = shlex.split(driver)
    assert understood(APPLICATION, words).detach
    assert flink["job"]["upgradeMode"] == "stateless"


def test_a_pod_has_the_time_and_the_place_that_it_needs():
    """A minute to drain, one place to write; what may run twice does not; replicas are members."""
    for component, pod in pods(PLAIN).items():
        assert pod["terminationGracePeriodSeconds"] >= 60
        (container,) = pod["containers"]
        assert container["securityContext"]["readOnlyRootFilesystem"]
        writable = [each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")]
        assert writable == ["/tmp"], component
    cron = [each["spec"] for each in documents(PLAIN) if each["kind"] == "CronJob"]
    assert all(each["concurrencyPolicy"] == "Forbid" for each in cron)


def test_probes_are_those_that_ingest_serves():
    """The paths and the port of `--metrics-address`."""
    (container,) = pods(PLAIN)["ingest"]["containers"]
    assert "--metrics-address=0.0.0.0:9464" in container["args"]
    assert container["ports"] == [{"name": "metrics", "containerPort": 9464}]
    probes = {name: container[name]["httpGet"] for name in container if name.endswith("Probe")}
    assert {name: each["path"] for name, each in probes.items()} == {
        "startupProbe": "/livez",
        "livenessProbe": "/livez",
        "readinessProbe": "/readyz",
    }
    assert all(each["port"] == "metrics" for each in probes.values())


def test_compose_starts_commands_of_this_version():
    """Each service of our image, its entry point apart, and nothing is reached from outside this machine."""
    services = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]
    commands = {
        name: each for name, each in services.items() if "wgtwo" in each["image"] and "entrypoint" not in each
    }
    assert set(commands) == {"sandbox", "ingest"}
    for each in commands.values():
        program.commands[each["command"][0]].request(
            settings(*each["command"], environment=dict(each.get("environment", {})))
        )
    for each in services.values():
        assert set(each.get("depends_on", [])) <= set(services)
        assert all(port.startswith("127.0.0.1:") for port in each.get("ports", []))


@pytest.mark.heavy
def test_compose_is_read_by_a_compose(tmp_path):
    """`podman-compose config`, with a podman that only says its version."""
    podman = tmp_path / "podman"
    podman.write_text("#!/bin/sh\necho podman version 5.4.2\n")
    podman.chmod(0o755)
    compose = Path(sys.executable).with_name("podman-compose")
    shutil.copy(INFRA / "compose.yaml", tmp_path / "compose.yaml")

    def config() -> subprocess.CompletedProcess[str]:
        command = [compose, "-f", tmp_path / "compose.yaml", "config"]
        environment = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        return subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)

    ended = config()
    assert ended.returncode == 0, ended.stderr
    read = yaml.safe_load(ended.stdout)
    assert set(read["services"]) == {"sandbox", "s3", "bucket", "ingest", "publish", "prometheus", "grafana"}
