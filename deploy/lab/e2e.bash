# e2e.bash - for test/e2e/lib.bash: the lab's registry and cluster in place of
# those that tests make. The nodes n1 and n2 are machines.

registry_up() { :; }
registry_down() { :; }
image_push() { "$ROOT/deploy/busybox-image" "$WORK/image"; }

# Files as after `kctl dev up`.
cluster_up() {
    mkdir "$WORK/cluster"
    cp -r "$(dirname "$KONTOR_CONFIG")" "$WORK/cluster/pki"
    sed 's/"pki": *"."/"pki": "pki"/' "$KONTOR_CONFIG" >"$WORK/cluster/config.json"
    export KONTOR_CONFIG=$WORK/cluster/config.json
}

cluster_down() {
    local name
    for name in $(kctl get pods -o json | python3 -c '
import json, sys
print(*(pod["name"] for pod in json.load(sys.stdin)["pods"]))'); do
        kctl stop "$name"
        await_pod "$name" "phase in ('stopped', 'failed', 'succeeded')" 60
    done
}
