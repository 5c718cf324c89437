# Pods with a user namespace: each has ids of its own outside, and works.

load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    cluster_up --nodes 1
}

teardown_file() {
    cluster_down
    registry_down
    work_remove
}

first_id() { kctl exec "$@" -- awk '{print $2}' /proc/self/uid_map; }

@test "root in a pod is nobody outside, and another nobody than in the next" {
    kctl schedule "$IMAGE" --cpu 50m --mem 32M --disk 16M --name page --userns \
        -- sh -c 'echo hello; echo page >/page; while :; do nc -l -p 80 </page; done' >/dev/null
    kctl schedule "$IMAGE" --cpu 50m --mem 32M --name users --userns --user 7 \
        --health-cmd '[ $(id -u) = 7 ]' --health-interval 100ms -- sleep 1000 >/dev/null
    await_pod users-1 'status.get("ready")' >/dev/null
    await_pod page-1 'phase == "running"' >/dev/null
    [ "$(first_id page-1)" -ge $((1 << 20)) ]
    [ "$(first_id page-1)" != "$(first_id users-1)" ]
    [ "$(kctl exec page-1 -- id -u)" = 0 ]
    [ "$(kctl exec users-1 -- id -u)" = 7 ]
    [ "$(kctl exec --user 9 users-1 -- id -u)" = 9 ]
    [ "$(kctl logs page-1)" = hello ]
    [ -n "${LAB:-}" ] ||
        [ "$(stat -c %u "/proc/$(pod_process page-1)/root/page")" = "$(first_id page-1)" ]
}

@test "it serves on a low port, is reached, and may ping" {
    on_this_machine
    [ "$(kctl exec users-1 -- nc "$(pod_field page-1 .status.address)" 80 </dev/null)" = page ]
    # The image's ping(1) wants a raw socket; who has another needs none.
    nsenter -U -n -S 0 -G 0 -t "$(pod_process page-1)" \
        python3 -c 'import socket; socket.socket(type=socket.SOCK_DGRAM, proto=1)'
}

@test "a terminal is the pod's" {
    run python3 "$BATS_TEST_DIRNAME/terminal.py" kctl exec -it page-1 -- sh
    [ "$status" = 5 ]
    [[ $output == *'/dev/pts/0'* ]]
}

@test "its containers share it, and a pod's file asks for it" {
    cat >"$BATS_TEST_TMPDIR/pod.yaml" <<YAML
app: both
userns: true
resources: {cpu_milli: 50m, memory_bytes: 32M}
containers:
- {name: a, image: $IMAGE, command: [sh, -c, 'echo x >/dev/shm/x; exec sleep 1000']}
- {name: b, image: $IMAGE, command: [sleep, "1000"]}
YAML
    kctl schedule -f "$BATS_TEST_TMPDIR/pod.yaml" >/dev/null
    await_pod both-1 'phase == "running"' >/dev/null
    await 10 kctl exec -c b both-1 -- test -e /dev/shm/x
    [ "$(kctl exec -c b both-1 -- stat -c %u /dev/shm/x)" = 0 ]
    [ "$(first_id -c a both-1)" = "$(first_id -c b both-1)" ]
}

@test "the next knode knows its ids, and nothing is left of it" {
    on_this_machine
    local before
    before=$(first_id page-1)
    knode_again n1
    await 20 kctl exec page-1 -- true
    [ "$(first_id page-1)" = "$before" ]
    kctl schedule "$IMAGE" --cpu 50m --mem 32M --name late --userns -- sleep 1000 >/dev/null
    await_pod late-1 'phase == "running"' >/dev/null
    [ "$(first_id late-1)" != "$before" ]
    for app in page users both late; do
        kctl stop $app >/dev/null
    done
    for app in page users both late; do
        await_pod $app-1 'phase == "stopped"' >/dev/null
    done
    [ "$(node_traces n1)" = "" ]
    ! grep -lF "$WORK/" /sys/block/loop*/loop/backing_file
}
