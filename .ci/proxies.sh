#!/usr/bin/env bash
# Installs nginx and haproxy, through which the heavy tests of our HTTP/2 client go, unless they are there.
# Takes Debian's packages, so it needs root or sudo without a password.
set -euo pipefail
export PATH="$PATH:/usr/sbin"

if command -v nginx > /dev/null && command -v haproxy > /dev/null; then
  exit 0
fi
if ! command -v apt-get > /dev/null; then
  echo "proxies: no apt-get here: install nginx and haproxy" >&2
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
as_root apt-get install -y -qq --no-install-recommends nginx-light haproxy > /dev/null
as_root rm /usr/sbin/policy-rc.d
