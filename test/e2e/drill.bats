# drill.bats - masters that are killed, stopped, cut off and filled under
# clients that go on; what a drill says of it, and what it leaves.

load lib.bash

CHECK=$B/test/linear/check

setup_file() {
    work_make
    registry_up
    image_push
    MARK=there cluster_up --nodes 1 --master-disk 64M
    kctl schedule "$IMAGE" --cpu 10m --mem 16M --name kept
    kept >"$WORK/kept"
}

teardown_file() {
    cluster_down
    registry_down
    work_remove
}

# What must not change: the pod that ran before.
kept() {
    kctl describe pod kept-1 -o json | python3 -c '
import json, sys
pod = json.load(sys.stdin)
print(pod["id"], pod["status"]["pid"], pod["status"]["restarts"])'
}

pids() { # masters of state.json, which runs
    python3 -c '
import json, sys
print(*(p["pid"] for p in json.load(open(sys.argv[1]))["masters"]))' \
        "$WORK/cluster/state.json"
}

how_started() {
    for pid in $(pids); do
        tr '\0' '\n' <"/proc/$pid/cmdline"
        tr '\0' '\n' <"/proc/$pid/environ"
        grep '^[UG]id' "/proc/$pid/status"
    done
}

# One leads, two follow, nobody lags.
masters_agree() {
    kctl masters -o json | python3 -c '
import json, sys
masters = json.load(sys.stdin)["masters"]
assert sorted(m["role"] for m in masters) == ["follower", "follower", "leader"]
assert len({m["applied_index"] for m in masters}) == 1'
}

as_before() {
    local pid
    for pid in $(pids); do
        grep '^State:[[:space:]]*[RSD]' "/proc/$pid/status"
    done
    [ "$(nft list tables | grep -c kontor_drill)" = 0 ]
    [ -z "$(find "$WORK/cluster" -name 'drill-*')" ]
    await 10 masters_agree
    kept | diff "$WORK/kept" -
    [ "$(kctl get pods -o json | grep -c '"app":')" = 1 ]
}

# Drill, and hold what it says against what must be: `drill FAULT COUNT`.
drill() {
    local record=$WORK/$1.history
    kctl drill "$1" --count "$2" --record "$record" -o json \
        2>"$WORK/progress" >"$WORK/$1.json"
    python3 - "$1" "$2" "$WORK/$1.json" <<'PYTHON'
import json, sys
fault, count, path = sys.argv[1:]
said = json.load(open(path))
assert said["drill"] == fault and said["passed"] is True, said
assert said["count"] == int(count) == len(said["rounds"]), said
assert said["budget_ms"] == 1000, said
for which in "gap_ms", "silence_ms":
    times = said[which]
    assert 0 < times["median"] <= times["p99"] <= times["max"] <= 1000, said
    assert times["max"] == max(r[which] for r in said["rounds"]), said
assert said["acknowledged"] > 20 and said["reads"] > 20, said
assert said["lost"] == said["duplicated"] == 0, said
# A leader without room may refuse what was asked of the one before it.
assert said["unknown"] == 0 or fault == "disk", said
assert said["pods"] == 1 and said["pods_restarted"] == 0, said
assert said["nodes"] == said["nodes_ready"] == 1, said
assert {r["master"] for r in said["rounds"]} <= {"m1", "m2", "m3"}, said
PYTHON
    echo "# $1: $(python3 -c '
import json, sys
said = json.load(open(sys.argv[1]))
print("gap", said["gap_ms"], "silence", said["silence_ms"])' "$WORK/$1.json")" >&3
    [ "$(grep -c gap "$WORK/progress")" = "$2" ]
    "$CHECK" "$record"
    as_before
}

@test "the leader is killed: nothing lost, nothing twice, it is started again" {
    local before
    before=$(how_started)
    drill leader 2
    # With the same words and environment; and masters did die.
    [[ $before == *MARK=there* ]]
    [ "$before" = "$(how_started)" ]
    [ "$(cat "$WORK"/cluster/m?.log | grep -c 'kmaster .* listens')" = 5 ]
}

@test "the leader is stopped" {
    drill pause 2
}

@test "the leader is cut off" {
    drill partition 2
}

@test "the leader's disk is full" {
    drill disk 2
    # It was, each time: the leader saw it coming and handed over, or a write
    # met the full disk first, and ended it.
    [ "$(cat "$WORK"/cluster/m?.log |
        grep -c 'hands over to\|this master ends: .* no space left')" -ge 2 ]
}

@test "leadership is handed over" {
    drill transfer 3
}

