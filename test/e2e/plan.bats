# plan.bats - what would happen, and pods that are moved: plan, drain, rebalance.

bats_require_minimum_version 1.5.0
load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    cluster_up --nodes 3
}

teardown_file() {
    cluster_down
    registry_down
    work_remove
}

# A small pod that serves its name on port 8000: `serve NAME [OPTIONS]`.
serve() {
    local name=$1
    shift
    kctl schedule "$IMAGE" --cpu 100m --mem 32M --stop-grace 2s --name "$name" \
        "$@" -- sh -c "mkdir /www; echo $name >/www/index.html; exec httpd -f -p 8000 -h /www"
}

# The state that plans must not change.
state() {
    kctl get pods -a -o json
    kctl get nodes -o json
}

@test "plans say where pods would go, and change nothing" {
    serve first --node n1
    serve second --node n2
    kctl schedule "$IMAGE" --cpu 100m --mem 32M --name job --restart never -d \
        --node n1 -- sleep 1000
    await_pod job-1 'phase == "running"'
    state >"$BATS_TEST_TMPDIR/before"
    expect 0 plan schedule "$IMAGE" --cpu 100m --mem 32M --name next
    [[ $output == *"next"*"1 would be placed"* ]]
    expect 3 plan schedule "$IMAGE" --cpu 1000 --name next
    [[ $output == *"next"*"cpu"*"1 would be pending"* ]]
    expect 3 plan drain n2 # who asked for n2 fits nowhere else
    [[ $output == *"second-1"*"n2"*"-"* ]]
    expect 3 plan lose n1
    [[ $output == *"job-1"*"may run only once: it fails"* ]]
    expect 0 plan add cpu=8,mem=32G
    [[ $output == *"0 would be placed"* ]]
    expect 0 rebalance --dry-run
    expect 0 rebalance --even --dry-run
    expect 0 plan schedule "$IMAGE" --cpu 100m --mem 32M --name many --replicas 3
    [[ $output == *"many-1 "*"many-3 "*"3 would be placed"* ]]
    kctl plan lose n1 -o json | python3 -c '
import json, sys
plan = json.load(sys.stdin)
assert plan["failing"] == 1 and plan["pending"] == 1, plan'
    state >"$BATS_TEST_TMPDIR/after"
    cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
    kctl stop first-1
    kctl stop second-1
    kctl stop job-1
    await_pod job-1 'phase == "stopped"'
}

@test "plans say how many fit, who makes room, and what more nodes would take" {
    local cpu name
    cpu=$(kctl describe node n1 -o json | field .node.capacity.cpu_milli)
    # One that takes most of a node on each, of a low priority; one waits.
    kctl schedule "$IMAGE" --cpu "$((cpu * 6 / 10))m" --mem 32M --name low \
        --replicas 4 --priority -5 --stop-grace 1s -d -- sleep 1000
    for name in low-1 low-2 low-3; do
        await_pod $name 'phase == "running"'
    done
    state >"$BATS_TEST_TMPDIR/before"
    expect 3 plan schedule "$IMAGE" --cpu "$((cpu * 3 / 10))m" --mem 32M --name more \
        --replicas 4 --priority -5
    [[ $output == *"more-4 "*"cpu short on 3 nodes"*"3 would be placed, 1 would be pending"* ]]
    expect 3 plan schedule "$IMAGE" --cpu "$((cpu * 3 / 10))m" --mem 32M --name more \
        --replicas 4 --priority -5 --gang
    [[ $output == *"one of a gang of 4 pods, of which 3 fit"*"0 would be placed, 4 would be pending"* ]]
    expect 3 plan schedule "$IMAGE" --cpu "$((cpu * 5 / 10))m" --mem 32M --name high
    [[ $output == *"high-1 "*"low-"*"makes room for high-1"*"1 of lower priority would make room"* ]]
    expect 0 plan add "cpu=$((cpu * 5 / 10))m,mem=1G"
    [[ $output == *"0 would be placed, 1 would be pending"* ]]
    expect 0 plan add "cpu=${cpu}m,mem=1G" --count 2 --label zone=a
    [[ $output == *"low-4 "*"new-1"*"1 would be placed; 3 nodes have pods, 4 would have"* ]]
    state >"$BATS_TEST_TMPDIR/after"
    cmp "$BATS_TEST_TMPDIR/before" "$BATS_TEST_TMPDIR/after"
    kctl scale low 0
    for name in low-1 low-2 low-3; do
        await_pod $name 'phase == "stopped"'
    done
}

