# pods.bats - what a person does with pods: from a registry to an address that
# answers, what the image and the command line say about the process, limits,
# isolation, restarts, logs, waiting for room, and the end.

load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    cluster_up
    # An image that says all that an image can say.
    cp -r "$WORK/image" "$WORK/full"
    umoci config --image "$WORK/full:latest" --config.workingdir /tmp \
        --config.user 1000:1000 --config.env COLOUR=blue --config.env SIZE=small \
        --config.stopsignal SIGUSR1 --clear config.cmd \
        --config.entrypoint /bin/sh --config.entrypoint -c \
        --config.cmd 'echo "$(id -u):$(id -g) $PWD $COLOUR $SIZE"'
}

teardown_file() {
    cluster_down
    registry_down
    work_remove
}

# Each test has the cluster for itself.
teardown() {
    local name
    for name in $(kctl get pods -o json | python3 -c '
import json, sys
print(*(pod["name"] for pod in json.load(sys.stdin)["pods"]))'); do
        kctl stop "$name" >/dev/null
        await_pod "$name" "phase in ('stopped', 'failed', 'succeeded')" >/dev/null
    done
    kctl node uncordon n1 >/dev/null
    kctl node uncordon n2 >/dev/null
}

# Small, so that many fit: `start NAME [OPTIONS] [-- COMMAND]`.
start() {
    local name=$1
    shift
    kctl schedule "$IMAGE" --cpu 50m --mem 16M --stop-grace 300ms \
        --name "$name" "$@"
}


# What a job wrote to its stdout, when it has ended.
job_sh() { # NAME SCRIPT
    start "$1" --restart never -- sh -c "$2" >/dev/null 2>&1 || true
    kctl logs -f "$1-1"
}

@test "from the registry to an address that answers, here and on the other node" {
    on_this_machine
    kctl schedule "$IMAGE" --name web --cpu 0.5 --mem 64M --net 10M --node n1 \
        >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/progress"
    grep -q '^web-1  running  10\.42\.' "$BATS_TEST_TMPDIR/out"
    grep -q '^web-1  placed on n1 (index [0-9]*, term [0-9]*)' "$BATS_TEST_TMPDIR/progress"
    [ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = 1 ]
    address=$(pod_field web-1 .status.address)
    await 5 curl -fsS "http://$address/"
    [ "$(curl -fsS "http://$address/")" = "hello from a pod" ]
    start visitor --node n2 --restart never -- wget -q -O - "http://$address/"
    [ "$(kctl logs -f visitor-1)" = "hello from a pod" ]
    await_pod visitor-1 'phase == "succeeded" and pod["node"] == "n2"'
}

@test "progress in bytes of a large layer" {
    on_this_machine
    umoci unpack --image "$WORK/image:latest" "$BATS_TEST_TMPDIR/b" >/dev/null 2>&1
    head -c 30M /dev/urandom >"$BATS_TEST_TMPDIR/b/rootfs/noise"
    umoci repack --image "$WORK/image:big" "$BATS_TEST_TMPDIR/b" >/dev/null 2>&1
    skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:big" \
        "docker://127.0.0.1:$REGISTRY_PORT/big:1"
    kctl events -w -o json >"$BATS_TEST_TMPDIR/events" 3>&- &
    watcher=$!
    kctl schedule "127.0.0.1:$REGISTRY_PORT/big:1" --name big --cpu 50m \
        --mem 16M -- /bin/busybox sleep 1000 2>"$BATS_TEST_TMPDIR/progress"
    await 5 grep -q '"running"' "$BATS_TEST_TMPDIR/events"
    kill "$watcher"
    wait "$watcher" || true
    grep -q pulling "$BATS_TEST_TMPDIR/progress"
    python3 - "$BATS_TEST_TMPDIR/events" <<'PY'
import json, sys
seen = [event["pod"]["status"] for event in map(json.loads, open(sys.argv[1]))
        if event.get("pod")]
bytes_ = [s["pulled_bytes"] for s in seen if s["phase"] == "pulling"]
total = max(s["pull_total_bytes"] for s in seen)
assert bytes_ == sorted(bytes_), bytes_
assert any(0 < b for b in bytes_), seen
assert total > 30 << 20, total
PY
}

@test "entrypoint, command, environment, folder and user are the image's" {
    on_this_machine
    kctl schedule "oci:$WORK/full:latest" --cpu 50m --mem 16M --name full \
        --restart never
    [ "$(kctl logs -f full-1)" = "1000:1000 /tmp blue small" ]
}

@test "a command and --env stand over the image's" {
    on_this_machine
    kctl schedule "oci:$WORK/full:latest" --cpu 50m --mem 16M --name over \
        --restart never --env COLOUR=red --env EXTRA=1=2 -- \
        /bin/sh -c 'echo "$COLOUR $SIZE $EXTRA $0 $*"' zero one "two three"
    [ "$(kctl logs -f over-1)" = "red small 1=2 zero one two three" ]
}

@test "an image in a layout folder" {
    on_this_machine
    kctl schedule "oci:$WORK/image:latest" --cpu 50m --mem 16M --name layout \
        --restart never -- cat /www/index.html
    [ "$(kctl logs -f layout-1)" = "hello from a pod" ]
}

@test "exit code, signal, and which of them ended a pod" {
    start seven --restart never -- sh -c 'exit 7' || true
    await_pod seven-1 '(phase == "failed" and status["exit_code"] == 7 and
        status["signal"] == 0)'
    start signal --restart never -- sh -c 'kill -ABRT $$' || true
    await_pod signal-1 '(phase == "failed" and status["signal"] == 6 and
        status["exit_code"] == -1 and not status["oom_killed"])'
    start zero --restart never -- true
    await_pod zero-1 'phase == "succeeded" and status["exit_code"] == 0'
    kctl get pods -a | grep -E '^seven-1 +Failed .* exit code 7$'
    kctl get pods -a | grep -E '^signal-1 +Failed .* signal 6'
    kctl events --pod seven-1 | grep -E ' failed: exit code 7$'
}

