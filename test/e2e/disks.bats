# disks.bats - masters whose disk is full, or whose files were damaged. Three
# masters on loopback and no node: every pod is pending, which is as durable
# as any other command.

load lib.bash

setup_file() {
    work_make
    masters_make
}

teardown_file() {
    for name in m1 m2 m3; do
        kill_master "$name"
    done
    for name in m1 m3; do
        mountpoint -q "$WORK/$name" && umount "$WORK/$name"
    done
    work_remove
}

masters_make() {
    MEMBERS=m1=127.0.0.1:7401,m2=127.0.0.1:7402,m3=127.0.0.1:7403
    export MEMBERS KONTOR_CONFIG=$WORK/pki/config.json
    # shellcheck disable=SC2046
    kctl pki init "$WORK/pki" $(printf -- '--master %s ' ${MEMBERS//,/ })
    # The reserve of 16 MiB, and some to write on.
    mkdir "$WORK/m1" "$WORK/m3"
    mount -t tmpfs -o size=48m none "$WORK/m1"
    mount -t tmpfs -o size=48m none "$WORK/m3"
    for name in m1 m2 m3; do
        start_master "$name"
    done
    await 10 has_leader
}

start_master() { # NAME
    kmaster --name "$1" --members "$MEMBERS" --data "$WORK/$1" \
        --pki "$WORK/pki" >>"$WORK/$1.log" 2>&1 3>&- &
    echo $! >"$WORK/$1.pid"
    disown
}

kill_master() { # NAME [SIGNAL]: no pid file, none to kill
    local pid
    pid=$(cat "$WORK/$1.pid" 2>/dev/null) || return 0
    rm "$WORK/$1.pid"
    kill "-${2:-KILL}" "$pid" 2>/dev/null || return 0
    await 10 gone "$pid"
}

gone() { # PID: nothing, or a process that nobody has waited for
    [ ! -d "/proc/$1" ] || grep -q 'State:.*Z' "/proc/$1/status"
}

leader() {
    kctl masters | awk '$3 == "leader" {print $1}'
}

has_leader() {
    [ -n "$(leader)" ]
}

# All three at the same index.
caught_up() {
    [ "$(kctl masters | awk 'NR > 1 && /^m/ && $6 > 0 {print $6}' | sort |
        uniq -c | awk '{print $1}')" = 3 ]
}

# Have NAME lead, or not lead: kill who is in the way until it is so.
lead() { # NAME
    local now
    while now=$(leader) && [ "$now" != "$1" ]; do
        kill_master "$now"
        await 10 has_leader
        start_master "$now"
        await 10 caught_up
    done
}

follow() { # NAME
    [ "$(leader)" = "$1" ] || return 0
    kill_master "$1"
    await 10 has_leader
    start_master "$1"
    await 10 caught_up
}

# Acknowledged pods by name, one a line, in $WORK/acknowledged.
schedule() { # [OPTIONS]
    kctl schedule -d --timeout 10s web:1 --name "$@" -o json |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["name"])' \
            >>"$WORK/acknowledged"
}

nothing_lost() {
    diff <(sort "$WORK/acknowledged") \
        <(kctl get pods -o json | grep -o '"name": "[a-z0-9-]*-1"' | cut -d'"' -f4 | sort)
}

fill() { # NAME KIB_TO_LEAVE
    local free
    free=$(df --output=avail -k "$WORK/$1" | tail -n 1)
    fallocate -l "$((free - $2))K" "$WORK/$1/ballast"
}

@test "a leader whose disk is nearly full hands over, and takes more after room is made" {
    lead m1
    schedule before
    fill m1 8192
    # What is free is measured after each write.
    schedule once
    schedule twice
    [ "$(leader)" != m1 ]
    rm "$WORK/m1/ballast"
    expect 0 masters transfer m1
    schedule after
    [ "$(leader)" = m1 ]
    nothing_lost
}

@test "a follower whose disk is full ends; the cluster goes on; it catches up" {
    follow m1
    fill m1 0
    local pid i filler
    pid=$(cat "$WORK/m1.pid")
    filler=$(head -c 60000 /dev/zero | tr '\0' x)
    for i in $(seq 300); do
        schedule "full$i" --env "A=$filler$i"
        gone "$pid" && break
    done
    gone "$pid"
    tail -n 1 "$WORK/m1.log" |
        grep "this master ends: $WORK/m1/raft.db: .*\(full\|[Nn]o space\)"
    schedule without-m1
    [ "$(kctl masters | awk '$1 == "m1" {print $3}')" = down ]
    rm "$WORK/m1/ballast"
    start_master m1
    await 20 caught_up
    nothing_lost
}

@test "no master has room: new work is refused by name, until there is some" {
    local i
    lead m1
    kill_master m2
    fill m1 8192
    fill m3 8192
    # What is free is measured after each write.
    for i in 1 2 3 4 5; do
        run schedule "crowded$i"
        [ "$status" = 0 ] || break
    done
    [ "$status" = 1 ]
    [[ $output == *"the disk of m"[13]:*" KiB left, 16 MiB are kept in reserve"* ]]
    nothing_lost
    rm "$WORK/m1/ballast" "$WORK/m3/ballast"
    schedule roomy
    start_master m2
    await 10 caught_up
    nothing_lost
}

damage() { # FILE OFFSET LENGTH
    head -c "$3" /dev/urandom |
        dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

@test "a master whose log was damaged does not start, and names the file" {
    local size
    # Ended in order, it has moved its write-ahead log into the file.
    kill_master m2 TERM
    size=$(stat -c %s "$WORK/m2/raft.db")
    cp -r "$WORK/m2" "$WORK/m2.good"
    # The header; every page's middle; the file's second half cut off.
    damage "$WORK/m2/raft.db" 0 200
    refuses_to_start
    restore
    local at
    for ((at = 2048; at < size; at += 4096)); do
        damage "$WORK/m2/raft.db" "$at" 512
    done
    refuses_to_start
    restore
    truncate -s "$((size / 2))" "$WORK/m2/raft.db"
    refuses_to_start
    restore
    : >"$WORK/m2/raft.db"
    refuses_to_start
    restore
    start_master m2
    await 20 caught_up
    nothing_lost
}

@test "a write-ahead log that was damaged in its middle" {
    kill_master m2
    start_master m2
    await 20 caught_up
    for name in a b c d; do
        schedule "wal-$name"
    done
    kill_master m2
    rm -r "$WORK/m2.good"
    cp -r "$WORK/m2" "$WORK/m2.good"
    damage "$WORK/m2/raft.db-wal" 200 100
    refuses_to_start
    restore
    start_master m2
    await 20 caught_up
    nothing_lost
}

restore() {
    rm -r "$WORK/m2"
    cp -r "$WORK/m2.good" "$WORK/m2"
}

refuses_to_start() {
    run timeout 10 kmaster --name m2 --members "$MEMBERS" --data "$WORK/m2" \
        --pki "$WORK/pki"
    [ "$status" = 1 ]
    [[ $output == *"$WORK/m2/raft.db"* ]]
    # The others do not need it.
    schedule "damaged$RANDOM"
}

@test "a master that is given another's log does not start" {
    kill_master m3
    run timeout 10 kmaster --name m3 --members "$MEMBERS" --data "$WORK/m2.good" \
        --pki "$WORK/pki"
    [ "$status" = 5 ]
    [[ $output == *"$WORK/m2.good/raft.db"*m2* ]]
    start_master m3
    await 20 caught_up
}