@test "bad plans are refused" {
    expect 4 plan drain nowhere
    [[ $output == *'no node is called "nowhere"'* ]]
    expect 2 plan add cpu=8
    [[ $output == *"a node has cpu and mem"* ]]
    expect 2 plan add cpu=8,memory=1G
    [[ $output == *'"memory" is none of cpu, mem, disk and net'* ]]
    expect 2 plan add cpu=8,mem=1G --label zone
    [[ $output == *"--label"*"zone"* ]]
    expect 2 plan add cpu=8,mem=1G --count 0
    expect 2 plan add cpu=8,mem=1G --count 100000
    [[ $output == *"there are 3 nodes, with 100000 more"* ]]
    expect 2 plan schedule "$IMAGE" --replicas 0
    expect 2 plan schedule "$IMAGE" --gang
    expect 5 plan schedule "$IMAGE" --replicas 10000 --gang --cpu 1
    [[ $output == *"a gang of 10000 pods is larger than the cluster"* ]]
    expect 2 plan schedule
    expect 4 node drain nowhere
}

@test "a drained node is empty, and the app answers from another one" {
    serve web
    local from to
    from=$(pod_field web-1 .node)
    kctl plan drain "$from" | grep -Eq "^web-1 +$from +n[0-9]"
    expect 0 node drain "$from" --timeout 30s
    [[ $output == *"web-1"*"$from  is drained"* ]]
    to=$(pod_field web-1 .node)
    [ "$from" != "$to" ]
    await_pod web-1 'phase == "running" and status["generation"] == 2'
    kctl exec web-1 -- wget -qO- http://127.0.0.1:8000/ | grep -qx web
    kctl get nodes | grep -Eq "^$from +Ready,cordoned"
    [ "$(kctl describe node "$from" -o json | field .node.pods)" = 0 ]
    kctl events | grep -q "moved from $from to $to"
    kctl node uncordon "$from"
    kctl stop web-1
    await_pod web-1 'phase == "stopped"'
}

@test "a job stays on a drained node, or fails when forced" {
    kctl schedule "$IMAGE" --cpu 100m --mem 32M --name once --restart never -d \
        --stop-grace 1s --node n2 -- sleep 1000
    await_pod once-1 'phase == "running"'
    expect 124 node drain n2 --timeout 2s
    [[ $output == *"once-1  is still there: it may run only once"* ]]
    expect 0 node drain n2 --force --timeout 20s
    await_pod once-1 'phase == "failed" and "drained" in status["reason"]'
    kctl node uncordon n2
}

