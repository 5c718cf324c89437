# failover.bats - what dies, and what does not because of it: the leader, all
# masters, a node's agent, a pod's supervisor, a whole node, a master that
# was away for long.

load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    cluster_up --suspect-after 1s --lost-after 3s --snapshot-entries 100
    mkdir "$WORK/started"
}

teardown_file() {
    local file
    for file in "$WORK"/started/*.pid; do
        [ -e "$file" ] && stop_started "$(cat "$file")"
    done
    cluster_down
    registry_down
    work_remove
}

# Each test begins with everything up and no pod there.
setup() {
    local name
    for name in m1 m2 m3 n1 n2; do
        runs "$name" || start_again "$name"
    done
    await 10 nodes_are ready ready
    for name in $(kctl get pods -o json | python3 -c '
import json, sys
print(*(pod["name"] for pod in json.load(sys.stdin)["pods"]))'); do
        kctl stop "$name" >/dev/null
    done
    await 20 no_pods
}

no_pods() {
    [ "$(kctl get pods -o json | python3 -c '
import json, sys
print(len(json.load(sys.stdin)["pods"]))')" = 0 ]
}

# ---- the cluster's processes --------------------------------------------------

# The pid of m1, n1 ...: started here, or by `kctl dev up`.
pid_of() {
    if [ -e "$WORK/started/$1.pid" ]; then
        cat "$WORK/started/$1.pid"
    else
        python3 -c '
import json, sys
state = json.load(open(sys.argv[1]))
print(*(p["pid"] for p in state["masters"] + state["nodes"] if p["name"] == sys.argv[2]))' \
            "$WORK/cluster/state.json" "$1"
    fi
}

# A process is gone when it is a zombie, too: who reaps it is not ours to say.
gone() { # PID
    ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null
}

alive() { ! gone "$1"; }

runs() { alive "$(pid_of "$1")"; }

# Before it dies: the words to start it with.
remember() { # NAME...
    local name
    for name in "$@"; do
        [ -e "$WORK/started/$name" ] ||
            cp "/proc/$(pid_of "$name")/cmdline" "$WORK/started/$name"
    done
}

kill_9() { # NAME...
    local name
    remember "$@"
    for name in "$@"; do
        kill -9 "$(pid_of "$name")"
    done
    for name in "$@"; do
        await 5 gone "$(pid_of "$name")"
    done
}

# With the words that it was started with.
start_again() { # NAME
    local name=$1 enter=()
    case $name in n*) enter=(nsenter "--net=/run/netns/kdev-$name") ;; esac
    mapfile -d '' words <"$WORK/started/$name"
    setsid "${enter[@]}" "${words[@]}" >>"$WORK/cluster/$name.log" 2>&1 </dev/null 3>&- &
    echo $! >"$WORK/started/$name.pid"
}

stop_started() { # PID
    kill "$1" 2>/dev/null || true
    await 10 gone "$1" || kill -9 "$1"
}

# ---- questions ----------------------------------------------------------------

nodes_are() { # STATE-OF-N1 STATE-OF-N2
    [ "$(kctl get nodes -o json | python3 -c '
import json, sys
print(*(node["state"] for node in json.load(sys.stdin)["nodes"]))')" = "$*" ]
}

leader() { kctl masters | awk '$3 == "leader" {print $1}'; }

led_by_other() { # MASTER
    local now
    now=$(leader)
    [ -n "$now" ] && [ "$now" != "$1" ]
}

# One leader, nobody down, and everybody applied what the leader did.
masters_agree() {
    kctl masters -o json | python3 -c '
import json, sys
masters = json.load(sys.stdin)["masters"]
assert sorted(m["role"] for m in masters) == ["follower", "follower", "leader"]
assert len({m["applied_index"] for m in masters}) == 1'
}

start() { # NAME [OPTIONS] [-- COMMAND]
    local name=$1
    shift
    kctl schedule "$IMAGE" --cpu 10m --mem 16M --stop-grace 300ms \
        --name "$name" "$@"
}

pod() { # NAME FIELD
    kctl describe pod "$1" -o json | field "$2"
}

# A file in the root of a process of a pod.
touch_in() { # PID PATH
    touch "/proc/$1/root$2"
}

# ---- the masters --------------------------------------------------------------

# Jobs one after the other, each of which says that it ran; a line each in
# $BATS_TEST_TMPDIR/writes: name, exit code, ms.
write_jobs() { # FROM TO
    local i before code
    for i in $(seq "$1" "$2"); do
        before=$(date +%s%N)
        kctl schedule "$IMAGE" --cpu 10m --mem 8M --restart never --detach \
            --name "w$i" -- echo ran >/dev/null 2>>"$BATS_TEST_TMPDIR/refusals" &&
            code=0 || code=$?
        echo "w$i $code $((($(date +%s%N) - before) / 1000000))"
    done >>"$BATS_TEST_TMPDIR/writes"
}

written() { [ "$(wc -l <"$BATS_TEST_TMPDIR/writes")" -ge "$1" ]; }

all_ended() {
    kctl get pods -a -o json | python3 -c '
import json, sys
for pod in json.load(sys.stdin)["pods"]:
    if pod["spec"]["app"][0] == "w" and pod["spec"]["app"] != "web":
        assert pod["status"]["phase"] == "succeeded", pod'
}

@test "the leader dies under a writer: nothing lost, nothing twice, no pod notices" {
    start web --node n1
    start site --node n2
    before=$(pod web-1 .status.pid),$(pod site-1 .status.pid)
    index=$(kctl get pods -o json | field .index)
    kctl events -w --after "$index" -o json >"$BATS_TEST_TMPDIR/watched" 3>&- &
    watcher=$!
    : >"$BATS_TEST_TMPDIR/writes"
    write_jobs 1 40 3>&- &
    writer=$!
    await 10 written 12
    killed=$(leader)
    kill_9 "$killed"
    wait "$writer"
    gap=$(awk '$3 > gap {gap = $3} END {print gap}' "$BATS_TEST_TMPDIR/writes")
    echo "# the longest that a request took: $gap ms" >&3
    [ "$(awk '$2 == 0' "$BATS_TEST_TMPDIR/writes" | wc -l)" = 40 ]
    [ "$gap" -lt 2000 ]
    await 5 led_by_other "$killed"
    await 20 all_ended
    for i in $(seq 1 40); do
        [ "$(kctl get pods -a | grep -c "^w$i-")" = 1 ]
        [ "$(kctl logs "w$i-1")" = ran ]
    done
    [ "$before" = "$(pod web-1 .status.pid),$(pod site-1 .status.pid)" ]
    [ "$(pod web-1 .status.restarts)$(pod site-1 .status.restarts)" = 00 ]
    start_again "$killed"
    await 10 masters_agree
    # Who watched through it missed nothing and saw nothing twice.
    kctl events --after "$index" -o json >"$BATS_TEST_TMPDIR/kept"
    last=$(tail -n 1 "$BATS_TEST_TMPDIR/kept")
    await 5 grep -qF "$last" "$BATS_TEST_TMPDIR/watched"
    kill "$watcher"
    wait "$watcher" || true
    grep -v '"kind":"pod_progress"' "$BATS_TEST_TMPDIR/watched" |
        diff - "$BATS_TEST_TMPDIR/kept"
}

has_printed() { # LINES FILE
    [ "$(wc -l <"$2")" -ge "$1" ]
}

# 1 to 1,500,000 in some 15 s, more than one file of the log holds.
@test "logs -f goes on when the leader dies, and when the node's agent does" {
    local out=$BATS_TEST_TMPDIR/out killed follower
    start loud --restart never --node n1 --cpu 1 -- sh -c \
        'i=0; while [ $i -lt 300 ]; do seq $((i * 5000 + 1)) $((i * 5000 + 5000)); i=$((i + 1)); sleep 0.03; done'
    kctl logs -f loud-1 >"$out" 3>&- &
    follower=$!
    await 10 has_printed 100000 "$out"
    killed=$(leader)
    kill_9 "$killed"
    await 10 led_by_other "$killed"
    await 30 has_printed 500000 "$out"
    kill_9 n1
    start_again n1
    start_again "$killed"
    wait "$follower"
    seq 1500000 | cmp - "$out"
}

# A stock gRPC client that kills the leader itself, in the midst of it.
stock() { # CASE IMAGE
    remember m1 m2 m3
    await 10 masters_agree
    /usr/bin/python3 "$BATS_TEST_DIRNAME/stock_client.py" "$1" \
        "$KONTOR_CONFIG" 10.77.0.11:7500 --image "$2" --pid "m1=$(pid_of m1)" \
        --pid "m2=$(pid_of m2)" --pid "m3=$(pid_of m3)"
    await 5 one_master_gone # so that it is started again
}

one_master_gone() {
    [ "$(for name in m1 m2 m3; do runs $name || echo; done | wc -l)" = 1 ]
}

@test "a request that was acknowledged, sent again after the leader's death: one pod" {
    stock retry_of_an_answer "$IMAGE"
    await_pod busybox-1 'phase == "running"'
    [ "$(kctl get pods -a | grep -c '^busybox-')" = 1 ]
    [ "$(kctl events | grep -c 'busybox-.* created')" = 1 ]
    [ "$( (node_traces n1; node_traces n2) | grep -o 'pods/[0-9]*$' | sort -u | wc -l)" = 1 ]
}

@test "a request that was under way, sent again after the leader's death: one pod" {
    stock retry_of_a_call_under_way "$IMAGE"
    [ "$(kctl get pods -o json | grep -c '"name": "busybox-')" = 1 ]
}

@test "the leader dies among 300 calls: each makes one pod" {
    stock retry_of_many 127.0.0.1:1/none:1
}

# kctl knows one follower only, whose connection to the leader stands.
@test "a leader that is stopped: a call that a follower had passed on is answered by the next" {
    local old follower began
    old=$(leader)
    follower=$(kctl masters | awk '$3 == "follower" {print $1; exit}')
    python3 - "$KONTOR_CONFIG" "$WORK/cluster/one.json" "$follower" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))
config["masters"] = [m for m in config["masters"] if m["name"] == sys.argv[3]]
json.dump(config, open(sys.argv[2], "w"))
PY
    kill -STOP "$(pid_of "$old")"
    began=$(date +%s%N)
    run kctl schedule "$IMAGE" --config "$WORK/cluster/one.json" \
        --cpu 10m --mem 16M --name stopped --detach
    took=$((($(date +%s%N) - began) / 1000000))
    kill -CONT "$(pid_of "$old")"
    echo "$output, $took ms"
    [ "$status" = 0 ]
    [ "$took" -lt 900 ]
    await 10 masters_agree
}

# Four times --lost-after, as most nodes are silent then.
@test "all masters stand still for longer than nodes may be silent: no pod moves" {
    local masters
    start still --restart never -- sleep 1000
    masters="$(pid_of m1) $(pid_of m2) $(pid_of m3)"
    # shellcheck disable=SC2086 # one word each
    kill -STOP $masters
    sleep 12.5 # what is tested
    # shellcheck disable=SC2086
    kill -CONT $masters
    kctl node cordon n1 >/dev/null # after all that was decided at once
    kctl node uncordon n1 >/dev/null
    await 5 nodes_are ready ready # a heartbeat of each; lost, the pod had failed
    [ "$(pod still-1 .status.phase)" = running ]
    await 10 masters_agree
}

@test "the leader dies five times in a row" {
    start steady
    pid=$(pod steady-1 .status.pid)
    for i in 1 2 3 4 5; do
        killed=$(leader)
        kill_9 "$killed"
        kctl node cordon n1 >/dev/null
        kctl node uncordon n1 >/dev/null
        start_again "$killed"
        await 10 masters_agree
    done
    [ "$(pod steady-1 .status.pid)" = "$pid" ]
    [ "$(pod steady-1 .status.restarts)" = 0 ]
}

@test "all masters die: pods go on, and the state is there again" {
    start lonely
    start unseen --restart never -- sh -c \
        'until [ -e /tmp/go ]; do sleep 0.02; done; echo done; exit 5'
    pid=$(pod lonely-1 .status.pid)
    address=$(pod lonely-1 .status.address)
    await 5 curl -fsS "http://$address/"
    job=$(pod_process unseen-1)
    kctl get pods -a -o json | python3 -c '
import json, sys
print(*((p["id"], p["name"], p["node"]) for p in json.load(sys.stdin)["pods"]))' \
        >"$BATS_TEST_TMPDIR/before"
    kill_9 m1 m2 m3
    expect 7 get pods --timeout 500ms
    [ "$(curl -fsS "http://$address/")" = "hello from a pod" ]
    touch_in "$job" /tmp/go
    await 5 gone "$job" # unseen by any master
    alive "$pid"
    for master in m1 m2 m3; do start_again "$master"; done
    await 10 masters_agree
    await 10 nodes_are ready ready
    kctl get pods -a -o json | python3 -c '
import json, sys
print(*((p["id"], p["name"], p["node"]) for p in json.load(sys.stdin)["pods"]))' |
        diff "$BATS_TEST_TMPDIR/before" -
    await_pod unseen-1 '(phase == "failed" and status["exit_code"] == 5)'
    [ "$(kctl logs unseen-1)" = done ]
    [ "$(pod lonely-1 .status.pid)" = "$pid" ]
    [ "$(pod lonely-1 .status.restarts)" = 0 ]
    start late
}

@test "a follower that fell far behind gets a snapshot" {
    leader=$(leader)
    behind=m1 other=m2
    [ "$leader" != m1 ] || { behind=m2 other=m3; }
    [ "$leader" != "$other" ] || other=m3
    kill_9 "$behind"
    seq 130 | xargs -P 2 -I{} sh -c 'kctl node cordon n1 && kctl node uncordon n1' >/dev/null
    start kept
    start_again "$behind"
    await 10 masters_agree
    grep -E 'snapshot [0-9]+ installed' "$WORK/cluster/$behind.log"
    # What it was sent counts: with the other one away it is the quorum, and
    # as a leader it knows what it was not there for.
    kill_9 "$other"
    kctl node cordon n1
    kctl node uncordon n1
    start_again "$other"
    await 10 masters_agree
    for i in 1 2 3 4 5 6; do
        [ "$(leader)" != "$behind" ] || break
        killed=$(leader)
        kill_9 "$killed"
        await 10 led_by_other "$killed"
        start_again "$killed"
        await 10 masters_agree
    done
    [ "$(pod kept-1 .status.phase)" = running ]
    [ "$(pod kept-1 .status.restarts)" = 0 ]
}

# ---- knode and kpod -----------------------------------------------------------

@test "knode dies: its pods run on, the next knode adopts them, no byte is lost" {
    start adopted --node n1
    start job --node n1 --restart never -- sh -c \
        'echo one; until [ -e /tmp/go ]; do sleep 0.02; done; echo two; exit 6'
    pid=$(pod adopted-1 .status.pid)
    process=$(pod_process adopted-1)
    address=$(pod adopted-1 .status.address)
    await 5 curl -fsS "http://$address/"
    job=$(pod_process job-1)
    kill_9 n1
    [ "$(curl -fsS "http://$address/")" = "hello from a pod" ]
    touch_in "$job" /tmp/go
    await 5 gone "$job"
    start_again n1
    await_pod job-1 '(phase == "failed" and status["exit_code"] == 6)'
    [ "$(kctl logs job-1)" = $'one\ntwo' ]
    await 10 nodes_are ready ready
    [ "$(pod adopted-1 .status.pid)" = "$pid" ]
    [ "$(pod adopted-1 .status.restarts)" = 0 ]
    [ "$(pod_process adopted-1)" = "$process" ]
    [ "$(curl -fsS "http://$address/")" = "hello from a pod" ]
    netns=$(readlink "/proc/$process/ns/net")
    kctl stop adopted
    await_pod adopted-1 'phase == "stopped"'
    [ "$(node_traces n1)" = "" ]
    [ -z "$(ip netns exec kdev-n1 nft list ruleset | grep -F "$address ")" ]
    [ -z "$(readlink /proc/[0-9]*/ns/net 2>/dev/null | grep -F "$netns")" ]
}

