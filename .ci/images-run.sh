#!/usr/bin/env bash
# Runs the images that .ci/images.sh has built, as pods do; called by it.
#
#   .ci/images-run.sh FOLDER      where images are kept; logs go there, too
set -euo pipefail
cd "$(dirname "$0")/.."
kept=$1
ip link set lo up

built() { buildah --root "$kept/storage" --runroot "$kept/run" --storage-driver vfs "$@"; }
said() { built inspect --type image --format "$2" "localhost/wgtwo-$1"; } # by an image's configuration
started=$SECONDS
took() { echo "images: $1 took $((SECONDS - started)) s"; started=$SECONDS; }

declare -A roots
for image in pipeline worker flink; do
  roots[$image]=$(built mount "$(built from "localhost/wgtwo-$image")")
done
took "copies of the images"

# As in a pod: an image's user, environment, folder and entry point; no capability, none to be gained, a read-only root with a tmpfs at
# /tmp, process 1 of its own. `more` is added to the environment; as soon as the folder `stop_at` is there, process 1 gets SIGTERM.
more=()
stop_at=
as_in_a_pod() { # IMAGE ARGUMENT…
  local image=$1 environment entry
  shift
  mapfile -t environment < <(said "$image" '{{range .OCIv1.Config.Env}}{{println .}}{{end}}' | sed '/^$/d')
  entry=$(said "$image" '{{index .OCIv1.Config.Entrypoint 0}}')
  # shellcheck disable=SC2016 # the inner shell's
  unshare --mount --pid --fork --kill-child sh -euc '
    root=$0 stop_at=$1 user=$2 folder=$3; shift 3
    echo "127.0.0.1 localhost $(hostname)" > "$root/etc/hosts" # as a kubelet does
    mount --bind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount --rbind /dev "$root/dev"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    mount -o remount,bind,ro "$root"
    if [ "$stop_at" ]; then (while ! [ -d "$root$stop_at" ]; do sleep 0.2; done; kill -TERM 1) & fi
    exec chroot "$root" /usr/bin/setpriv --reuid "$user" --regid "$user" --clear-groups --no-new-privs --bounding-set=-all \
      --inh-caps=-all /bin/sh -c '"'"'cd "$0"; exec /usr/bin/env -i "$@"'"'"' "$folder" "$@"
  ' "${roots[$image]}" "$stop_at" "$(said "$image" '{{.OCIv1.Config.User}}')" "$(said "$image" '{{.OCIv1.Config.WorkingDir}}')" \
    "${environment[@]}" "${more[@]}" "$entry" "$@"
}

if as_in_a_pod pipeline run --lake /wgtwo-lake --for 1s > /dev/null 2>&1; then
  echo "images: the root is not read-only" >&2
  exit 1
fi
as_in_a_pod pipeline run --lake /tmp/lake --for 5s | tee "$kept/run.txt"
grep -q "audit passed" "$kept/run.txt"
took "run --for 5s, exit 0, audit passed,"
stop_at=/tmp/lake/journal
as_in_a_pod pipeline run --lake /tmp/lake | tee "$kept/stop.txt"
grep -q "audit passed" "$kept/stop.txt"
stop_at=
took "SIGTERM to process 1, exit 0, audit passed,"

# Flink's application mode, with the chart's command: a JobManager and a TaskManager of `flink`, the pool of `worker` beside it.
events=1000
rm -rf "$kept/s3"
mkdir -p "$kept/s3"
.tools/bin/versitygw --port 127.0.0.1:7070 --access sandbox --secret sandbox-secret --quiet posix "$kept/s3" > "$kept/s3.log" 2>&1 &
as_in_a_pod pipeline sandbox --rate 100 --count $events --admin-address 127.0.0.1:8080 > "$kept/sandbox.log" 2>&1 &
until (: < /dev/tcp/127.0.0.1/7070) 2> /dev/null; do sleep 0.2; done
more=(AWS_ACCESS_KEY_ID=sandbox AWS_SECRET_ACCESS_KEY=sandbox-secret)
env "${more[@]}" .venv/bin/python infra/create_bucket.py s3://lake/wgtwo --s3-endpoint http://127.0.0.1:7070 > "$kept/bucket.log"

as_in_a_pod worker --worker_pool > "$kept/worker.log" 2>&1 &
more+=(WGTWO_ENDPOINT=127.0.0.1:50051 WGTWO_PLAINTEXT=true WGTWO_LAKE=s3://lake/wgtwo WGTWO_S3_ENDPOINT=http://127.0.0.1:7070)
places=(-Djobmanager.rpc.address=127.0.0.1 -Drest.address=127.0.0.1 -Dtaskmanager.host=127.0.0.1)
memory=(-Dtaskmanager.cpu.cores=1 -Dtaskmanager.memory.{task.heap.size,jvm-metaspace.size}=512m
  -Dtaskmanager.memory.{framework.heap,framework.off-heap,task.off-heap,managed}.size=128m
  -Dtaskmanager.memory.{network,jvm-overhead}.{min,max}=128m)
as_in_a_pod flink taskmanager "${places[@]}" "${memory[@]}" > "$kept/taskmanager.log" 2>&1 &
driver=$(sed -n 's/^ *- \(wgtwo-pipeline ingest .*\)/\1/p' infra/helm/wgtwo-pipeline/templates/flink.yaml | sed 's/{{[^}]*}}/2/')
as_in_a_pod flink standalone-job "${places[@]}" --job-classname org.apache.beam.runners.flink.FlinkPortableClientEntryPoint \
  --driver-cmd "$driver" > "$kept/jobmanager.log" 2>&1 &

acked() {
  curl --silent http://127.0.0.1:8080/state | python3 -c 'import json, sys; print(sum(each["acked"] for each in json.load(sys.stdin)["groups"]))' \
    2> /dev/null || echo 0
}
deadline=$((SECONDS + 300))
until [[ $(acked) -ge $events ]]; do
  if [[ $SECONDS -gt $deadline ]]; then
    echo "images: $(acked) of $events events are acked after 5 minutes: see the logs in $kept" >&2
    exit 1
  fi
  sleep 1
done
took "application mode with a worker pool, $(acked) events acked,"
as_in_a_pod pipeline publish
as_in_a_pod pipeline audit | tee "$kept/audit.txt"
grep -q "audit passed" "$kept/audit.txt"
took "publish and audit"
