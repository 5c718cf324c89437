# nodes.bash - the figures of a cluster with real nodes: from Schedule to running,
# what the daemons hold in memory, what a pod gets of what it asked for. Pods
# are found as test/e2e finds them.
BATS_TEST_DIRNAME=$PWD/test/e2e
WORK=$work
. test/e2e/lib.bash

# $IMAGE: pulled once, it is on a node. (A layout would be read every time.)
images_up() {
    registry_up
    started registry "$REGISTRY_PID"
    image_push >/dev/null 2>&1
}

# What others need for the same image, in the log.
measure_peers() {
    BENCH_DIR=$work test/bench/containerd "$work/image" latest >>"$log"
    peers="ctr run: $(said 'containerd ctr run, local image:' p50) ms, crun without network: $(
        said 'crun run of an unpacked bundle, to its end:' p50) ms"
}

# ---- from Schedule to running -----------------------------------------------

# Two times of one `kctl schedule` in ms: what it prints beside "running" (from
# before it connects until it sees the pod run), and the whole of the process.
schedule_ms() { # NAME
    local began=$EPOCHREALTIME said ended
    said=$(kctl schedule "$IMAGE" --cpu 100m --mem 32M --stop-grace 5s --name "$1" \
        -- /bin/sleep 1000 2>/dev/null)
    ended=$EPOCHREALTIME
    awk -v us=$((${ended/./} - ${began/./})) -v said="$said" \
        'BEGIN {
            n = split(said, word)
            printf "%d %.1f\n", word[n - 1] * (word[n] == "s" ? 1000 : 1), us / 1000
        }'
}

schedule_one_by_one() {
    local i
    for i in $(seq "$pods"); do
        schedule_ms "seen$i"
        kctl stop "seen$i-1" >/dev/null
        await_pod "seen$i-1" 'phase == "stopped"' >/dev/null
    done >"$work/seen"
}

measure_starts() {
    local open='kontor schedule to running, local image:'
    "$B/test/bench/bench_start" --pki "$work/cluster/pki" --leader "$(leader)" \
        --image "$IMAGE" --count "$pods" >>"$log"
    schedule_one_by_one
    figure 'Schedule to running seen by kctl, p50' \
        "$(cut -d' ' -f1 "$work/seen" | median) ms" '<= 15 ms' "$peers"
    figure '  the same over an open connection, p50' "$(said "$open" p50) ms" '<= 15 ms' ''
    figure '  the whole of kctl from its exec on, p50' \
        "$(cut -d' ' -f2 "$work/seen" | median) ms" '' ''
    test/bench/whole.py "$pods" 'whole of nothing=/bin/true' \
        'whole of kctl version=kctl version' 'whole of kctl masters=kctl masters' >>"$log"
    figure '  of that: a kctl that asks nobody, p50' "$(said 'whole of kctl version:' p50) ms" '' \
        "/bin/true: $(said 'whole of nothing:' p50) ms"
    figure '  of that: a kctl that asks a master, p50' "$(said 'whole of kctl masters:' p50) ms" '' ''
    figure '  Stop to stopped, p50' "$(said 'kontor stop to stopped:' p50) ms" '' ''
}

# ---- memory -----------------------------------------------------------------

# Of the dev cluster: processes by the folder in their command lines.
processes() { pgrep -f "^$1 .*$work/cluster" || pgrep -f "^[^ ]*/$1 .*$work/cluster"; }

proportional() { # pids on stdin; the greatest, in MB
    while read -r one; do
        awk '/^Pss:/ {print $2 / 1000}' "/proc/$one/smaps_rollup"
    done | greatest
}

measure_hundred() {
    kctl schedule "$IMAGE" --cpu 10m --mem 16M --stop-grace 1s --name many --node n1 \
        --replicas 100 -- /bin/sleep 1000 >/dev/null 2>&1
    figure 'kpod of 100 pods, resident, the greatest' \
        "$(processes kpod | resident) MB" '<= 0.7 MB' ''
    figure '  the same, its share of what is shared' \
        "$(processes kpod | proportional) MB" '' ''
    figure 'knode with 100 pods, resident' "$(processes knode | resident) MB" '<= 20 MB' ''
    figure '  the same, its share of what is shared' \
        "$(processes knode | proportional) MB" '' ''
}

