# masters.bats - who the masters are and which of them leads: one is added,
# one that has died is replaced, leadership is handed over.

load lib.bash

setup_file() {
    work_make
    cluster_up --nodes 1
    export FOUNDERS=$(python3 -c '
import json, sys
print(",".join(m["name"] + "=" + m["address"]
               for m in json.load(open(sys.argv[1]))["masters"]))' "$KONTOR_CONFIG")
}

teardown_file() {
    local file
    for file in "$WORK"/*.pid; do
        [ -e "$file" ] && kill -9 "$(cat "$file")" 2>/dev/null
    done
    cluster_down
    work_remove
}

# A column of kctl masters: `masters NAME FIELD`.
masters() {
    kctl masters -o json | python3 -c '
import json, sys
for row in json.load(sys.stdin)["masters"]:
    if row["name"] == sys.argv[1]:
        print(row.get(sys.argv[2], ""))' "$1" "$2"
}

is() { # NAME FIELD VALUE
    [ "$(masters "$1" "$2")" = "$3" ]
}

leader() {
    kctl masters -o json | python3 -c '
import json, sys
rows = [r for r in json.load(sys.stdin)["masters"] if r["role"] == "leader"]
print(max(rows, key=lambda r: r["term"])["name"])'
}

# One that kctl dev up started.
pid_of() { # NAME
    python3 -c '
import json, sys
print(*(p["pid"] for p in json.load(open(sys.argv[1]))["masters"]
        if p["name"] == sys.argv[2]))' "$WORK/cluster/state.json" "$1"
}

# Start a new master of the cluster, with an empty folder.
join() { # NAME PORT
    kctl pki init "$WORK/cluster/pki" --master "$1=127.0.0.1:$2" >/dev/null
    kmaster --name "$1" --data "$WORK/$1" --pki "$WORK/cluster/pki" --join \
        --members "$FOUNDERS,$1=127.0.0.1:$2" 2>"$WORK/$1.log" 3>&- &
    echo $! >"$WORK/$1.pid"
}

@test "a new master waits until it is added, catches up and votes" {
    kctl schedule busybox:1 --cpu 0.1 --mem 8M --name before --detach
    PORT=$(free_port)
    join m4 "$PORT"
    await 5 grep -q "waiting to be added" "$WORK/m4.log"
    [ "$(masters m1 format)" -gt 0 ]
    expect 0 masters add m4 "127.0.0.1:$PORT"
    await 5 is m4 role follower
    is m4 format "$(masters m1 format)"
    [ "$(kctl masters | tail -n 1)" = "quorum 3 of 4; tolerates 1 further failure" ]
}

@test "leadership is handed over, and nothing is lost by it" {
    expect 0 masters transfer m4
    [ "$(leader)" = m4 ]
    kctl describe pod before-1 >/dev/null
    expect 0 schedule busybox:1 --cpu 0.1 --mem 8M --name after --detach
    expect 0 masters transfer
    [ "$(leader)" != m4 ]
    expect 0 masters transfer m4
}

@test "a master that died is removed; one that leads hands over first" {
    local dead
    for dead in m1 m2 m3; do
        [ "$dead" = "$(leader)" ] || break
    done
    kill -9 "$(pid_of "$dead")"
    await 5 is "$dead" role down
    expect 0 masters rm "$dead"
    [ "$(leader)" = m4 ]
    expect 0 masters rm m4
    [ -z "$(masters m4 role)" ]
    [ "$(kctl masters | tail -n 1)" = "quorum 2 of 2; tolerates no further failure" ]
    kctl describe pod after-1 >/dev/null
}

@test "what cannot be done is refused by name" {
    local other
    expect 4 masters transfer m9
    [[ $output == *'no master is called "m9"'* ]]
    expect 4 masters rm m9
    [[ $output == *'no master is called "m9"'* ]]
    expect 5 masters add "$(leader)" 127.0.0.1:1
    [[ $output == *"is one of the masters already"* ]]
    expect 2 masters add m5 10.0.0.5
    [[ $output == *'"10.0.0.5": not HOST:PORT'* ]]
    for other in m1 m2 m3; do
        [ -z "$(masters $other role)" ] || [ "$other" = "$(leader)" ] || break
    done
    kill -STOP "$(pid_of "$other")"
    run kctl masters transfer "$other"
    [ "$status" != 0 ]
    kill -CONT "$(pid_of "$other")"
    expect 2 masters add m5
    expect 2 masters rm
}

# What it takes is written down for test/upgrade/figures.py: `step WHAT CMD...`.
step() {
    local from
    from=$(now_ns)
    "${@:2}"
    echo "$from $(now_ns) $1" >>"$WORK/steps"
}

now_ns() {
    python3 -c 'import time; print(time.monotonic_ns())'
}

kill_and_see() { # NAME
    kill -9 "$(pid_of "$1")"
    await 5 is "$1" role down
}

add() { # NAME
    local port
    port=$(free_port)
    join "$1" "$port"
    await 5 grep -q "waiting to be added" "$WORK/$1.log"
    kctl masters add "$1" "127.0.0.1:$port"
    await 5 is "$1" role follower
}

@test "a leader that died is replaced while clients write: nothing lost, nothing twice" {
    local dead said figures
    step "m5 added" add m5
    mkfifo "$WORK/said"
    "$B/test/upgrade/writer" "$WORK/history" >"$WORK/said" 3>&- &
    echo $! >"$WORK/writer.pid"
    exec 4<"$WORK/said"
    read -r -t 20 -u 4 said && [ "$said" = writing ]
    : >"$WORK/steps"
    dead=$(leader)
    step "$dead killed" kill_and_see "$dead"
    step "m6 added" add m6
    step "$dead removed" kctl masters rm "$dead"
    [ "$(kctl masters | tail -n 1)" = "quorum 2 of 3; tolerates 1 further failure" ]
    kill -INT "$(cat "$WORK/writer.pid")"
    read -r -t 60 -u 4 said
    exec 4<&-
    figures=$(python3 test/upgrade/figures.py "$WORK/history" "$WORK/steps" "$said")
    "$B/test/linear/check" "$WORK/history"
    sed 's/^/#/' <<<"$figures" >&3
}
