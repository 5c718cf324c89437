# groups.bats - many pods by one request: replicas, an app's scale, gangs.

load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    cluster_up --nodes 2
    # A quarter of a node: four fit there.
    QUARTER=$(kctl get nodes -o json | python3 -c '
import json, sys
print(json.load(sys.stdin)["nodes"][0]["capacity"]["cpu_milli"] // 4)')
    export QUARTER
}

teardown_file() {
    cluster_down
    registry_down
    work_remove
}

# Pods of an app that live: `living APP [PHASE]`.
living() {
    kctl get pods -o json | python3 -c '
import json, sys
rows = json.load(sys.stdin)["pods"]
app, phase = sys.argv[1], sys.argv[2]
print(sum(row["spec"]["app"] == app and
          (not phase or row["status"].get("phase", "pending") == phase)
          for row in rows))' "$1" "${2:-}"
}

has() { # APP PHASE COUNT
    [ "$(living "$1" "$2")" = "$3" ]
}

@test "replicas run, each under its number" {
    expect 0 schedule "$IMAGE" --name web --replicas 5 --cpu "${QUARTER}m" -- sleep 600
    [[ $output == *"web-1 ... web-5  5 placed, 0 pending (index "* ]]
    [[ $output == *"web-1 ... web-5  running"* ]]
    has web running 5
    [ "$(pod_field web-5 .status.phase)" = running ]
}

@test "a name that lives is refused, as a whole" {
    expect 5 schedule "$IMAGE" --name web --replicas 2 -d
    [[ $output == *"app web has a pod that lives"* ]]
    has web "" 5
}

@test "what cannot be is said" {
    expect 2 schedule "$IMAGE" --replicas 0
    [[ $output == *"--replicas 0: 1 to 10000 at one time"* ]]
    expect 2 schedule "$IMAGE" --replicas 10000000
    [[ $output == *"--replicas 10000000: 1 to 10000 at one time"* ]]
    expect 2 schedule "$IMAGE" --gang
    [[ $output == *"--gang needs --replicas"* ]]
    expect 5 schedule "$IMAGE" --gang --replicas 9 --cpu "${QUARTER}m" -d
    [[ $output == *"a gang of 9 pods is larger than the cluster: with nothing else on its nodes 8 of them would fit"* ]]
    expect 5 schedule "$IMAGE" --name apart --anti apart --gang --replicas 3 --cpu 10m -d
    [[ $output == *"2 of them would fit, one on a node, as they keep off each other"* ]]
    expect 2 scale web many
    [[ $output == *"\"many\" is not a number of pods from 0 to 1000000"* ]]
    expect 4 scale nothing 3
    [[ $output == *"no app is called \"nothing\""* ]]
}

@test "an app is scaled up and down" {
    expect 0 scale web 7
    [[ $output == "web  7 pods: 7 placed, 0 pending (index "* ]]
    await 15 has web running 7
    expect 0 scale web 2
    [[ $output == "web  2 pods: 2 placed, 0 pending (index "* ]]
    await 15 has web "" 2
    [ "$(pod_field web-2 .status.phase)" = running ]
    [ "$(pod_field web-3 .status.phase)" = stopped ]
}

@test "a gang waits until all of it fits" {
    expect 0 scale web 0
    expect 0 schedule "$IMAGE" --name big --cpu $((3 * QUARTER))m -- sleep 600
    expect 0 schedule "$IMAGE" --name gang --replicas 6 --gang --cpu "${QUARTER}m" -d -- sleep 600
    [[ $output == "gang-1 ... gang-6  0 placed, 6 pending (index "* ]]
    expect 0 why gang-3
    [[ $output == *"one of a gang of 6 pods, of which 5 fit: it waits until all do"* ]]
    expect 0 stop big
    await 15 has gang running 6
    expect 3 schedule "$IMAGE" --name more --replicas 4 --cpu "${QUARTER}m" --timeout 2s -- sleep 600
    [[ $output == *"2 of more-1 ... more-4 fit nowhere after "* ]]
}

@test "a replica that fails is named" {
    expect 0 scale gang 0
    expect 0 scale more 0
    expect 1 schedule "$IMAGE" --name bad --replicas 2 --cpu 10m --restart never -- /no/such/program
    [[ $output == *"kctl: bad-"*"; the others go on (kctl get pods)"* ]]
}

# Two quarters at once fit nowhere: of eight pods two have to go, of one node.
@test "pods make room for one of a higher priority" {
    expect 0 schedule "$IMAGE" --name low --replicas 8 --cpu "${QUARTER}m" \
        --stop-grace 300ms -- sleep 600
    cat >"$BATS_TEST_TMPDIR/high.yaml" <<YAML
app: high
priority: 5
resources: {cpu_milli: $((2 * QUARTER)), memory_bytes: 67108864}
containers: [{image: "$IMAGE", command: [sleep, "600"]}]
YAML
    expect 0 schedule -f "$BATS_TEST_TMPDIR/high.yaml"
    [[ $output == *"high-1  running  "* ]]
    await 10 has low pending 2
    [ "$(kctl events | grep -c '^.* low-[0-9]* *preempted on n[12] by high-1$')" = 2 ]
    victim=$(kctl events | sed -n 's/.* \(low-[0-9]*\) *preempted on .*/\1/p' | head -n 1)
    expect 0 why "$victim"
    [[ $output == *"preempted on "*" by high-1; "* ]]
    expect 0 stop high
    await 10 has low running 8
}
