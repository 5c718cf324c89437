# backup.bats - what deploy/RECOVERY.md says, done: backups, a new cluster of
# one, the majority lost for good; and what a newer master wrote.

load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    cluster_up --nodes 1
    FOUNDERS=$(python3 -c '
import json, sys
print(",".join(m["name"] + "=" + m["address"]
               for m in json.load(open(sys.argv[1]))["masters"]))' "$KONTOR_CONFIG")
    export FOUNDERS
    cd "$WORK"
}

setup() {
    cd "$WORK"
}

teardown_file() {
    local name
    for name in m1 m2 m3 m4 m5; do
        stop_master "$name"
    done
    cluster_down
    registry_down
    work_remove
}

# The commands of RECOVERY.md: those of block N, with our folders and addresses.
recovery() { # N [EXTRA SED]
    awk -v n="$1" '/^```sh$/ {block++; inside = 1; next} /^```$/ {inside = 0}
         inside && block == n' "$ROOT/deploy/RECOVERY.md" |
        sed -e "s|/var/lib/kontor|$WORK/cluster|g" \
            -e 's|10.0.0.1:7400|10.77.0.1:7400|; s|10.0.0.2:7400|10.77.0.1:7410|' \
            -e 's|10.0.0.3:7400|10.77.0.1:7420|' -e "${2:-}" >"$WORK/commands"
    [ -s "$WORK/commands" ]
    bash -e "$WORK/commands"
}

