#!/usr/bin/env bash
# Installs the shells beside bash whose completion the heavy tests try, unless they are there.
# Takes Debian's packages, so it needs root or sudo without a password.
set -euo pipefail

missing=()
for shell in zsh fish; do
  command -v "$shell" > /dev/null || missing+=("$shell")
done
if [[ ${#missing[@]} -eq 0 ]]; then
  exit 0
fi
if ! command -v apt-get > /dev/null; then
  echo "shells: no apt-get here: install ${missing[*]}" >&2
  exit 1
fi

as_root() {
  if [[ $(id -u) -eq 0 ]]; then "$@"; else sudo -n "$@"; fi
}

export DEBIAN_FRONTEND=noninteractive
as_root apt-get update -qq
as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
