#!/usr/bin/env bash
# Installs what heavy tests and benchmarks run beside Python into .tools/bin, with nothing but Go and its module proxy.
# What is there in the right version is left alone, so it can be run before every test run.
#
#   .ci/tools.sh              everything
#   .ci/tools.sh NAME…        only these
set -euo pipefail
cd "$(dirname "$0")/.."

# The one place where versions are stated: name, module, version, package within the module.
# toxiproxy 2.5.0 is the newest version that the module proxy can give under its module path.
pinned() {
  cat <<'TABLE'
grpcurl           github.com/fullstorydev/grpcurl   v1.9.4   cmd/grpcurl
helm              helm.sh/helm/v3                   v3.19.2  cmd/helm
prism             github.com/apache/beam/sdks/v2    v2.77.0  go/cmd/prism
toxiproxy-server  github.com/Shopify/toxiproxy/v2   v2.5.0   cmd/server
versitygw         github.com/versity/versitygw      v1.8.0   cmd/versitygw
TABLE
}

# Programs that only a module of ours can build, which says in which version: name, folder, package, its module, version.
required() {
  cat <<'TABLE'
kube-apiserver  tests/kubernetes/apiserver  k8s.io/kubernetes/cmd/kube-apiserver  k8s.io/kubernetes  v1.34.2
TABLE
}

# Our own programs, always built anew (Go's cache makes that a second): name, folder of its module, package.
ours() {
  cat <<'TABLE'
guide-client  tests/guide/client  .
loadserver    benchmarks/go       ./loadserver
pipeclient    benchmarks/go       ./pipeclient
turnclient    benchmarks/go       ./turnclient
TABLE
}

bin="$PWD/.tools/bin"
work="$PWD/.tools/install.$$"
trap 'rm -rf "$work"' EXIT
mkdir -p "$bin"

if ! command -v go > /dev/null; then
  echo "tools: no 'go' on the PATH: install Go 1.26 or newer" >&2
  exit 1
fi

wanted() { # NAME NAMES…: no names mean all
  local name=$1
  shift
  [[ $# -eq 0 || " $* " == *" $name "* ]]
}

known=" $({ pinned; required; ours; } | awk '{printf "%s ", $1}')"
for name in "$@"; do
  if [[ $known != *" $name "* ]]; then
    echo "tools: no tool named '$name': there are${known% }" >&2
    exit 2
  fi
done

# All lists are read on descriptor 3, since go must not find them on its standard input.
while read -r name module version package <&3; do
  wanted "$name" "$@" || continue
  if go version -m "$bin/$name" 2> /dev/null | grep -qF "$(printf 'mod\t%s\t%s\t' "$module" "$version")"; then
    continue
  fi
  echo "tools: installing $name $version" >&2
  started=$SECONDS
  GOBIN="$work" go install "$module/$package@$version"
  mv "$work/$(basename "$package")" "$bin/$name" # within one file system: never half a binary under its name
  echo "tools: $name took $((SECONDS - started)) s" >&2
done 3< <(pinned)

while read -r name folder package module version <&3; do
  wanted "$name" "$@" || continue
  if go version -m "$bin/$name" 2> /dev/null | grep -qF "$(printf 'mod\t%s\t%s\t' "$module" "$version")"; then
    continue
  fi
  echo "tools: building $name $version" >&2
  started=$SECONDS
  mkdir -p "$work"
  (cd "$folder" && go build -ldflags='-s -w' -o "$work/$name" "$package")
  mv "$work/$name" "$bin/$name"
  echo "tools: $name took $((SECONDS - started)) s" >&2
done 3< <(required)

while read -r name folder package <&3; do
  wanted "$name" "$@" || continue
  mkdir -p "$work"
  (cd "$folder" && go build -o "$work/$name" "$package")
  mv "$work/$name" "$bin/$name"
done 3< <(ours)
