# top.bats - what pods use, as it is told and as it is limited: disk, and `kctl
# top` of cpu, memory, disk and network.

bats_require_minimum_version 1.5.0
load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    cluster_up
}

teardown_file() {
    cluster_down
    registry_down
    work_remove
}

# A number of `kctl top pods`: `used NAME FIELD`.
used() {
    kctl top pods -o json | python3 -c '
import json, sys
name, key = sys.argv[1:]
print(*(pod["used"][key] for pod in json.load(sys.stdin)["pods"] if pod["name"] == name))' "$1" "$2"
}

# A number between two others: `between LOW NUMBER HIGH`.
between() {
    [ "$1" -le "$2" ] && [ "$2" -le "$3" ] || {
        echo "$2 is not between $1 and $3" >&2
        return 1
    }
}

@test "a busy pod uses what it may, an idle one nothing" {
    kctl schedule "$IMAGE" --cpu 200m --mem 64M --name busy --node n1 -- \
        sh -c 'while :; do :; done'
    kctl schedule "$IMAGE" --cpu 100m --mem 64M --name idle --node n2 -- \
        sleep 1000
    between 190 "$(used busy-1 cpu_milli)" 210
    between 0 "$(used idle-1 cpu_milli)" 5
    kctl top pods >"$BATS_TEST_TMPDIR/table"
    grep -Eq '^busy-1 +n1 +0\.[12][0-9]*/0\.2 +[0-9.]+[KM]i/64Mi +[0-9.]*[A-Za-z]*/- ' \
        "$BATS_TEST_TMPDIR/table"
    grep -Eq '^idle-1 +n2 +0(\.00[0-5])?/0\.1 ' "$BATS_TEST_TMPDIR/table"
    kctl top nodes >"$BATS_TEST_TMPDIR/nodes"
    grep -Eq '^n1 +Ready +0\.[12][0-9]*/' "$BATS_TEST_TMPDIR/nodes"
    kctl stop busy-1
    kctl stop idle-1
}

@test "memory and disk that a pod fills are shown, and end where it asked" {
    kctl schedule "$IMAGE" --cpu 500m --mem 128M --disk 64M --name full -- \
        sh -c 'head -c 20971520 /dev/zero >/dev/shm/x; cat /dev/zero >/fill; echo full; sleep 1000'
    timeout 20 sh -c 'kctl logs -f full-1 | grep -qx full'
    kctl logs full-1 2>&1 | grep -q 'No space left on device'
    between $((20 << 20)) "$(used full-1 memory_bytes)" $((128 << 20))
    between $((58 << 20)) "$(used full-1 disk_bytes)" $((64 << 20))
    # Without a limit it is counted, too.
    kctl schedule "$IMAGE" --cpu 100m --mem 64M --name none -- \
        sh -c 'head -c 8388608 /dev/zero >/fill; echo written; sleep 1000'
    timeout 20 sh -c 'kctl logs -f none-1 | grep -qx written'
    between $((8 << 20)) "$(used none-1 disk_bytes)" $((9 << 20))
    kctl stop full-1
    kctl stop none-1
    await_pod full-1 'phase == "stopped"'
    ! grep -lF "$WORK/" /sys/block/loop*/loop/backing_file
}

# In a moment in which nobody else has the processors.
is_used() { # LOW POD WHAT HIGH
    between "$1" "$(used "$2" "$3")" "$4"
}

@test "what goes over the network is shown both ways" {
    kctl schedule "$IMAGE" --cpu 500m --mem 64M --net 40M --name sink --node n1 \
        -- sh -c 'sleep 1000 | nc -l -p 7000 >/dev/null'
    kctl schedule "$IMAGE" --cpu 500m --mem 64M --net 20M --name source --node n1 \
        -- sh -c "cat /dev/zero | nc $(pod_field sink-1 .status.address) 7000"
    sleep 1 # the bucket's first burst is over
    await 10 is_used 18500000 source-1 net_out_bits 21000000
    await 10 is_used 18500000 sink-1 net_in_bits 21000000
    kctl stop source-1
    kctl stop sink-1
}

@test "a node that cannot be asked is named, the others are shown" {
    kctl schedule "$IMAGE" --cpu 100m --mem 64M --name here --node n1 -- sleep 1000
    kctl schedule "$IMAGE" --cpu 100m --mem 64M --name there --node n2 -- sleep 1000
    kill -STOP "$(pgrep -f "knode .*--name n2 .*$WORK/cluster")" 2>/dev/null ||
        skip "no knode n2 to stop"
    run --separate-stderr kctl top pods --timeout 5s
    kill -CONT "$(pgrep -f "knode .*--name n2 .*$WORK/cluster")"
    [ "$status" = 0 ] || {
        echo "exit code $status: $stderr$output" >&2
        return 1
    }
    [[ $output == *here-1* ]]
    [[ $stderr == *"n2 is not measured"* ]]
}
