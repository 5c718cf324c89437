# lib.bash - what the end-to-end tests share: a registry and a cluster of real
# processes, made in setup_file and gone after teardown_file whatever happened.

B=${B:-build/release}
ROOT=$(cd "$BATS_TEST_DIRNAME/../.." && pwd)
case $B in /*) ;; *) B=$ROOT/$B ;; esac
PATH=$B/bin:$PATH

# Wait for a command to succeed: `await SECONDS COMMAND...`. For what has no
# event to wait on (a process of somebody else's that begins to listen).
await() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge "$deadline" ]; then
            echo "waited in vain for: $*" >&2
            return 1
        fi
        sleep 0.05
    done
}

# A port of 127.0.0.1 that nobody has.
free_port() {
    python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}

# A docker-registry on $REGISTRY_HOST:$REGISTRY_PORT with its data in $WORK.
REGISTRY_HOST=${REGISTRY_HOST:-127.0.0.1}
registry_up() {
    REGISTRY_PORT=${REGISTRY_PORT:-$(free_port)}
    cat >"$WORK/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $WORK/registry}, delete: {enabled: true}}
http: {addr: $REGISTRY_HOST:$REGISTRY_PORT}
YAML
    docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 3>&- &
    REGISTRY_PID=$!
    await 10 curl -fs "http://$REGISTRY_HOST:$REGISTRY_PORT/v2/"
    export REGISTRY_PORT REGISTRY_PID
}

registry_down() {
    [ -n "${REGISTRY_PID:-}" ] && kill "$REGISTRY_PID" 2>/dev/null
    wait "${REGISTRY_PID:-}" 2>/dev/null || true
    REGISTRY_PID=
}

# The small image of the tests, busybox-static, as $IMAGE in the registry.
image_push() {
    "$ROOT/deploy/busybox-image" "$WORK/image"
    skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:latest" \
        "docker://$REGISTRY_HOST:$REGISTRY_PORT/busybox:1"
    IMAGE=$REGISTRY_HOST:$REGISTRY_PORT/busybox:1
    export IMAGE
}

# A cluster in $WORK/cluster; kctl speaks to it.
cluster_up() {
    export KONTOR_CONFIG=$WORK/cluster/config.json
    kctl dev up --dir "$WORK/cluster" --registry "${REGISTRY_PORT:-5000}" \
        "$@" 3>&-
}

cluster_down() {
    local file
    for file in "$WORK"/*.knode; do
        [ ! -e "$file" ] || ! kill "$(cat "$file")" 2>/dev/null ||
            await 10 gone "$(cat "$file")"
    done
    [ -d "$WORK/cluster" ] && kctl dev down --dir "$WORK/cluster"
}

knode_of() { # NODE
    pgrep -f "knode --name $1 .*$WORK"
}

gone() { # PID
    ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null
}

# Kill a node's knode and start it again, with more options:
# `knode_again NODE OPTION...`.
knode_again() {
    local name=$1 knode words
    shift
    knode=$(knode_of "$name")
    mapfile -d '' words <"/proc/$knode/cmdline"
    kill -9 "$knode"
    await 10 gone "$knode"
    setsid nsenter --net="/run/netns/kdev-$name" "${words[@]}" "$@" \
        >>"$WORK/cluster/$name.log" 2>&1 </dev/null 3>&- &
    echo $! >"$WORK/$name.knode"
}

work_make() {
    WORK=$(mktemp -d /var/tmp/kontor-e2e-XXXXXX)
    export WORK
}

work_remove() {
    [ -n "${WORK:-}" ] && rm -rf "$WORK"
}

# Run kctl and expect its exit code: `expect CODE ARGUMENTS...`; what it said
# is in $output, both streams.
expect() {
    local code=$1
    shift
    run kctl "$@"
    echo "kctl $*: $output" # told when the test fails
    if [ "$status" != "$code" ]; then
        echo "it exited with $status, not $code" >&2
        return 1
    fi
}

# A field of a pod: `pod_field NAME .status.phase`.
pod_field() {
    kctl get pods -a -o json | python3 -c '
import json, sys
name, path = sys.argv[1:]
rows = json.load(sys.stdin)
rows = rows["pods"] if isinstance(rows, dict) else rows
for row in rows:
    if row["name"] == name:
        for key in path.strip(".").split("."):
            row = row.get(key, "")
        print(row)' "$1" "$2"
}

# A certificate in the current folder that kctl pki would not make:
# `certificate ROLE NAME CA FROM UNTIL`, times as 20200101000000Z. The CA is
# CA.crt and CA.key.
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -subj "/O=kontor/OU=$1/CN=$2" -keyout "$2.key" -out "$2.csr"
    : >"$2.index"
    cat >"$2.conf" <<CONF
[ca]
default_ca = default
[default]
database = $2.index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
[any]
organizationName = supplied
organizationalUnitName = supplied
commonName = supplied
CONF
    openssl ca -batch -notext -config "$2.conf" -cert "$3.crt" \
        -keyfile "$3.key" -startdate "$4" -enddate "$5" -in "$2.csr" -out "$2.crt"
}

# Wait for a pod by its events: `await_pod NAME EXPRESSION [SECONDS]`, where
# EXPRESSION is Python over `pod`, `status` and `phase`. Prints the pod.
await_pod() {
    python3 "$BATS_TEST_DIRNAME/await_pod.py" "$1" "$2" "${3:-15}"
}

# A field of a JSON object on stdin: `field .status.pid`.
field() {
    python3 -c '
import json, sys
value = json.load(sys.stdin)
for key in sys.argv[1].strip(".").split("."):
    value = value[key]
print(value)' "$1"
}

# The folder of a pod's container in the hierarchy that has a controller:
# `pod_group NAME CONTROLLER`.
pod_group() {
    local pod path
    pod=$(kctl describe pod "$1" -o json)
    path=$(cluster_group)/$(field .node <<<"$pod")/pod-$(field .id <<<"$pod")
    if [ -d "/sys/fs/cgroup/$2/$path" ]; then
        echo "/sys/fs/cgroup/$2/$path"
    else
        echo "/sys/fs/cgroup/$path"
    fi
}

# The host's pid of a pod's first process.
pod_process() {
    local process
    while read -r process; do # the first to start: numbers begin anew
        sed "s/.*) //; s/\$/ $process/" "/proc/$process/stat" 2>/dev/null || true
    done <"$(pod_group "$1" pids)/c0/cgroup.procs" |
        sort -n -k 20,20 | awk 'NR == 1 {print $NF}'
}

# What of the nodes is on this machine: mounts, interfaces of pods, cgroups,
# processes; one a line.
node_traces() { # NODE
    grep -F "$WORK/cluster/$1/" /proc/self/mountinfo || true
    ip netns exec "kdev-$1" ip -o link show type veth | grep -v ' eth0' || true
    find /sys/fs/cgroup -mindepth 4 -type d -path "*/$(cluster_group)/$1/*" || true
    pgrep -a kpod | grep -F "$WORK/cluster/$1/" || true
}

cluster_group() {
    field .cgroup <"$WORK/cluster/state.json"
}

# Skip in the lab: looks at this machine for what is on another there.
on_this_machine() {
    [ -z "${LAB:-}" ] || skip "not in the lab"
}

# The lab's cluster is there already: deploy/lab/e2e.bash.
[ -z "${LAB:-}" ] || . "$LAB"
