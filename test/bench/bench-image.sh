#!/usr/bin/env bash
# test/bench/bench-image.sh - pull and unpack an image of six gzip layers, 200
# MiB unpacked, from docker-registry on loopback: kpull, skopeo +
# umoci, containerd. Registry and stores are on tmpfs, each run begins with an
# empty store; medians of RUNS (default 5). Nothing is left behind.
#
#   PULLER   a program that runs `image-pull` (default $B/bin/kpull)
set -euo pipefail
cd "$(dirname "$0")/../.."
B=${B:-build/release}
puller=${PULLER:-$B/bin/kpull}
runs=${RUNS:-5}
dir=$(mktemp -d "${BENCH_TMPFS:-/dev/shm}/bench-image-XXXXXX")
registry_pid=
containerd_pid=

stop_one() { # PID, which this script started
    [ -z "$1" ] && return
    kill "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
}

stop() {
    stop_one "$containerd_pid"
    stop_one "$registry_pid"
    awk -v dir="$dir" '$2 ~ "^" dir {print $2}' /proc/mounts | sort -r |
        xargs -r -n1 umount -l
    rm -rf "$dir"
}
trap stop EXIT

median() { # name; milliseconds on stdin
    sort -n | awk -v name="$1" '{t[NR] = $1} END {
        printf "%-24s n %d  median %6.0f ms  min %6.0f  max %6.0f\n", name, NR,
            t[int((NR + 1) / 2)], t[1], t[NR]}'
}

timed() { # command...; prints milliseconds
    local began
    began=$(date +%s%N)
    "$@" >"$dir/out" 2>&1 || { cat "$dir/out" >&2; return 1; }
    echo $((($(date +%s%N) - began) / 1000000))
}

port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
image=127.0.0.1:$port/bench/six:1
cat >"$dir/registry.yml" <<YAML
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $dir/registry}}
http: {addr: 127.0.0.1:$port}
YAML
docker-registry serve "$dir/registry.yml" >"$dir/registry.log" 2>&1 &
registry_pid=$!
until curl -fs "http://127.0.0.1:$port/v2/" >/dev/null; do
    kill -0 "$registry_pid"
    sleep 0.05
done
python3 test/bench/make-image.py "$dir/image" six
skopeo copy -q --dest-tls-verify=false "oci:$dir/image:six" "docker://$image"

# ---- ours

ours() {
    "$puller" image-pull --store "$dir/store" --work 1 "$image"
}
for _ in $(seq "$runs"); do
    rm -rf "$dir/store"
    timed ours
done | median "kontor"
rm -rf "$dir/store"

# ---- skopeo and umoci

skopeo_umoci() {
    skopeo copy -q --src-tls-verify=false "docker://$image" "oci:$dir/sk:six"
    umoci unpack --image "$dir/sk:six" "$dir/bundle"
}
for _ in $(seq "$runs"); do
    rm -rf "$dir/sk" "$dir/bundle"
    timed skopeo_umoci
done | median "skopeo + umoci"
rm -rf "$dir/sk" "$dir/bundle"

# ---- containerd, a fresh one each time: it keeps what it has seen

ctl() {
    ctr --address "$dir/containerd/sock" "$@"
}
containerd_start() {
    mkdir "$dir/containerd"
    cat >"$dir/containerd/config.toml" <<TOML
version = 2
root = "$dir/containerd/root"
state = "$dir/containerd/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "$dir/containerd/sock"
TOML
    containerd --config "$dir/containerd/config.toml" --log-level error \
        >"$dir/containerd.log" 2>&1 &
    containerd_pid=$!
    until ctl version >/dev/null 2>&1; do
        kill -0 "$containerd_pid"
        sleep 0.05
    done
}
for _ in $(seq "$runs"); do
    containerd_start
    timed ctl image pull --plain-http "$image" >>"$dir/containerd.ms"
    stop_one "$containerd_pid"
    containerd_pid=
    rm -rf "$dir/containerd"
done
median "containerd" <"$dir/containerd.ms"