@test "the memory limit holds and is told as such" {
    start greedy --restart never -- dd if=/dev/zero of=/dev/null bs=64M count=1 || true
    await_pod greedy-1 'phase == "failed" and status["oom_killed"]'
    kctl get pods -a | grep -E '^greedy-1 .*out of memory'
    [ "$(job_sh modest 'dd if=/dev/zero bs=4M count=1 2>/dev/null | wc -c')" = 4194304 ]
}

@test "the processor limit is in the cgroup and holds" {
    on_this_machine
    start busy --cpu 200m -- sh -c 'while :; do :; done'
    group=$(pod_group busy-1 cpu)
    if [ -e "$group/cpu.max" ]; then
        read -r quota period <"$group/cpu.max"
    else
        quota=$(cat "$group/cpu.cfs_quota_us")
        period=$(cat "$group/cpu.cfs_period_us")
    fi
    [ $((quota * 10)) = $((period * 2)) ]
    throttled() {
        [ "$(awk '/^nr_throttled/ {print $2}' "$group/cpu.stat")" -gt 2 ]
    }
    await 5 throttled
}

@test "a fork bomb ends at the pod's limit of processes" {
    on_this_machine
    start bomb --mem 64M --cpu 500m -- sh -c 'until [ -e /tmp/go ]; do sleep 0.05; done
        bomb() { bomb | bomb & }; bomb; sleep 1000'
    group=$(pod_group bomb-1 pids)
    [ "$(cat "$group/pids.max")" = 4096 ]
    echo 100 >"$group/pids.max" # kinder to the machine, and soon reached
    touch "/proc/$(pod_process bomb-1)/root/tmp/go"
    refused() {
        kctl logs bomb-1 2>&1 | grep -q "can't fork"
    }
    await 10 refused
    kctl stop bomb
    await_pod bomb-1 'phase == "stopped"'
    [ "$(node_traces n1; node_traces n2)" = "" ]
}

@test "the limit on io holds, and is told" {
    local took
    start slow --io 4M --disk 16M -- sleep 1000
    kctl describe pod slow-1 | grep -Eq '^io limit +4.0Mi a second, each of read and written$'
    kctl describe node "$(pod_field slow-1 .node)" | grep -Eq '^label +kontor.io/io=yes$'
    took=$(kctl exec slow-1 -- sh -c 'up() { cut -d " " -f 1 /proc/uptime; }
        t=$(up); dd if=/dev/zero of=/tmp/x bs=1M count=6 oflag=direct 2>/dev/null; echo "$(up) $t"' |
        awk '{print $1 - $2}')
    echo "took $took"
    awk -v t="$took" 'BEGIN {exit !(t > 1.3 && t < 3)}'
    kctl exec slow-1 -- dd if=/dev/zero of=/tmp/y bs=1M count=4 # left to be written
    kctl stop slow
    await_pod slow-1 'phase == "stopped"'
}

