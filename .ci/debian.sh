#!/usr/bin/env bash
# Installs the programs of Debian that the heavy tests run, unless they are there: only what is missing, and nothing is
# started by it. Needs root or sudo without a password; where there is no apt-get, it says what to install.
set -euo pipefail
export PATH="$PATH:/usr/sbin"

missing=()
needs() { # PROGRAM PACKAGE
  command -v "$1" > /dev/null || missing+=("$2")
}
needs zsh zsh                        # completion
needs fish fish
needs nginx nginx-light              # between our HTTP/2 client and a service
needs haproxy haproxy
needs prometheus prometheus          # alerts and dashboard
needs promtool prometheus
needs systemd-analyze systemd        # the units
needs etcd etcd-server               # for the API server that the manifests are tried on
if ! command -v google-chrome > /dev/null; then
  needs "${CHROMIUM:-chromium}" chromium # the pages
fi
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi
if ! command -v apt-get > /dev/null; then
  echo "debian: no apt-get here: install ${missing[*]} (CHROMIUM may name a browser's program)" >&2
  exit 1
fi

as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
# Tests start their own servers, on free ports.
printf '#!/bin/sh\nexit 101\n' | as_root tee /usr/sbin/policy-rc.d > /dev/null
as_root chmod +x /usr/sbin/policy-rc.d
as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
as_root rm /usr/sbin/policy-rc.d