# ---- what a pod gets --------------------------------------------------------

# A process of a pod by its name: `process_of POD NAME`.
process_of() {
    local process
    for process in $(cat "$(pod_group "$1" pids)/c0/cgroup.procs"); do
        [ "$(cat "/proc/$process/comm")" != "$2" ] || echo "$process"
    done
}

# What COMMAND's number grows by in a second, over three.
per_second() { # COMMAND...
    local before began after ended
    before=$("$@")
    began=$EPOCHREALTIME
    sleep 3
    after=$("$@")
    ended=$EPOCHREALTIME
    awk -v n=$((after - before)) -v us=$((${ended/./} - ${began/./})) \
        'BEGIN {printf "%.0f", n * 1e6 / us}'
}

cpu_ns() { cut -d ' ' -f 1 "/proc/$1/schedstat"; } # PID
written() { awk '$1 == "wchar:" {print $2}' "/proc/$1/io"; } # PID
has_written() { [ "$(written "$1")" -ge "$2" ]; } # PID BYTES

pod() { # NAME OPTION... -- COMMAND
    local name=$1
    shift
    kctl schedule "$IMAGE" --mem 64M --stop-grace 300ms --name "$name" "$@" >/dev/null 2>&1
}

measure_cpu() {
    local ns
    pod busy --cpu 300m -- sh -c 'while :; do :; done'
    ns=$(per_second cpu_ns "$(process_of busy-1 sh)")
    kctl stop busy >/dev/null
    figure 'cpu: 300m asked for' "$((ns / 1000000)) m" '300 m +- 5 %' ''
}

# What it can fill before the kernel kills dd or the shell. Each MiB is told when it
# is there.
measure_memory_limit() {
    local got
    pod full --cpu 500m --mem 128M --shm-size 256M --restart never -- sh -c '
        n=0
        while dd if=/dev/zero bs=1M count=1 2>/dev/null; do
            n=$((n + 1))
            echo $n >&2
        done >/dev/shm/all' || true
    got=$(kctl logs -f full-1 2>&1 | tail -n 1)
    figure 'memory: 128M asked for' "$got MiB" '128 MiB +- 5 %' ''
}

# What arrives in whole frames: 1514 bytes for each 1448. The first burst is
# over when some has arrived.
measure_net() { # WHAT SINK-OPTIONS SOURCE-OPTIONS
    local bytes process sink=sink-$1-1 source=source-$1-1
    # shellcheck disable=SC2086 # options are several words
    pod "sink-$1" --node n1 --cpu 500m $2 -- sh -c 'sleep 1000 | nc -l -p 7000 >/dev/null'
    # shellcheck disable=SC2086
    pod "source-$1" --node n2 --cpu 500m $3 -- sh -c "
        until cat /dev/zero | nc $(pod_field "$sink" .status.address) 7000; do :; done"
    await 20 eval "process_of $sink nc | grep -q ."
    process=$(process_of "$sink" nc)
    await 20 has_written "$process" 8000000
    bytes=$(per_second written "$process")
    kctl stop "$source" >/dev/null
    kctl stop "$sink" >/dev/null
    await_pod "$source" 'phase == "stopped"' >/dev/null
    await_pod "$sink" 'phase == "stopped"' >/dev/null
    figure "net: 100M asked for, $1" "$(awk -v n="$bytes" \
        'BEGIN {printf "%.1f", n * 8 * 1514 / 1448 / 1e6}') Mbit" '100 Mbit +- 5 %' ''
}

measure_disk() {
    local bytes
    pod disk --cpu 500m --disk 128M -- sleep 1000
    bytes=$(kctl exec disk-1 -- sh -c \
        'dd if=/dev/zero of=/all bs=64k 2>/dev/null; wc -c </all')
    kctl stop disk >/dev/null
    figure 'disk: 128M asked for' "$((bytes >> 20)) MiB" '128 MiB +- 5 %' ''
}

measure_limits() {
    measure_cpu
    measure_memory_limit
    measure_net out '' '--net 100M'
    measure_net in '--net 100M' ''
    measure_disk
}
