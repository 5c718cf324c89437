# rules.bats - where pods may go, as people say it: labels and taints of nodes,
# constraints, other apps, spreading; and what is said when nothing fits.

bats_require_minimum_version 1.5.0
load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    cluster_up --nodes 3
}

teardown_file() {
    [ -e "$WORK/knode.pid" ] && kill "$(cat "$WORK/knode.pid")" 2>/dev/null
    cluster_down
    registry_down
    work_remove
}

setup() {
    kctl node label n1 zone=a disk=ssd
    kctl node label n2 zone=a
    kctl node label n3 zone=b
}

# Nothing of a test is left for the next one.
teardown() {
    for name in $(kctl get pods -o json | python3 -c '
import json, sys
print(*(pod["name"] for pod in json.load(sys.stdin)["pods"]))'); do
        kctl stop "$name" >/dev/null
        await_pod "$name" "phase in ('stopped', 'failed', 'succeeded')" >/dev/null
    done
    for node in n1 n2 n3; do
        for key in $(keys $node set_labels); do
            kctl node label $node "$key-" >/dev/null
        done
        for key in $(keys $node taints); do
            kctl node taint $node "$key-" >/dev/null
        done
    done
}

# The keys of a node's labels or taints: `keys NODE FIELD`.
keys() {
    kctl describe node "$1" -o json | python3 -c '
import json, sys
print(*(label["key"] for label in json.load(sys.stdin)["node"][sys.argv[1]]))' "$2"
}

# Small, so that many fit: `start NAME [OPTIONS]`.
start() {
    local name=$1
    shift
    kctl schedule "$IMAGE" --cpu 50m --mem 16M --stop-grace 300ms \
        --name "$name" "$@" -- sleep 1000
}

# It waits for a place: `pend NAME [OPTIONS]`.
pend() {
    local name=$1
    shift
    run start "$name" --timeout 200ms "$@"
    [ "$status" = 3 ] || {
        echo "$name: $output" >&2
        return 1
    }
}

node_of() {
    pod_field "$1" .node
}

@test "labels and taints are shown, and are said as events" {
    kctl node taint n2 gpu=yes:NoSchedule old:NoSchedule
    kctl get nodes >"$BATS_TEST_TMPDIR/nodes"
    grep -Eq '^NAME .* LABELS +TAINTS$' "$BATS_TEST_TMPDIR/nodes"
    grep -Eq '^n1 .* disk=ssd,zone=a +-$' "$BATS_TEST_TMPDIR/nodes"
    grep -Eq '^n2 .* zone=a +gpu=yes,old$' "$BATS_TEST_TMPDIR/nodes"
    kctl describe node n2 >"$BATS_TEST_TMPDIR/node"
    grep -Eq '^label +zone=a \(set\)$' "$BATS_TEST_TMPDIR/node"
    grep -Eq '^taint +gpu=yes:NoSchedule$' "$BATS_TEST_TMPDIR/node"
    kctl events | grep -Eq 'node_labeled +n2 +taint gpu=yes, old$'
    run kctl node taint n2 gpu- old:NoSchedule-
    [ "$output" = "n2  taints -" ]
    run kctl node label n1 disk-
    [ "$output" = "n1  labels zone=a" ]
}

@test "a constraint chooses the node" {
    start one --constraint disk=ssd
    [ "$(node_of one-1)" = n1 ]
    start two --constraint 'zone in (b, c)'
    [ "$(node_of two-1)" = n3 ]
    start three --constraint zone=a --constraint disk!=ssd
    [ "$(node_of three-1)" = n2 ]
    kctl describe pod two-1 | grep -Eq '^constraint +zone in \(b,c\)$'
}

@test "a pod that waits for a label is placed when it is set" {
    pend waits --constraint zone=c
    kctl why waits >"$BATS_TEST_TMPDIR/why"
    grep -Eq '^n1 +does not meet zone=c +if it did not ask for zone=c$' "$BATS_TEST_TMPDIR/why"
    grep -Eq '^3 with other labels$' "$BATS_TEST_TMPDIR/why"
    kctl node label n2 other=x
    [ "$(pod_field waits-1 .status.phase)" = pending ]
    kctl node label n2 zone=c
    await_pod waits-1 'phase == "running" and pod["node"] == "n2"'
}

@test "a pod that asks for what a knode does not know goes elsewhere" {
    kctl describe node n1 | grep -Eq '^label +kontor.io/userns=yes$'
    kctl node label n1 kontor.io/userns=no # as where an older knode has not said
    kctl node label n2 kontor.io/userns=no
    start inside --userns
    [ "$(node_of inside-1)" = n3 ]
    kctl node label n3 kontor.io/userns=no
    pend needy --userns
    kctl why needy >"$BATS_TEST_TMPDIR/why"
    grep -Eq '^n1 +its knode has no kontor.io/userns$' "$BATS_TEST_TMPDIR/why"
    grep -Eq '^3 whose knode is too old or unable$' "$BATS_TEST_TMPDIR/why"
    start any
    kctl node label n2 kontor.io/userns-
    await_pod needy-1 'phase == "running" and pod["node"] == "n2"'
}

@test "a taint keeps pods off that do not tolerate it" {
    for node in n1 n2 n3; do kctl node taint $node gpu=yes:NoSchedule; done
    pend plain
    kctl why plain | grep -Eq '^n1 +taint gpu=yes is not tolerated +if it tolerated gpu=yes$'
    pend other --toleration gpu=no
    start any --toleration gpu
    start this --toleration gpu=yes:NoSchedule
    kctl node taint n3 gpu-
    await_pod plain-1 'phase == "running" and pod["node"] == "n3"'
    await_pod other-1 'phase == "running" and pod["node"] == "n3"'
}

@test "pods keep off one another, and in both directions" {
    start web --anti web --anti db --constraint zone=a
    start web2 --anti web --constraint zone=a
    [ "$(node_of web-1)" != "$(node_of web2-1)" ]
    pend db --constraint zone=a --anti web2
    node=$(node_of web-1)
    kctl why db | grep -Eq "^$node +runs a pod that keeps off db +if that pod went\$"
    kctl why db | grep -Eq "^$(node_of web2-1) +runs a pod of web2 +if it did not keep off web2\$"
    kctl stop web-1
    await_pod db-1 "phase == 'running' and pod['node'] == '$node'"
}

@test "a pod that wants to be with another waits for it" {
    pend side --with main
    kctl why side | grep -Eq '^n1 +runs no pod of main +if a pod of main were there$'
    start main --constraint zone=b
    await_pod side-1 'phase == "running" and pod["node"] == "n3"'
}

@test "pods are spread over the values of a label, and over nodes" {
    for _ in 1 2 3 4; do
        kctl schedule "$IMAGE" --cpu 50m --mem 16M --stop-grace 300ms \
            --spread zone -d -- sleep 1000
    done
    [ "$(kctl get pods | grep -c ' n3 ')" = 2 ]
    kctl node label n1 zone- disk-
    pend lost --spread rack
    kctl why lost | grep -Eq '^n1 +has no label rack to spread over +if the node had a label rack$'
    kctl node label n1 rack=r1
    await_pod lost-1 'phase == "running" and pod["node"] == "n1"'
}

@test "what is wrong is named" {
    expect 2 schedule "$IMAGE" --constraint 'zone>3'
    [[ "$output" == *'--constraint "zone>3"'* ]]
    expect 2 schedule "$IMAGE" --constraint 'zone in (a'
    [[ "$output" == *'values in brackets'* ]]
    expect 2 schedule "$IMAGE" --toleration gpu=yes:NoExecute
    [[ "$output" == *'NoExecute'*'NoSchedule is the only one'* ]]
    expect 2 schedule "$IMAGE" --anti Web!
    [[ "$output" == *'"Web!" cannot be an app'* ]]
    expect 2 schedule "$IMAGE" --priority high
    expect 2 schedule "$IMAGE" --priority 1000001
    [[ "$output" == *'between -1000000 and 1000000'* ]]
    expect 4 node label n9 zone=a
    expect 4 node label n1 nothing-
    [[ "$output" == *'node n1 has no label nothing'* ]]
    expect 4 node taint n1 gpu-
    expect 2 node label n1 zone=a zone-
    [[ "$output" == *'label zone is named twice'* ]]
    expect 2 cordon n1
    [[ "$output" == *'did you mean "node cordon"'* ]]
}

gone() { # PID
    ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null
}

@test "what an operator set stands above what a node registers with" {
    kctl node taint n3 gpu:NoSchedule
    knode=$(pgrep -f "knode .*--name n3 .*$WORK/cluster")
    mapfile -d '' words <"/proc/$knode/cmdline"
    kill "$knode"
    await 10 gone "$knode"
    setsid nsenter --net=/run/netns/kdev-n3 "${words[@]}" --label zone=own \
        --label rack=r3 >>"$WORK/cluster/n3.log" 2>&1 </dev/null 3>&- &
    echo $! >"$WORK/knode.pid"
    start racked --constraint rack=r3 --toleration gpu
    [ "$(node_of racked-1)" = n3 ]
    kctl describe node n3 | grep -Eq '^label +zone=b \(set\)$'
    kctl describe node n3 | grep -Eq '^label +rack=r3$'
    kctl describe node n3 | grep -Eq '^taint +gpu:NoSchedule$'
    run kctl node label n3 zone-
    [ "$output" = "n3  labels rack=r3,zone=own" ]
    expect 5 node label n3 zone-
    [[ "$output" == *"label zone is node n3's own"* ]]
}
