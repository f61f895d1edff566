#!/usr/bin/env bash
# Installs what the tests of infra/ need of Debian, unless it is there: systemd-analyze for the units, etcd for the API
# server. Only programs, nothing is started. Needs root or sudo without a password.
set -euo pipefail

missing=()
needs() { # PROGRAM PACKAGE
  command -v "$1" > /dev/null || missing+=("$2")
}
needs systemd-analyze systemd
needs etcd etcd-server
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi
if ! command -v apt-get > /dev/null; then
  echo "cluster: no apt-get here: install ${missing[*]}" >&2
  exit 1
fi

as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d > /dev/null
as_root chmod +x /usr/sbin/policy-rc.d
as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
as_root rm /usr/sbin/policy-rc.d
