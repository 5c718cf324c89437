# checks.bash - what the cluster does on a kernel with cgroup v2. The pods one
# (on n1) and two (on n2) stay for the drills.

SMALL=(--cpu 100m --mem 32M --stop-grace 300ms --timeout 60s)

run_pod() { # NAME NODE [OPTIONS] [-- COMMAND]
    local name=$1 node=$2
    shift 2
    kctl schedule "$IMAGE" "${SMALL[@]}" --name "$name" --node "$node" "$@"
}

# What a job on n1 said, once it has ended, well or not.
job() { # NAME [OPTIONS] -- COMMAND
    local name=$1
    shift
    run_pod "$name" n1 --restart never "$@" >/dev/null || true
    kctl logs -f "$name-1"
}

pod_node() { pod_field "$1" .node; }

# A file of a pod's control group, on its node.
group_file() { # POD FILE
    inside "$(pod_node "$1")" \
        "cat /sys/fs/cgroup/kontor/*/pod-$(pod_field "$1" .id)/$2"
}

# What a check that failed has left would fail the next one.
stop_others() {
    local name
    for name in $(kctl get pods -o json | python3 -c '
import json, sys
print(*(pod["name"] for pod in json.load(sys.stdin)["pods"]))'); do
        [[ $name =~ ^(one|two)-1$ ]] || kctl stop "$name"
    done
}

# All that pods leave on a node.
traces() { # NODE
    inside "$1" '
        find /sys/fs/cgroup/kontor -mindepth 2 -type d -name "pod-*"
        ip -o link show type veth
        grep -l kpod /proc/[0-9]*/comm
        grep /var/lib/kontor/node/pods /proc/self/mountinfo
        ls /var/lib/kontor/node/pods
        true'
}

# Both numbers the same but for some percent.
near() { # PERCENT MEASURED EXPECTED
    note "$2 for $3"
    awk -v p="$1" -v a="$2" -v b="$3" \
        'BEGIN {exit !(a >= b * (1 - p / 100) && a <= b * (1 + p / 100))}'
}

kmaster_has_no_power() {
    local said exposure
    said=$(inside m1 'grep -E "^(Uid|CapEff|NoNewPrivs)" \
        /proc/$(systemctl show -P MainPID kmaster)/status')
    echo "$said"
    grep -q 'CapEff:.0000000000000000' <<<"$said"
    grep -q 'NoNewPrivs:.1' <<<"$said"
    grep -q "Uid:.$(kontor_uid)" <<<"$said"
    exposure=$(inside m1 'systemd-analyze security --no-pager kmaster' |
        sed -n 's/.*Overall exposure level.*: \([0-9.]*\).*/\1/p')
    note "exposure $exposure of 10"
    awk -v e="$exposure" 'BEGIN {exit !(e != "" && e <= 1.5)}'
}

runs_on_each() {
    run_pod one n1
    run_pod two n2
    [ "$(pod_node one-1)" = n1 ]
    [ "$(pod_node two-1)" = n2 ]
}

reach_each_other() { # NAME of who asks
    local address
    address=$(pod_field two-1 .status.address)
    [ "$(job "$1" -- wget -q -O - "http://$address/")" = "hello from a pod" ]
    [ "$(inside n1 "busybox wget -q -O - http://$address/")" = "hello from a pod" ]
}

# As where there is a router between the nodes.
through_a_tunnel() {
    local node
    for node in "${NODES[@]}"; do
        inside "$node" 'cp /etc/kontor/knode.conf /root/
            sed -i "s/$/ --overlay always/" /etc/kontor/knode.conf
            systemctl restart knode'
    done
    for node in "${NODES[@]}"; do
        await 30 inside "$node" 'ip route | grep onlink'
    done
    reach_each_other tunnels
    for node in "${NODES[@]}"; do
        inside "$node" 'ip -s link show type vxlan | grep -A 1 TX: | grep -q " [1-9]"
            mv /root/knode.conf /etc/kontor/ && systemctl restart knode'
    done
    for node in "${NODES[@]}"; do
        await 30 inside "$node" '! ip route | grep onlink'
    done
    reach_each_other direct
}

job_tells() {
    [ "$(job says -- sh -c 'echo out; echo err >&2; exit 7' 2>/dev/null)" = out ]
    [ "$(kctl logs says-1 2>&1 >/dev/null)" = err ]
    await_pod says-1 'phase == "failed" and status["exit_code"] == 7'
}

stop_leaves_nothing() {
    local before
    before=$(traces n1)
    run_pod gone n1 -- sleep 1000
    [ "$(traces n1)" != "$before" ]
    kctl stop gone
    await_pod gone-1 'phase == "stopped"'
    diff <(echo "$before") <(traces n1)
}

limits_are_set() {
    run_pod held n1 --cpu 300m --mem 64M -- sleep 1000
    [ "$(group_file held-1 cpu.max)" = "30000 100000" ]
    [ "$(group_file held-1 memory.max)" = $((64 << 20)) ]
    [ "$(group_file held-1 memory.swap.max)" = 0 ]
    [ "$(group_file held-1 pids.max)" = 4096 ]
    kctl stop held
}

cpu_is_limited() {
    local seconds=10 used
    [ -z "${SHORT:-}" ] || seconds=4
    run_pod busy n1 --cpu 300m -- sh -c 'while :; do :; done'
    used=$(inside n1 "
        cd /sys/fs/cgroup/kontor/n1/pod-$(pod_field busy-1 .id)
        used() { awk '\$1 == \"usage_usec\" {print \$2}' cpu.stat; }
        up() { cut -d ' ' -f 1 /proc/uptime; }
        u=\$(used) t=\$(up)
        sleep $seconds
        awk \"BEGIN {printf \\\"%.0f\\\", (\$(used) - \$u) / (\$(up) - \$t) / 1000}\"")
    kctl stop busy
    near 5 "${used}m" 300m
}

memory_is_limited() {
    # 5 % to either side of 64 MiB.
    job fits --mem 64M --cpu 500m -- dd if=/dev/zero of=/dev/null bs=60M count=1
    await_pod fits-1 'phase == "succeeded"' 30
    job bursts --mem 64M --cpu 500m -- dd if=/dev/zero of=/dev/null bs=68M count=1
    await_pod bursts-1 'phase == "failed" and status["oom_killed"]' 30
    kctl describe pod bursts-1
}

bomb_is_held() {
    job bomb --mem 48M -- sh -c 'bomb() { bomb | bomb & }; bomb; sleep 3' || true
    await_pod bomb-1 'phase in ("failed", "succeeded")' 60
    node_is n1 ready
    [ "$(pod_field one-1 .status.restarts)" = 0 ]
}

# Seconds that a job needs to fetch so many MiB from a server pod, one of them
# limited. What is counted are whole frames, 1514 bytes for each 1448, and the
# first 64 KiB are free.
fetch_at() { # NAME MBIT MIB SERVER-OPTIONS CLIENT-OPTIONS
    local took
    # shellcheck disable=SC2086 # options are several words
    run_pod "serves$1" n2 --cpu 400m $4 -- sh -c \
        'dd if=/dev/zero of=/www/big bs=1M count=$0 && exec httpd -f -p 80 -h /www' "$3"
    # shellcheck disable=SC2086,SC2016
    took=$(job "fetches$1" --cpu 400m $5 -- sh -c '
        up() { cut -d " " -f 1 /proc/uptime; }
        for try in 1 2 3 4 5 6 7 8 9; do
            wget -q -O /dev/null "http://$0/index.html" && break
        done
        t=$(up); wget -q -O /dev/null "http://$0/big"; echo "$(up) $t"' \
        "$(pod_field "serves$1-1" .status.address)" | awk '{print $1 - $2}')
    kctl stop "serves$1"
    near 5 "$took" "$(awk -v mbit="$2" -v mib="$3" 'BEGIN {
        printf "%.2f", (mib * 2^20 * 1514 / 1448 - 65536) * 8 / mbit / 1e6}')"
}

# An emulated processor that others keep from running for 30 ms does not make up
# for it: the best of a few tries counts.
limited_to() { # NAME SERVER-OPTIONS CLIENT-OPTIONS
    local try
    for try in 1 2 3 4; do
        ! fetch_at "$1$try" 20 8 "$2" "$3" || return 0
    done
    return 1
}

network_is_limited() {
    limited_to out "--net 20M" ""
    [ "${SHORT:-}" = 1 ] || limited_to in "" "--net 20M"
}

# ENOSPC at the limit; the node's disk and a pod beside it have what they had.
disk_is_limited() {
    local said free='df -k /var/lib/kontor | awk "NR == 2 {print \$4}"' before taken
    run_pod fills n1 --cpu 700m --disk 128M -- sleep 1000
    before=$(inside n1 "$free")
    said=$(kctl exec fills-1 -- sh -c \
        'dd if=/dev/zero of=/tmp/all bs=1M; wc -c </tmp/all' 2>&1)
    echo "$said"
    grep -q 'No space left on device' <<<"$said"
    near 5 "$(($(tail -n 1 <<<"$said") >> 20))M" 128M
    taken=$(((before - $(inside n1 "$free")) >> 10))
    [ "$taken" -le 130 ]
    kctl exec one-1 -- dd if=/dev/zero of=/tmp/some bs=1M count=4
    kctl exec one-1 -- rm /tmp/some
    [ "$(pod_field fills-1 .status.restarts)" = 0 ]
    kctl stop fills
}

# 8 MiB at 2 MiB/s: past the page cache, and what the kernel writes of it later.
# Who is killed does not wait for what is left to write.
io_is_limited() {
    local way took began
    # shellcheck disable=SC2086 # options are several words
    run_pod "io$1" n1 --cpu 500m --mem 128M --io 2M $2 -- sleep 1000
    group_file "io$1-1" io.max | grep -q ' rbps=2097152 wbps=2097152 '
    for way in 'if=/dev/zero of=/tmp/x oflag=direct' \
        'if=/tmp/x of=/dev/null iflag=direct' 'if=/dev/zero of=/tmp/x; sync'; do
        took=$(kctl exec "io$1-1" -- sh -c '
            up() { cut -d " " -f 1 /proc/uptime; }
            t=$(up); eval "dd bs=256k count=32 $0" 2>/dev/null; echo "$(up) $t"' \
            "$way" | awk '{print $1 - $2}')
        note "$took for 4.0 s"
        # Never faster; an emulated machine may be slower than its limit.
        awk -v t="$took" 'BEGIN {exit !(t >= 3.8 && t <= 7)}'
    done
    kctl exec "io$1-1" -- dd if=/dev/zero of=/tmp/y bs=1M count=16
    began=$(now_ms)
    kctl stop "io$1"
    await_pod "io$1-1" 'phase == "stopped"'
    note "stopped after $(($(now_ms) - began)) ms"
    [ $(($(now_ms) - began)) -lt 8000 ]
}

root_is_nobody() {
    local first
    run_pod nobody n2 --userns
    first=$(kctl exec nobody-1 -- awk '{print $2}' /proc/self/uid_map)
    note "root is $first"
    [ "$first" -ge $((1 << 20)) ]
    [ "$(kctl exec nobody-1 -- sh -c 'id -u; echo x >/www/x; stat -c %u /www/x /bin')" = $'0\n0\n0' ]
    [ "$(inside n2 "stat -c %u /proc/$(group_file nobody-1 c0/cgroup.procs)/root/www/x")" = "$first" ]
    [ "$(inside n1 "busybox wget -q -O - http://$(pod_field nobody-1 .status.address)/")" = "hello from a pod" ]
    kctl stop nobody
}

# The same steps lead the machine's own root to its disk.
who_may_mount_opens_no_disk() {
    local numbers steps said
    numbers=$(inside n1 'cat /sys/class/block/vda/dev')
    steps="t=\$(mktemp -d) && mount -t tmpfs t \$t && cd \$t && mkdir m all || exit
        mknod zero c 1 5; mknod disk b ${numbers/:/ }; mount -t devtmpfs d all
        for node in zero disk all/vda; do head -c 1 \$node; done | wc -c
        mount -t ext4 disk m && echo mounted"
    said=$(inside n1 "$steps
        umount m all; cd /; umount \$t; rmdir \$t")
    echo "$said"
    [ "$said" = $'3\nmounted' ]
    said=$(job "mounts" --cap-add SYS_ADMIN --cap-add MKNOD -- sh -c "$steps" 2>&1)
    echo "$said"
    [ "$(grep -cE "(disk|vda)'?: Operation not permitted" <<<"$said")" = 2 ]
    grep -qx 1 <<<"$said"
    grep -q 'mount: permission denied' <<<"$said"
    [[ $said != *mounted* ]]
}

# What must not change when only knode stops: the pods' processes.
pods_stand() { # COMMAND ON n1
    local before address
    before=$(pod_field one-1 .status.pid)
    address=$(pod_field one-1 .status.address)
    inside n1 "$1"
    await 30 node_is n1 ready
    run_pod after n1 --restart never -- true
    [ "$(pod_field one-1 .status.pid)" = "$before" ]
    [ "$(pod_field one-1 .status.restarts)" = 0 ]
    inside n1 "kill -0 $before"
    [ "$(inside n2 "busybox wget -q -O - http://$address/")" = "hello from a pod" ]
}

unit_test_passes() { # NAME
    inside n2 "cd /tmp && /usr/local/test/unit/test_$1" 600
    note "$(awk '/^\[  PASSED  \]/ {n += $4} END {print n " tests"}' "$WORK/said")"
}

# A file of test/e2e, against this cluster.
e2e_passes() { # NAME
    LAB=$PWD/deploy/lab/e2e.bash bats --tap "test/e2e/$1.bats" || {
        kctl events | tail -n 25
        return 1
    }
    note "$(grep -c '^ok ' "$WORK/said") tests, $(grep -c '^ok .* # skip' "$WORK/said") of them skipped"
}

# One cluster for all of them: a pod's number is never given again, so no two
# files, nor these checks, have apps of one name.
run_e2e() {
    local name
    for name in pods containers userns; do
        check "test/e2e/$name.bats on these machines" e2e_passes "$name"
    done
}

run_checks() {
    check "kmaster is an unprivileged user without capabilities" kmaster_has_no_power
    check "a pod runs on each node" runs_on_each
    check "pods on different nodes reach each other, and nodes pods" reach_each_other asks
    [ "${SHORT:-}" = 1 ] || check "the same through VXLAN" through_a_tunnel
    check "a job's output and its exit code come back" job_tells
    check "stopped: no cgroup, interface, mount, process, folder" stop_leaves_nothing
    check "cpu, memory, swap and pids limits stand in cgroup v2" limits_are_set
    check "cpu: a busy pod gets what it asked for" cpu_is_limited
    check "memory: 60M of 64M fit, 68M are killed and said to be" memory_is_limited
    check "a fork bomb ends in its own pod" bomb_is_held
    check "network: 20 Mbit/s of a pod to the other node" network_is_limited
    check "disk: ENOSPC at the limit, others have room" disk_is_limited
    check "io: 2M a second, on a disk of its own" io_is_limited own "--disk 64M"
    check "io: 2M a second, on the node's file system" io_is_limited shared ""
    check "userns: root of a pod is nobody of this kernel's" root_is_nobody
    check "SYS_ADMIN and MKNOD: no way to the machine's disk" who_may_mount_opens_no_disk
    check "systemctl restart knode: pods run on" pods_stand "systemctl restart knode"
    check "kill -9 of knode: systemd starts it, pods run on" pods_stand \
        "systemctl kill --kill-whom=main -s KILL knode"
}

run_unit_tests() {
    local name
    for name in ${LAB_TESTS:-}; do
        check "test_$name on this kernel" unit_test_passes "$name"
    done
}