@test "pods are spread evenly over the nodes, by few moves" {
    local cpu name moved
    cpu=$(kctl describe node n1 -o json | field .node.capacity.cpu_milli)
    kctl node cordon n2
    kctl node cordon n3
    for name in one two three; do
        kctl schedule "$IMAGE" --cpu "$((cpu / 5))m" --mem 32M --name $name \
            --stop-grace 1s -- sh -c 'trap exit TERM; while :; do sleep 0.1; done'
    done
    kctl schedule "$IMAGE" --cpu "$((cpu / 5))m" --mem 32M --name job --restart never \
        --stop-grace 1s -d -- sleep 1000
    await_pod job-2 'phase == "running"'
    kctl node uncordon n2
    kctl node uncordon n3
    expect 0 rebalance --even --dry-run
    [[ $output == *"n1 "*"2 would be placed; 1 nodes have pods, 3 would have"* ]]
    [[ $output == *"the fullest node goes from "*" % to "*"the emptiest from 0.0 % to "* ]]
    expect 0 rebalance --even --max-moves 1 --dry-run
    [[ $output == *"1 would be placed; 1 nodes have pods, 2 would have"* ]]
    expect 0 rebalance --even
    [[ $output == *"2 pods move; 1 nodes had pods, 3 have"*"the emptiest from 0.0 % to "* ]]
    moved=$(kctl get pods -o json | python3 -c '
import json, sys
pods = [p for p in json.load(sys.stdin)["pods"] if p["node"] != "n1"]
print(*sorted(p["name"] for p in pods))
assert sorted(p["node"] for p in pods) == ["n2", "n3"], pods')
    for name in $moved; do
        await_pod "$name" 'phase == "running" and status["generation"] == 2'
    done
    [ "$(pod_field job-2 .node)" = n1 ]
    expect 0 rebalance --even
    [[ $output == *"0 pods move; 3 nodes had pods, 3 have"* ]]
    for name in one two three; do
        kctl stop $name-1
        await_pod $name-1 'phase == "stopped"'
    done
    kctl stop job-2
    await_pod job-2 'phase == "stopped"'
}

# The node's pods that have yet to end there.
leaving() {
    [ "$(kctl describe node "$1" -o json | field .node.leaving)" = "$2" ]
}

# The last test but one: that master stays dead.
@test "the leader dies under a drain: it goes on, and the pod runs once" {
    kctl schedule "$IMAGE" --cpu 100m --mem 32M --name slow --stop-grace 3s \
        --node n1 -d -- sh -c 'trap "" TERM; sleep 1000 & wait; sleep 1000'
    await_pod slow-1 'phase == "running"'
    kctl schedule "$IMAGE" --cpu 100m --mem 32M --name deaf --stop-grace 3s \
        -- sh -c 'trap "" TERM; while :; do sleep 1; done'
    local node leader drain
    node=$(pod_field deaf-1 .node)
    kctl node drain "$node" --timeout 30s >"$BATS_TEST_TMPDIR/drain" 2>&1 3>&- &
    drain=$!
    await 3 leaving "$node" "$([ "$node" = n1 ] && echo 2 || echo 1)"
    leader=$(kctl masters | awk '$3 == "leader" {print $1}')
    kill -9 "$(python3 -c '
import json, sys
state = json.load(open(sys.argv[1]))
print(*(m["pid"] for m in state["masters"] if m["name"] == sys.argv[2]))' \
        "$WORK/cluster/state.json" "$leader")"
    leaving "$node" "$([ "$node" = n1 ] && echo 2 || echo 1)"
    wait "$drain"
    grep -q "$node  is drained" "$BATS_TEST_TMPDIR/drain"
    await_pod deaf-1 'phase == "running" and status["generation"] == 2'
    [ "$(pod_field deaf-1 .node)" != "$node" ]
    # Who asked for this node waits for it.
    kctl node uncordon "$node"
    await_pod slow-1 'phase == "running" and pod["node"] == "n1"'
    kctl stop slow-1
    kctl stop deaf-1
    await_pod slow-1 'phase == "stopped"'
    await_pod deaf-1 'phase == "stopped"'
}

@test "pods are rebalanced onto fewer nodes" {
    kctl node cordon n3
    kctl node cordon n2
    serve left
    kctl node uncordon n2
    kctl node cordon n1
    serve right --replicas 2 # the node with the fewest pods is the one that is emptied
    kctl node uncordon n1
    kctl node uncordon n3
    [ "$(pod_field left-1 .node) $(pod_field right-1 .node)" = "n1 n2" ]
    expect 0 rebalance --dry-run
    [[ $output == *"left-1"*"n1"*"n2"*"2 nodes have pods, 1 would have"* ]]
    [ "$(pod_field left-1 .node) $(pod_field right-1 .node)" = "n1 n2" ]
    expect 0 rebalance --max-moves 1
    [[ $output == *"1 pods move; 2 nodes had pods, 1 have"* ]]
    await_pod left-1 'phase == "running" and status["generation"] == 2'
    [ "$(pod_field left-1 .node) $(pod_field right-1 .node)" = "n2 n2" ]
    for name in left right; do
        kctl exec $name-1 -- wget -qO- http://127.0.0.1:8000/ | grep -qx $name
    done
    expect 0 rebalance
    [[ $output == *"0 pods move; 1 nodes had pods, 1 have"* ]]
}
