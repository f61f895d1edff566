#!/usr/bin/env bash
# Writes the plain manifests out of the chart, which is their source: infra/k8s/render.sh [HELM [FOLDER]]
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
helm=${1:-helm}
folder=${2:-$here}

render() { # FILE VALUES…
  local file=$1
  shift
  {
    echo "# Rendered from infra/helm/wgtwo-pipeline by infra/k8s/render.sh: change the chart, not this."
    "$helm" template wgtwo "$here/../helm/wgtwo-pipeline" --namespace wgtwo --kube-version 1.34 "$@"
  } > "$folder/$file"
}

render wgtwo-pipeline.yaml
render flink-session.yaml --set flink.enabled=true
render flink-application.yaml --set flink.enabled=true,flink.mode=application