@test "the network limit holds in both directions" {
    on_this_machine
    start giver --net 8M --node n1 -- sh -c \
        'head -c 1500000 /dev/zero >/tmp/file; exec httpd -f -p 80 -h /tmp'
    address=$(pod_field giver-1 .status.address)
    await 5 curl -fsS -o /dev/null "http://$address/file"
    # 12 Mbit through 8 Mbit/s: 1.5 s, less what the burst lets through.
    took=$(curl -fsS -o /dev/null -w '%{time_total}' "http://$address/file")
    python3 -c 'import sys; assert 1.0 < float(sys.argv[1]) < 20.0' "$took"
    start sink --net 8M --node n2 -- nc -l -p 9 -e cat
    address=$(pod_field sink-1 .status.address)
    python3 - "$address" <<'PY'
import socket, sys, time
deadline = time.monotonic() + 5
while True: # nc listens a moment after the pod runs
    try:
        peer = socket.create_connection((sys.argv[1], 9), 5)
        break
    except ConnectionRefusedError:
        assert time.monotonic() < deadline
        time.sleep(0.02)
import threading
sent = bytes(1500000)
start = time.monotonic()
threading.Thread(target=lambda: peer.sendall(sent), daemon=True).start()
left = len(sent)
while left:
    left -= len(peer.recv(65536))
took = time.monotonic() - start
assert 1.0 < took < 20.0, took
PY
}

@test "a pod sees only itself, and its root is not the host's" {
    on_this_machine
    run job_sh inside 'hostname; ls /proc | grep -c "^[0-9]*$"; cat /proc/1/comm
        ip -o link | wc -l; ls /var 2>&1; ipcs -q | grep -c 0x; df / | tail -n 1 | cut -d" " -f1'
    [ "${lines[0]}" = inside-1 ]
    [ "${lines[1]}" -le 6 ]
    [[ "${lines[2]}" == kpod* ]]
    [ "${lines[3]}" = 2 ] # lo, eth0
    [[ "${lines[4]}" == *"No such file"* ]]
    start held -- sleep 1000
    process=$(pod_process held-1)
    for kind in pid net ipc uts cgroup mnt; do
        [ "$(readlink "/proc/$process/ns/$kind")" != "$(readlink "/proc/self/ns/$kind")" ]
    done
    # Nothing of the host's mounts is beneath the pod's root.
    [ -z "$(grep -F "$WORK" "/proc/$process/mountinfo" | grep -v ' - overlay ')" ]
}

@test "a pod's root is without the host's powers" {
    run job_sh powers 'exec 2>&1; grep -E "^(CapEff|CapBnd|NoNewPrivs)" /proc/self/status
        mount -t tmpfs none /tmp 2>&1; echo 1 >/proc/sys/kernel/panic
        mknod /tmp/sda b 8 0 2>&1; hostname other 2>&1; cat /proc/kcore 2>/dev/null | wc -c
        ls -l /dev | grep -c "^b"'
    echo "$output"
    [[ "$output" == *"CapEff:"*"00000000a00405fb"* ]]
    [[ "$output" == *"CapBnd:"*"00000000a00405fb"* ]]
    [[ "$output" == *"NoNewPrivs:"*"1"* ]]
    [[ "$output" == *"mount: "*"ermission denied"* || "$output" == *"mount: "*"not permitted"* ]]
    [[ "$output" == *"Read-only file system"* ]]
    [[ "$output" == *"mknod: "*"not permitted"* ]]
    [[ "$output" == *"hostname: "*"not permitted"* || "$output" == *"hostname: "*"ermission denied"* ]]
    [ "${lines[-2]}" = 0 ]
    [ "${lines[-1]}" = 0 ]
}

@test "the image's stop signal ends a pod at once" {
    on_this_machine
    kctl schedule "oci:$WORK/full:latest" --cpu 50m --mem 16M --name polite -- \
        /bin/sh -c 'trap "echo bye; exit 3" USR1; echo up; while :; do sleep 0.05; done'
    timeout 10 kctl logs -f polite-1 >"$BATS_TEST_TMPDIR/log" 3>&- &
    follower=$!
    await 5 grep -q up "$BATS_TEST_TMPDIR/log"
    kctl stop polite
    wait "$follower" # the log ends with the pod
    grep -q bye "$BATS_TEST_TMPDIR/log"
    await_pod polite-1 '(phase == "stopped" and status["exit_code"] == 3 and
        status["signal"] == 0)'
}