start_master() { # NAME [FOLDER [OPTION...]]
    local name=$1 folder=${2:-$WORK/cluster/$1}
    shift $(($# < 2 ? $# : 2))
    kmaster --name "$name" --members "$FOUNDERS" --data "$folder" \
        --pki "$WORK/cluster/pki" "$@" 2>>"$WORK/$name.log" 3>&- &
    echo $! >"$WORK/$name.pid"
}

# At once, and wait until nobody has its files and its port any more.
stop_master() { # NAME
    [ -e "$WORK/$1.pid" ] || return 0
    kill -9 "$(cat "$WORK/$1.pid")" 2>/dev/null || true
    await 5 is_gone "$(cat "$WORK/$1.pid")"
    rm "$WORK/$1.pid"
}

is_gone() { # PID; a zombie is
    ! readlink "/proc/$1/exe" >/dev/null
}

# Those that kctl dev up started: as start_master() would have.
adopt_masters() {
    python3 -c '
import json, sys
for p in json.load(open(sys.argv[1] + "/cluster/state.json"))["masters"]:
    open(sys.argv[1] + "/" + p["name"] + ".pid", "w").write(str(p["pid"]))' "$WORK"
}

leads() { # NAME
    kctl masters -o json | python3 -c '
import json, sys
sys.exit(not any(r["role"] == "leader" and sys.argv[1] in ("", r["name"])
                 for r in json.load(sys.stdin)["masters"]))' "${1:-}"
}

is_voter() { # NAME
    kctl masters -o json | python3 -c '
import json, sys
sys.exit(not any(r["name"] == sys.argv[1] and r["role"] in ("leader", "follower")
                 for r in json.load(sys.stdin)["masters"]))' "$1"
}

run_pod() { # NAME
    kctl schedule "$IMAGE" --cpu 0.1 --mem 16M --name "$1" --detach
    await_pod "$1-1" 'phase == "running"'
}

@test "a backup is saved, said to hold what it does, and not overwritten" {
    run_pod kept
    pod_process kept-1 >kept.process
    recovery 1
    [ "$(stat -c %a kontor.backup)" = 600 ]
    [ ! -e kontor.backup.part ]
    kctl backup inspect kontor.backup -o json >content
    [ "$(field .nodes <content)" = 1 ]
    [ "$(field .pods.running <content)" = 1 ]
    [ "$(field .version <content)" = "$(kctl version | cut -d ' ' -f 2)" ]
    expect 5 backup save kontor.backup
    [[ $output == *"--force replaces it"* ]]
    expect 0 backup save --force other.backup
    kctl backup save - | cat >piped.backup
    expect 0 backup inspect piped.backup
    [[ $output == *"pods      1: 1 Running"* ]]
}

@test "what is no whole backup is refused; so is who may not have one" {
    head -c 300 kontor.backup >cut.backup
    expect 1 backup inspect cut.backup
    [[ $output == *"cut.backup: it is not whole"* ]]
    expect 2 backup inspect "$ROOT/Makefile"
    [[ $output == *"this is no kontor-backup"* ]]
    expect 4 backup inspect nothing.backup
    sed -i 's/"admin"/"viewer"/' cluster/config.json
    run kctl backup save viewer.backup
    sed -i 's/"viewer"/"admin"/' cluster/config.json
    [ "$status" = 6 ]
    [ ! -e viewer.backup ] && [ ! -e viewer.backup.part ]
    run kmaster restore cut.backup --name m1 --members "$FOUNDERS" --data nothing
    [ "$status" = 1 ]
    [ ! -e nothing ]
    run kmaster restore kontor.backup --name m1 --members "$FOUNDERS" \
        --data cluster/m1
    [ "$status" = 5 ]
}

@test "all masters are lost: a new cluster goes on from the backup" {
    for _ in 1 2 3 4; do # the node sees newer terms than the backup has
        expect 0 masters transfer
    done
    run_pod later
    pod_process later-1 >later.process
    adopt_masters
    for name in m1 m2 m3; do
        stop_master $name
        rm -r "cluster/$name"
    done
    recovery 5

    # Two were forgotten: the third is not taken in, and says so.
    start_master m1
    start_master m2 "$WORK/forgotten/m2"
    start_master m3 "$WORK/forgotten/m3"
    await 5 grep -q 'm2 refuses us: .* not restored from one backup' m1.log
    await 5 grep -q 'm1 refuses us: .* not restored from one backup' m2.log m3.log
    stop_master m2
    stop_master m3
    is_gone "$(cat kept.process)" && false

    start_master m2
    start_master m3
    await 5 leads
    await_pod kept-1 'phase == "running"'
    [ "$(pod_process kept-1)" = "$(cat kept.process)" ]
    expect 4 describe pod later-1
    await 15 is_gone "$(cat later.process)"
    run_pod later
    [ "$(kctl describe pod later-1 -o json | field .id)" -gt 1000000000 ]
    is_gone "$(cat kept.process)" && false
    [ "$(kctl masters | tail -n 1)" = "quorum 2 of 3; tolerates 1 further failure" ]
}

@test "the majority is lost: the one that is left goes on" {
    cp -r cluster/m1 old-m1 # without its last writes, as a crash might leave it
    stop_master m1
    stop_master m3
    rm -r cluster/m1 cluster/m3
    expect 7 schedule "$IMAGE" --timeout 1s --name never --detach
    run kmaster recover --name m2 --data cluster/m2
    [ "$status" = 5 ]
    [[ $output == *"another process has it open"* ]]
    stop_master m2
    recovery 2 | tee said
    grep -q "nothing was changed" said
    recovery 3 | tee said
    grep -q "m2 is the only master from index" said

    start_master m2
    await 5 leads m2
    [ "$(pod_process kept-1)" = "$(cat kept.process)" ]
    expect 0 schedule "$IMAGE" --cpu 0.1 --mem 16M --name alone --detach
    for name in m4 m5; do
        port=$(free_port)
        kctl pki init cluster/pki --master "$name=127.0.0.1:$port" >/dev/null
        echo "s#^kctl masters add $name .*#kctl masters add $name 127.0.0.1:$port#" >>addresses
        FOUNDERS=$FOUNDERS,$name=127.0.0.1:$port
    done
    start_master m4 "$WORK/m4" --join
    start_master m5 "$WORK/m5" --join
    recovery 4 "$(tr '\n' ';' <addresses)"
    await 5 is_voter m4
    await 5 is_voter m5
    [ "$(kctl masters | tail -n 1)" = "quorum 2 of 3; tolerates 1 further failure" ]
    run_pod added

    # One of the dead comes back.
    start_master m1 "$WORK/old-m1"
    await 5 grep -q 'm2 refuses us: master m1 was removed' m1.log
    stop_master m1
    expect 0 masters transfer m4
    kctl describe pod added-1 >/dev/null
}

@test "a master that meets a newer master's command ends, and says why" {
    stop_master m4
    stop_master m5
    stop_master m2
    recovery 3
    python3 - cluster/m2/raft.db <<'PY'
import sqlite3, struct, sys, zlib
db = sqlite3.connect(sys.argv[1])
last, = db.execute("SELECT max(id) FROM entries").fetchone()
term, = db.execute("SELECT term FROM state").fetchone()
data = bytes([0x18, 99])  # Command.format = 99
sum = zlib.crc32(struct.pack("<QQQ", last + 1, term, 1) + data)
db.execute("INSERT INTO entries VALUES (?, ?, 1, ?, ?)", (last + 1, term, sum, data))
db.commit()
PY
    start_master m2
    pid=$(cat m2.pid)
    await 5 is_gone "$pid"
    run wait "$pid"
    [ "$status" = 1 ]
    tail -n 1 m2.log | grep "has format 99, this program knows [0-9]*: it must be upgraded"
    is_gone "$(cat kept.process)" && false
    true
}
