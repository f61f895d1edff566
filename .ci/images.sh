#!/usr/bin/env bash
# Builds the image `pipeline` and runs it as a pod does, with no Docker engine and no image registry: a Debian by debootstrap as its
# base, buildah with a chroot as its isolation. Needs root and apt-get; takes some minutes, so it is no part of .ci/run.
#
#   .ci/images.sh [FOLDER]      where images are kept, default .tools/images
set -euo pipefail
cd "$(dirname "$0")/.."
kept=${1:-$PWD/.tools/images}
mkdir -p "$kept"

missing=()
command -v buildah > /dev/null || missing+=(buildah)
command -v debootstrap > /dev/null || missing+=(debootstrap)
if [[ ${#missing[@]} -gt 0 ]]; then
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null
fi

built() { buildah --root "$kept/storage" --runroot "$kept/run" --storage-driver vfs "$@"; }

took() { echo "images: $1 took $((SECONDS - started)) s"; started=$SECONDS; }
started=$SECONDS

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
built build --quiet --isolation chroot --network host --build-arg BASE=localhost/base "${from_host[@]}" \
  --file infra/Dockerfile --target pipeline --tag localhost/wgtwo-pipeline . > /dev/null
took "the image pipeline"
echo "images: $(built images --format '{{.Name}} {{.Size}}' localhost/wgtwo-pipeline)"

# As in a pod: uid 10001, no capability, none to be gained, a read-only root with a tmpfs at /tmp, process 1 of its own.
container=$(built from localhost/wgtwo-pipeline)
root=$(built mount "$container")
trap 'built umount "$container" > /dev/null; built rm "$container" > /dev/null' EXIT
as_in_a_pod() { # FOLDER, as soon as which is there it gets SIGTERM, "" for never; its arguments
  local stop_at=$1
  shift
  # shellcheck disable=SC2016 # the inner shell's
  timeout --signal KILL 180 unshare --mount --pid --fork --kill-child sh -euc '
    root=$0 stop_at=$1; shift
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount -o remount,bind,ro "$root"
    if [ "$stop_at" ]; then (while ! [ -d "$root$stop_at" ]; do sleep 0.2; done; kill -TERM 1) & fi
    exec env -i PATH=/opt/wgtwo/bin:/usr/sbin:/usr/bin HOME=/tmp PYTHONUNBUFFERED=1 chroot "$root" \
      setpriv --reuid 10001 --regid 10001 --clear-groups --no-new-privs --bounding-set=-all --inh-caps=-all \
      sh -c '"'"'cd /tmp; exec "$@"'"'"' sh wgtwo-pipeline "$@"
  ' "$root" "$stop_at" "$@"
}

started=$SECONDS
if as_in_a_pod "" run --lake /wgtwo-lake --for 1s > /dev/null 2>&1; then
  echo "images: the root is not read-only" >&2
  exit 1
fi
as_in_a_pod "" run --lake /tmp/lake --for 5s | tee "$kept/run.txt"
grep -q "audit passed" "$kept/run.txt"
took "run --for 5s, exit 0, audit passed,"
as_in_a_pod /tmp/lake/journal run --lake /tmp/lake > /dev/null
took "SIGTERM to process 1, exit 0,"