@test "a pod that does not mind its stop signal is killed after the grace" {
    on_this_machine
    start deaf --stop-grace 700ms -- sh -c \
        'trap "" TERM; echo deaf; while :; do sleep 0.05; done'
    await 5 eval '[ "$(kctl logs deaf-1)" = deaf ]'
    before=$(date +%s%N)
    kctl stop deaf
    await_pod deaf-1 'phase == "stopped" and status["signal"] == 9'
    took_ms=$((($(date +%s%N) - before) / 1000000))
    [ $took_ms -ge 700 ]
    [ $took_ms -le 5000 ]
    [ "$(node_traces n1; node_traces n2)" = "" ]
}

@test "always starts again with a growing back-off" {
    run start phoenix -- sh -c 'exit 0'
    await_pod phoenix-1 'status["restarts"] >= 4' 20 >/dev/null
    kctl events -o json | python3 -c '
import json, sys
starts = []
for event in map(json.loads, sys.stdin):
    status = (event.get("pod") or {}).get("status")
    if event["subject"] == "phoenix-1" and status["started_at_ms"]:
        if status["started_at_ms"] not in starts:
            starts.append(status["started_at_ms"])
gaps = [b - a for a, b in zip(starts, starts[1:])]
assert len(gaps) >= 3, gaps
assert all(gap >= 100 << i for i, gap in enumerate(gaps)), gaps'
}

@test "on-failure starts again until it ends well" {
    # Its root stays from run to run, so that it can count.
    start thrice --restart on-failure -- sh -c \
        'echo x >>/tmp/runs; [ "$(wc -l </tmp/runs)" = 3 ]' || true
    await_pod thrice-1 'phase in ("succeeded", "failed") or status["restarts"] > 2' 20
    await_pod thrice-1 'phase == "succeeded" and status["restarts"] == 2'
}

@test "never does not start again" {
    start once --restart never -- false || true
    await_pod once-1 'phase == "failed" and status["restarts"] == 0'
}

@test "logs keep both streams apart, and logs -f goes to the end" {
    start talk --restart never -- sh -c 'echo out; echo err >&2; sleep 0.3; echo end'
    kctl logs -f talk-1 >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err"
    [ "$(cat "$BATS_TEST_TMPDIR/out")" = $'out\nend' ]
    [ "$(cat "$BATS_TEST_TMPDIR/err")" = err ]
    [ "$(kctl logs --tail 1 talk-1)" = end ]
}

