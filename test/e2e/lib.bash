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

# A docker-registry on 127.0.0.1:$REGISTRY_PORT with its data in $WORK.
registry_up() {
    REGISTRY_PORT=${REGISTRY_PORT:-$(free_port)}
    cat >"$WORK/registry.yml" <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $WORK/registry}, delete: {enabled: true}}
http: {addr: 127.0.0.1:$REGISTRY_PORT}
YAML
    docker-registry serve "$WORK/registry.yml" >"$WORK/registry.log" 2>&1 3>&- &
    REGISTRY_PID=$!
    await 10 curl -fs "http://127.0.0.1:$REGISTRY_PORT/v2/"
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
        "docker://127.0.0.1:$REGISTRY_PORT/busybox:1"
    IMAGE=127.0.0.1:$REGISTRY_PORT/busybox:1
    export IMAGE
}

# A cluster in $WORK/cluster; kctl speaks to it.
cluster_up() {
    export KONTOR_CONFIG=$WORK/cluster/config.json
    kctl dev up --dir "$WORK/cluster" --registry "${REGISTRY_PORT:-5000}" "$@"
}

cluster_down() {
    [ -d "$WORK/cluster" ] && kctl dev down --dir "$WORK/cluster"
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
    if [ "$status" != "$code" ]; then
        echo "kctl $* exited with $status, not $code: $output" >&2
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