@test "knode dies while pods start: all of them run in the end, and nothing is left" {
    for round in 1 2 3 4; do
        for i in 1 2 3 4; do
            start "r$round-$i" --node n1 --detach >/dev/null
        done
        # Another moment each time: the node has so many pods' groups.
        await 5 eval "[ \$(node_traces n1 | grep -c '^[0-9]* kpod') -ge $((round - 1)) ]"
        kill_9 n1
        start_again n1
        for i in 1 2 3 4; do
            await_pod "r$round-$i-1" '(phase == "running" and
                status["restarts"] == 0)' >/dev/null
        done
        for i in 1 2 3 4; do kctl stop "r$round-$i" >/dev/null; done
        # And while they stop.
        kill_9 n1
        start_again n1
        for i in 1 2 3 4; do
            await_pod "r$round-$i-1" 'phase == "stopped"' >/dev/null
        done
        [ "$(node_traces n1)" = "" ]
    done
}

@test "kpod dies: its processes are gone, and the policy says what follows" {
    start orphan --node n1
    start once --node n1 --restart never -- sleep 1000
    for name in orphan-1 once-1; do
        process=$(pod_process $name)
        supervisor=$(awk '/^PPid:/ {print $2}' "/proc/$process/status")
        grep -qa kpod "/proc/$supervisor/cmdline"
        kill -9 "$supervisor"
        await 5 gone "$process"
    done
    await_pod orphan-1 '(phase == "running" and status["restarts"] >= 1)'
    await 5 curl -fsS "http://$(pod orphan-1 .status.address)/"
    await_pod once-1 'phase == "failed"'
    kctl stop orphan
    await_pod orphan-1 'phase == "stopped"'
    [ "$(node_traces n1)" = "" ]
}

