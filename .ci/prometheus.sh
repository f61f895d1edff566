#!/usr/bin/env bash
# Installs Prometheus and promtool, by which the heavy tests try alerts and dashboard, unless they are there.
# Takes Debian's package, so it needs root or sudo without a password.
set -euo pipefail

if command -v prometheus > /dev/null && command -v promtool > /dev/null; then
  exit 0
fi
if ! command -v apt-get > /dev/null; then
  echo "prometheus: no apt-get here: install prometheus and promtool" >&2
  exit 1
fi

as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
# Only the programs: tests start their own, on free ports.
printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d > /dev/null
as_root chmod +x /usr/sbin/policy-rc.d
as_root apt-get install -y -qq --no-install-recommends prometheus > /dev/null
as_root rm /usr/sbin/policy-rc.d