@test "a log is bounded, and its end is what is kept" {
    on_this_machine
    start loud --restart never --mem 32M --cpu 1 -- sh -c \
        'yes "a line of the log, that is repeated many times over" | head -c 40000000; echo the end'
    await_pod loud-1 'phase == "succeeded"' 30
    bytes=$(kctl logs loud-1 | tee >(tail -n 1 >"$BATS_TEST_TMPDIR/last") | wc -c)
    [ "$bytes" -ge $((9 << 20)) ]
    [ "$bytes" -le $((21 << 20)) ]
    await 2 grep -q 'the end' "$BATS_TEST_TMPDIR/last"
    kept=$(du -cb "$WORK"/cluster/n?/pods/"$(pod_field loud-1 .id)"/* | awk 'END {print $1}')
    [ "$kept" -le $((21 << 20)) ]
}

@test "a pod that fits nowhere waits, says why, and goes where room appears" {
    on_this_machine
    start large --cpu 1500m --node n1 -- sleep 1000
    run kctl schedule "$IMAGE" --cpu 1500m --mem 16M --name waits --node n1 \
        --timeout 300ms --stop-grace 100ms -- sleep 1000
    [ "$status" = 3 ]
    await_pod waits-1 'phase == "pending" and "cpu" in status["reason"]'
    kctl why waits | grep -E '^n1 .*short of cpu'
    kctl why waits | grep -E '^n2 .*asks for node n1'
    kctl get pods | grep -E '^waits-1 +Pending'
    kctl stop large
    await_pod waits-1 'phase == "running" and pod["node"] == "n1"'
}

@test "a cordoned node takes nothing until it is uncordoned" {
    kctl node cordon n1
    kctl get nodes | grep -E '^n1 .*cordoned'
    start other
    [ "$(pod_field other-1 .node)" = n2 ]
    run start patient --node n1 --timeout 200ms
    [ "$status" = 3 ]
    kctl why patient | grep -E '^n1 .*cordoned'
    kctl node uncordon n1
    await_pod patient-1 'phase == "running" and pod["node"] == "n1"'
}

@test "a name is taken while its pod lives, and numbers are not used again" {
    start named
    expect 5 schedule "$IMAGE" --name named --detach
    [[ "$output" == *"named"* ]]
    first=$(pod_field named-1 .id)
    kctl stop named-1
    await_pod named-1 'phase == "stopped"'
    kctl schedule "$IMAGE" --cpu 50m --mem 16M --name named -o json \
        2>/dev/null >"$BATS_TEST_TMPDIR/pod"
    [ "$(field .name <"$BATS_TEST_TMPDIR/pod")" != named-1 ]
    [ "$(field .id <"$BATS_TEST_TMPDIR/pod")" -gt "$first" ]
}

@test "events resume behind an index without a gap" {
    start first --restart never -- true
    kctl events -o json >"$BATS_TEST_TMPDIR/all"
    middle=$(python3 -c '
import json, sys
indexes = sorted({json.loads(line)["index"] for line in sys.stdin})
print(indexes[len(indexes) // 2])' <"$BATS_TEST_TMPDIR/all")
    kctl events -w --after "$middle" -o json >"$BATS_TEST_TMPDIR/rest" 3>&- &
    watcher=$!
    start second --restart never -- true
    await_pod second-1 'phase == "succeeded"'
    await 5 grep -q '"pod_ended","subject":"second-1"' "$BATS_TEST_TMPDIR/rest"
    kill "$watcher"
    wait "$watcher" || true
    kctl events --after "$middle" -o json >"$BATS_TEST_TMPDIR/then"
    grep -v '"kind":"pod_progress"' "$BATS_TEST_TMPDIR/rest" |
        diff - "$BATS_TEST_TMPDIR/then"
    grep -q '"subject":"second-1"' "$BATS_TEST_TMPDIR/then"
}

@test "describe tells all, and -o json is JSON everywhere" {
    start told --env KEY=value
    run kctl describe pod told-1
    for word in name status node address image pid events running; do
        [[ "$output" == *"$word"* ]]
    done
    kctl describe node "$(pod_field told-1 .node)" | grep -q told-1
    for verb in "get pods" "get nodes" "get pods -a" "describe pod told-1" \
        "describe node n1" "why told-1" "masters" "version" "node cordon n2"; do
        # shellcheck disable=SC2086 # a verb is several words
        kctl $verb -o json | python3 -c 'import json, sys; json.load(sys.stdin)'
    done
    expect 4 describe pod nobody
    expect 4 describe node n9
    expect 4 logs nobody
    expect 4 stop nobody
}

@test "a viewer looks and does not write" {
    viewer=$BATS_TEST_TMPDIR/viewer.json
    sed "s|\"identity\": *\"admin\"|\"identity\": \"viewer\"|; s|\"pki\": *\"pki\"|\"pki\": \"$WORK/cluster/pki\"|" \
        "$KONTOR_CONFIG" >"$viewer"
    start seen
    expect 0 get pods --config "$viewer"
    [[ "$output" == *seen-1* ]]
    expect 6 schedule "$IMAGE" --name mine --config "$viewer"
    expect 6 stop seen-1 --config "$viewer"
    expect 6 node cordon n1 --config "$viewer"
    expect 6 node label n1 zone=a --config "$viewer"
    [ -z "$(pod_field mine-1 .name)" ]
    [ "$(pod_field seen-1 .status.phase)" = running ]
}

@test "stopped pods leave nothing on their nodes" {
    on_this_machine
    for i in 1 2 3 4; do start "p$i" --detach; done
    for i in 1 2 3 4; do await_pod "p$i-1" 'phase == "running"'; done
    [ "$(node_traces n1; node_traces n2)" != "" ]
    for i in 1 2 3 4; do kctl stop "p$i"; done
    for i in 1 2 3 4; do await_pod "p$i-1" 'phase == "stopped"'; done
    [ "$(node_traces n1; node_traces n2)" = "" ]
}
