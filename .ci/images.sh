#!/usr/bin/env bash
# Builds the three images and runs them as pods do (.ci/images-run.sh), with no Docker engine and no image registry: a Debian by
# debootstrap as their base, buildah with a chroot as its isolation, and stand-ins (.ci/stand-ins) for Beam's, Flink's and Maven's images.
# Needs root, apt-get, Go, Java and Maven; takes some minutes, so it is no part of .ci/run.
#
#   .ci/images.sh      images are kept in .tools/images
set -euo pipefail
cd "$(dirname "$0")/.."
kept=$PWD/.tools/images
mkdir -p "$kept"

missing=()
command -v buildah > /dev/null || missing+=(buildah)
command -v debootstrap > /dev/null || missing+=(debootstrap)
command -v ip > /dev/null || missing+=(iproute2)
if [[ ${#missing[@]} -gt 0 ]]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi

built() { buildah --root "$kept/storage" --runroot "$kept/run" --storage-driver vfs "$@"; }

started=$SECONDS
took() { echo "images: $1 took $((SECONDS - started)) s"; started=$SECONDS; }

if [[ ! -e $kept/base.done ]]; then
  rm -rf "$kept/base"
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm "$kept/base" > "$kept/debootstrap.log"
  touch "$kept/base.done"
fi
if ! built inspect --type image localhost/base > /dev/null 2>&1; then
  container=$(built from scratch)
  built copy --quiet "$container" "$kept/base" / > /dev/null
  built commit --quiet "$container" localhost/base > /dev/null
  built rm "$container" > /dev/null
fi
took "a Debian with Python"

# What this machine's pip is told of mirrors and authorities holds for the build, too, and stays out of the image.
from_host=()
for file in /etc/pip.conf /root/.config/pip/pip.conf /etc/ssl/certs/ca-certificates.crt; do
  [[ -e $file ]] && from_host+=(--volume "$file:$file:ro")
done
build() { # what else `buildah build` is told
  built build --quiet --isolation chroot --network host --build-arg BASE=localhost/base "${from_host[@]}" "$@" > /dev/null
}

beam=$(sed -n 's/^apache-beam==//p' requirements-worker.lock)
CGO_ENABLED=0 GOBIN="$kept/programs" go install -ldflags=-s "github.com/apache/beam/sdks/v2/python/container@v$beam"
took "Beam's boot program $beam"
jars=$(.venv/bin/python tests/flink/install.py)
modules=$(PYTHONPATH=tests/flink .venv/bin/python -c 'from java_modules import JAVA_MODULES; print(*JAVA_MODULES)')
for name in beam flink maven; do
  build --file .ci/stand-ins/Dockerfile --target $name --tag "localhost/$name" --build-arg JAVA_MODULES="$modules" \
    --build-context repository=. --build-context programs="$kept/programs" --build-context jars="$jars" .ci/stand-ins
  took "a stand-in for the image of $name"
done

for target in pipeline worker flink; do
  build --file infra/Dockerfile --target $target --tag "localhost/wgtwo-$target" \
    --build-arg BEAM=localhost/beam --build-arg FLINK=localhost/flink --build-arg MAVEN=localhost/maven .
  took "the image $target, $(built images --format '{{.Size}}' "localhost/wgtwo-$target"),"
done

.ci/tools.sh versitygw
# Processes of their own, all of which end with it, and a network without a way out: nothing is downloaded, no port is anybody else's.
unshare --net --pid --fork --kill-child --mount-proc .ci/images-run.sh "$kept" || failed=$?
built rm --all > /dev/null
exit "${failed:-0}"