# ---- nodes --------------------------------------------------------------------

# The host's end of a node's cable.
cable() { # NODE
    local peer
    peer=$(nsenter "--net=/run/netns/kdev-$1" ip -o link show eth0 |
        sed 's/.*@if\([0-9]*\):.*/\1/')
    ip -o link | awk -F': |@' -v peer="$peer" '$1 == peer {print $2}'
}

@test "a node that is cut off: its pods run elsewhere, and are stopped there when it is back" {
    start moved -- httpd -f -p 80
    node=$(pod moved-1 .node)
    other=n1
    [ "$node" != n1 ] || other=n2
    start tied --node "$node"
    old=$(pod_process moved-1)
    cable=$(cable "$node")
    ip link set "$cable" down
    await_pod moved-1 "(phase == 'running' and pod['node'] == '$other')" 20
    kctl get nodes | grep -E "^$node +Lost"
    await_pod tied-1 'phase == "pending"'
    kctl why tied | grep -E "^$node .*lost"
    alive "$old" # it cannot know yet
    [ "$(pod moved-1 .status.address)" != "" ]
    await 5 curl -fsS "http://$(pod moved-1 .status.address)/"
    new=$(pod moved-1 .status.pid)
    ip link set "$cable" up
    await 20 nodes_are ready ready
    await 10 gone "$old"
    await_pod tied-1 "(phase == 'running' and pod['node'] == '$node')"
    [ "$(pod moved-1 .status.pid)" = "$new" ]
    [ "$(pod moved-1 .node)" = "$other" ]
    kctl stop tied
    await_pod tied-1 'phase == "stopped"'
    await 5 eval '[ "$(node_traces '"$node"')" = "" ]'
}

@test "a node whose knode is gone for long" {
    start replaced -- httpd -f -p 80
    node=$(pod replaced-1 .node)
    other=n1
    [ "$node" != n1 ] || other=n2
    old=$(pod_process replaced-1)
    kill_9 "$node"
    await_pod replaced-1 "(phase == 'running' and pod['node'] == '$other')" 20
    alive "$old"
    start_again "$node"
    await 10 gone "$old"
    await 10 nodes_are ready ready
    await 5 eval '[ "$(node_traces '"$node"')" = "" ]'
    [ "$(pod replaced-1 .node)" = "$other" ]
    [ "$(pod replaced-1 .status.restarts)" = 0 ]
}
