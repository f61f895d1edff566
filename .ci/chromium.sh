#!/usr/bin/env bash
# Installs the headless Chromium that the test of the sandbox's admin page drives, unless there is one.
# Takes Debian's package, so it needs root or sudo without a password; elsewhere set CHROMIUM to a program.
set -euo pipefail

if command -v "${CHROMIUM:-chromium}" > /dev/null || command -v google-chrome > /dev/null; then
  exit 0
fi
if ! command -v apt-get > /dev/null; then
  echo "chromium: no apt-get here: install Chromium or Chrome and set CHROMIUM to its program" >&2
  exit 1
fi

as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
as_root apt-get install -y -qq --no-install-recommends chromium > /dev/null
