"""infra/pod.yaml is what the container tests run."""

from pathlib import Path

import yaml
from wgtwo_pipeline.cli.main import main

POD = yaml.safe_load((Path(__file__).parents[2] / "infra" / "pod.yaml").read_text())


def test_the_pod_s_command_line_is_understood(monkeypatch, showed):
    """Its arguments are those of this version, its limits those that were tried, and nothing but /tmp is writable."""
    (container,) = POD["spec"]["containers"]
    for each in container["env"]:
        monkeypatch.setenv(each["name"], each.get("value", "x"))
    asked = []
    monkeypatch.setattr("wgtwo_pipeline.run.supervisor.ingest", lambda config: asked.append(config) or 0)
    assert main(container["args"]) == 0
    assert asked[0].lake.url == "s3://my-bucket/wgtwo"
    assert container["resources"]["limits"]["memory"] == "512Mi"
    assert container["securityContext"]["readOnlyRootFilesystem"]
    assert [mount["mountPath"] for mount in container["volumeMounts"]] == ["/tmp"]
    showed(f"ingest into {asked[0].lake.url}")