@test "what clients overwrite is linearizable, whatever happens to the leader" {
    timeout 120 python3 "$BATS_TEST_DIRNAME/label_register.py" "$WORK/labels" n1 sh -ec '
        kctl drill leader --count 2
        kctl drill pause --count 1
        kctl drill partition --count 1'
    "$CHECK" "$WORK/labels"
    [ "$(grep -c '"write".*"ok"' "$WORK/labels")" -gt 100 ]
    [ "$(grep -c '"read".*"ok"' "$WORK/labels")" -gt 100 ]
    # An old value, read anew at the end.
    python3 - "$WORK/labels" <<'PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
old = next(line for line in lines if line["kind"] == "write" and line["result"] == "ok")
end = max(line["return_ns"] or 0 for line in lines)
old.update(kind="read", invoke_ns=end + 1, return_ns=end + 2)
print(json.dumps(old), file=open(sys.argv[1], "a"))
PYTHON
    run "$CHECK" "$WORK/labels"
    [ "$status" = 1 ]
    kctl node label n1 a- b-
    as_before
}

@test "a gap longer than the budget is a failure" {
    run kctl drill pause --count 1 --budget 1ms
    [ "$status" = 1 ]
    [[ $output == *"0 lost, 0 duplicated"*"FAILED: the leader was stopped 1 times"* ]]
    as_before
}

@test "a history that was forged does not pass" {
    # An acknowledged write that a later read does not find.
    python3 - "$WORK/leader.history" "$WORK/forged" <<'PYTHON'
import json, sys
lines = [json.loads(line) for line in open(sys.argv[1])]
acknowledged = {}
for line in lines:
    if line["kind"] == "write" and line["result"] == "ok":
        acknowledged[line["key"]] = line["return_ns"]
for line in lines:
    if (line["kind"] == "read" and line["result"] == "ok" and line["value"]
            and line["invoke_ns"] > acknowledged.get(line["key"], 1 << 63)):
        line["value"] = None
        break
else:
    sys.exit("no read to forge")
with open(sys.argv[2], "w") as out:
    for line in lines:
        print(json.dumps(line), file=out)
print(line["key"])
PYTHON
    run "$CHECK" "$WORK/forged"
    [ "$status" = 1 ]
    [[ ${lines[0]} == "not linearizable:"* ]]
    [ "${#lines[@]}" = 3 ] # the write and the read
    head -c 1000 "$WORK/forged" >"$WORK/torn"
    run "$CHECK" "$WORK/torn"
    [ "$status" = 2 ]
}

stopped() { # a master is
    local pid
    for pid in $(pids); do
        grep -q '^State:[[:space:]]*T' "/proc/$pid/status" && return 0
    done
    return 1
}

cut_off() { nft list tables | grep -q kontor_drill; }

filled() { [ -n "$(find "$WORK/cluster" -name drill-filler)" ]; }

killed() {
    local pid
    for pid in $(pids); do
        [ -d "/proc/$pid" ] && ! grep -q '^State:[[:space:]]*Z' "/proc/$pid/status" ||
            return 0
    done
    return 1
}

# Interrupt a drill while its fault holds: `interrupt FAULT SIGN SIGNAL CODE`.
interrupt() {
    local code=0
    kctl drill "$1" --count 100 >"$WORK/said" 2>&1 3>&- &
    local pid=$!
    await 10 "$2"
    kill "-$3" "$pid"
    wait "$pid" || code=$?
    cat "$WORK/said"
    [ "$code" = "$4" ]
    [ "$code" != 130 ] || grep -q 'as it was' "$WORK/said"
}

@test "Ctrl-C in the midst of it leaves the cluster as it was" {
    interrupt pause stopped INT 130
    as_before
    interrupt partition cut_off INT 130
    as_before
    interrupt disk filled TERM 130
    as_before
    interrupt leader killed INT 130
    as_before
}

@test "what a drill that was killed left is undone by the next" {
    interrupt partition cut_off KILL 137
    cut_off
    kctl drill pause --count 1
    as_before
}

@test "only what kctl dev up made, and as it made it" {
    # The configuration of some cluster elsewhere.
    kctl pki init "$WORK/pki" --master m1=127.0.0.1:1 --master m2=127.0.0.1:2 \
        --master m3=127.0.0.1:3
    expect 5 drill leader --config "$WORK/pki/config.json"
    [[ $output == *"of no cluster that kctl dev up made"* ]]
    expect 2 drill leader --count 0
    expect 2 drill leader --count 1001
    # One who may not write harms nothing.
    local viewer=$WORK/cluster/viewer.json before
    before=$(pids)
    sed 's/"identity": *"admin"/"identity": "viewer"/' "$KONTOR_CONFIG" >"$viewer"
    expect 6 drill leader --config "$viewer"
    rm "$viewer"
    [ "$before" = "$(pids)" ]
    as_before
    # Masters that share a disk; a master that is gone.
    cluster_down
    cluster_up --nodes 0
    expect 5 drill disk
    [[ $output == *"no disk of its own"*"--master-disk"* ]]
    kill -9 "$(pids | cut -d' ' -f2)"
    await 5 killed
    expect 5 drill leader
    [[ $output == *"m2 does not run"* ]]
}
