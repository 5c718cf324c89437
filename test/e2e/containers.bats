# containers.bats - pods of several containers from a file, programs executed in
# them, and what a container may do, as a person meets them.

load lib.bash
bats_require_minimum_version 1.5.0

setup_file() {
    work_make
    registry_up
    image_push
    umask 077 # as deploy/systemd/knode.service has it
    cluster_up
    cat >"$WORK/pod.yaml" <<YAML
app: pair
stop_grace_ms: 300ms
resources: {cpu_milli: 100m, memory_bytes: 64M}
containers:
- name: prepare
  image: $IMAGE
  init: true
  command: [sh, -c, 'echo prepared > /dev/shm/state']
- name: web
  image: $IMAGE
  command: [sh, -c, 'cat /dev/shm/state; trap "exit 0" TERM; sleep 1000 & wait']
- name: side
  image: $IMAGE
  command: [sh, -c, 'echo side; exec sleep 2000']
  limits: {memory_bytes: 16M}
  env: [COLOUR=blue]
YAML
    kctl schedule -f "$WORK/pod.yaml" >/dev/null
}

teardown_file() {
    cluster_down
    registry_down
    work_remove
}

described() { # PATTERN
    kctl describe pod pair-1 | grep -Eq "$1"
}

prepared_is_told() {
    kctl logs pair-1 | grep -q '^prepared$'
}

two_sleep() {
    [ "$(kctl exec pair-1 -- sh -c 'ps -o comm | grep -c "^sleep"')" = 2 ]
}

@test "containers of a file share what they share, and are told of one by one" {
    await 5 described '^init +prepare  succeeded'
    await 5 described '^container +web  running, ready' # a pod runs with its first
    await 5 described '^container +side  running, ready'
    await 5 prepared_is_told
    await 5 two_sleep
    kctl get pods -o json | python3 -c '
import json, sys
pod = json.load(sys.stdin)["pods"][0]
assert pod["status"]["ready"], pod
assert [c["name"] for c in pod["status"]["containers"]] == ["prepare", "web", "side"]'
}

@test "what is wrong in a file is told by line and field, before anything happens" {
    printf 'app: x\ncontainers:\n- imag: y\n' >"$BATS_TEST_TMPDIR/bad.yaml"
    run kctl schedule -f "$BATS_TEST_TMPDIR/bad.yaml"
    [ "$status" = 2 ]
    [[ $output == *'bad.yaml:3: containers[0]: there is no field "imag"; did you mean image?'* ]]
    run kctl schedule -f "$WORK/pod.yaml" --cpu 2
    [ "$status" = 2 ]
    run kctl schedule -f - <<<'containers: [{image: x}, {image: y}]'
    [ "$status" = 2 ]
    [[ $output == *'spec.containers[1].name: there is a "main" already'* ]]
}

@test "exec: streams, exit codes, container, user and environment" {
    run kctl exec pair-1 -- sh -c 'echo out; echo err >&2; exit 9'
    [ "$status" = 9 ]
    [ "$(kctl exec pair-1 -- sh -c 'echo out; echo err >&2' 2>/dev/null)" = out ]
    [ "$(kctl exec -c side pair-1 -- sh -c 'echo $COLOUR')" = blue ]
    [ "$(kctl exec --user 5:6 --env A=b pair-1 -- sh -c 'echo $(id -u) $(id -g) $A')" = '5 6 b' ]
    run -127 kctl exec pair-1 -- /bin/nope
    [[ $output == *'exec /bin/nope: no such file'* ]]
    run kctl exec -c nowhere pair-1 -- true
    [ "$status" = 125 ]
    run kctl exec nothing-1 -- true
    [ "$status" = 4 ]
    run kctl exec pair-1
    [ "$status" = 2 ]
}

@test "exec: input of any size comes through and back, from files and pipes" {
    on_this_machine # 80 MB of TLS are too much for emulated processors
    head -c 20000000 /dev/urandom >"$BATS_TEST_TMPDIR/in"
    kctl exec -i pair-1 -- cat <"$BATS_TEST_TMPDIR/in" >"$BATS_TEST_TMPDIR/out"
    cmp "$BATS_TEST_TMPDIR/in" "$BATS_TEST_TMPDIR/out"
    cat "$BATS_TEST_TMPDIR/in" | kctl exec -i pair-1 -- sha256sum |
        grep -q "$(sha256sum <"$BATS_TEST_TMPDIR/in" | cut -c1-64)"
    kctl exec -i pair-1 -- true <"$BATS_TEST_TMPDIR/in"
}

@test "exec: a terminal of its size, keys and signals" {
    run python3 "$BATS_TEST_DIRNAME/terminal.py" kctl exec -it pair-1 -- sh
    echo "$output"
    [ "$status" = 5 ]
    [[ $output == *'30 100'*'40 120'*'/dev/pts/0'* ]]
    kctl exec pair-1 -- sh -c 'echo up; exec sleep 100' >"$BATS_TEST_TMPDIR/out" &
    await 10 grep -q up "$BATS_TEST_TMPDIR/out"
    kill -TERM $!
    wait $! || status=$?
    [ "${status:-0}" = 143 ]
}

@test "exec: signals are the program's" {
    local said=$BATS_TEST_TMPDIR/out pid
    kctl exec pair-1 -- sh -c 'trap "echo one" USR1; trap "echo two" USR2; trap "exit 7" CONT
        echo up; while :; do sleep 0.05; done' >"$said" &
    pid=$!
    await 10 grep -q up "$said"
    kill -USR1 $pid
    await 10 grep -q one "$said"
    kill -USR2 $pid
    await 10 grep -q two "$said"
    kill -CONT $pid
    wait $pid || status=$?
    [ "${status:-0}" = 7 ]
}

a_master_that() { # ROLE
    kctl masters -o json | python3 -c '
import json, sys
print(next(m["name"] for m in json.load(sys.stdin)["masters"] if m["role"] == sys.argv[1]))' "$1"
}

# A configuration that knows no other master.
only() { # MASTER
    python3 - "$KONTOR_CONFIG" "$1" >"$WORK/cluster/$1.json" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))
config["masters"] = [m for m in config["masters"] if m["name"] == sys.argv[2]]
json.dump(config, sys.stdout)
PY
    echo "$WORK/cluster/$1.json"
}

@test "exec: through a master that does not lead" {
    [ "$(echo there | kctl exec --config "$(only "$(a_master_that follower)")" -i pair-1 -- cat)" = there ]
}

@test "exec: a viewer may not" {
    python3 - "$KONTOR_CONFIG" >"$WORK/cluster/viewer.json" <<'PY'
import json, sys
config = json.load(open(sys.argv[1]))
config["identity"] = "viewer"
json.dump(config, sys.stdout)
PY
    run kctl exec --config "$WORK/cluster/viewer.json" pair-1 -- true
    [ "$status" = 6 ]
}

@test "what a container may is as asked" {
    kctl schedule "$IMAGE" --name safe --restart never --user 7:8 --group-add 9 \
        --cap-drop ALL --read-only --tmpfs /run:2M --shm-size 1M --ulimit nofile=50:60 \
        -- sh -c 'id; ulimit -n; touch /x; echo a >/run/a && cat /run/a; df -k /dev/shm /run' \
        >/dev/null 2>&1 || true
    run kctl logs -f safe-1
    echo "$output"; kctl describe pod safe-1
    [[ $output == *'uid=7 gid=8 groups=9'* ]]
    [[ $output == *$'\n50\n'* ]]
    [[ $output == *'/x: Read-only file system'* ]]
    [[ $output == *$'\na\n'* ]]
    run kctl schedule "$IMAGE" --cap-add NOPE --name bad
    [ "$status" = 1 ]
    [[ $output == *'there is no capability "NOPE"'* ]]
}

@test "who may mount opens none of the machine's devices" {
    kctl schedule "$IMAGE" --name opens --restart never --cap-add SYS_ADMIN --cap-add MKNOD \
        -- sh -c 'mount -t tmpfs t /tmp && cd /tmp && mknod loop b 7 0 && mknod zero c 1 5
            head -c 1 zero | wc -c; head -c 1 loop 2>&1' >/dev/null 2>&1 || true
    run kctl logs -f opens-1
    [ "$output" = $'1\nhead: loop: Operation not permitted' ]
}

@test "logs: of one container, of the run before, of late" {
    [ "$(kctl logs -c side pair-1)" = side ]
    [ "$(kctl logs -c web pair-1)" = prepared ]
    expect 4 logs -c nowhere pair-1
    [[ $output == *'has no container "nowhere"'* ]]
    expect 4 logs --previous pair-1
    expect 2 logs -f --previous pair-1
    # From the other one: what runs in it ends with its first process.
    kctl exec -c web pair-1 -- sh -c \
        'ps -o pid,args | grep "[s]leep 2000" | while read pid rest; do kill -9 $pid; done'
    await_pod pair-1 "any(c.get('restarts') for c in status['containers'])" >/dev/null
    [ "$(kctl logs -c side --previous pair-1)" = side ]
    await 10 eval '[ "$(kctl logs -c side pair-1)" = "side
side" ]' # what the second run says comes a moment after it is told to run
    [ -z "$(kctl logs --since 1ms pair-1)" ]
    [ -n "$(kctl logs --since 1h pair-1)" ]
}

@test "health: what is not well is restarted, and told" {
    kctl schedule "$IMAGE" --name ill --cpu 50m --mem 16M --stop-grace 300ms \
        --health-cmd '[ ! -e /tmp/sick ]' --health-interval 100ms --health-retries 2 \
        -- sh -c 'rm -f /tmp/sick; exec sleep 1000' >/dev/null
    await_pod ill-1 "status.get('ready')" >/dev/null
    kctl exec ill-1 -- touch /tmp/sick
    await_pod ill-1 "status.get('restarts') == 1 and status.get('ready')" >/dev/null
    kctl events --pod ill-1 | grep -q 'unhealthy: 2 checks failed'
    expect 2 schedule "$IMAGE" --health-http 0
    [[ $output == *'--health-http: "0" is not like 8080/health'* ]]
    expect 2 schedule "$IMAGE" --health-retries 2
    [[ $output == *'health: one of command, http_port and tcp_port is needed'* ]]
}

@test "health by http and by tcp" {
    local well=(--cpu 100m --mem 16M --stop-grace 300ms --health-interval 200ms
        --health-retries 2 --health-start-period 3s) # a slow machine's are up by then
    kctl schedule "$IMAGE" --name site "${well[@]}" --health-http 80/well -- sh -c \
        'touch /www/well; exec httpd -f -p 80 -h /www' >/dev/null
    kctl schedule "$IMAGE" --name port "${well[@]}" --health-tcp 7000 -- sh -c \
        'httpd -p 7000; exec sleep 1000' >/dev/null
    await_pod site-1 "status.get('ready')" >/dev/null
    await_pod port-1 "status.get('ready')" >/dev/null
    kctl exec site-1 -- rm /www/well
    kctl exec port-1 -- killall httpd
    await_pod site-1 "status.get('restarts') == 1 and status.get('ready')" 30 >/dev/null
    await_pod port-1 "status.get('restarts') == 1 and status.get('ready')" 30 >/dev/null
}

@test "ready: what is not runs on, and is told" {
    kctl schedule "$IMAGE" --name warms --cpu 50m --mem 16M --stop-grace 300ms \
        --ready-cmd '[ -e /tmp/warm ]' --ready-interval 100ms -- sleep 1000 >/dev/null
    kctl describe pod warms-1 | grep -q '^ready  *no$'
    kctl exec warms-1 -- touch /tmp/warm
    await_pod warms-1 "status.get('ready')" >/dev/null
    kctl describe pod warms-1 | grep -q '^ready  *yes$'
    kctl exec warms-1 -- rm /tmp/warm
    await_pod warms-1 "not status.get('ready')" >/dev/null
    await_pod warms-1 "phase == 'running' and not status.get('restarts')" >/dev/null
    # By http and tcp, as a file says it, too.
    cat >"$BATS_TEST_TMPDIR/pod.yaml" <<YAML
app: open
resources: {cpu_milli: 50m, memory_bytes: 16M}
containers:
- {name: page, image: $IMAGE, ready: {http_port: 80, interval_ms: 100ms}}
- {name: port, image: $IMAGE, command: [httpd, -f, -p, "81"], ready: {tcp_port: 81, interval_ms: 100ms}}
YAML
    kctl schedule -f "$BATS_TEST_TMPDIR/pod.yaml" >/dev/null
    await_pod open-1 "status.get('ready')" >/dev/null
    kctl exec -c port open-1 -- sh -c 'ps -o pid,args | grep "[h]ttpd -f -p 80" | while read pid rest; do kill -STOP $pid; done'
    await_pod open-1 "not status.get('ready')" >/dev/null
    expect 2 schedule "$IMAGE" --ready-http 0
    [[ $output == *'--ready-http: "0" is not like 8080/health'* ]]
    expect 2 schedule "$IMAGE" --ready-interval 1s
    [[ $output == *'ready: one of command, http_port and tcp_port is needed'* ]]
}

@test "exec: 125 when the stream is lost, and the program goes with it" {
    on_this_machine
    local node pid
    kctl exec pair-1 -- sh -c 'echo up; exec sleep 2971' >"$BATS_TEST_TMPDIR/out" &
    pid=$!
    await 10 grep -q up "$BATS_TEST_TMPDIR/out"
    node=$(kctl get pods -o json | python3 -c 'import json, sys; print(json.load(sys.stdin)["pods"][0]["node"])')
    kill -9 "$(pgrep -f "knode --name $node .*$WORK")"
    wait $pid || status=$?
    [ "${status:-0}" = 125 ]
    await 10 bash -c '! pgrep -f "[s]leep 2971"'
}

# Ask MASTER for a program, and kill another, or itself, while it runs.
lost_with() { # MASTER KILLED SECONDS
    local pid status=0 said=$BATS_TEST_TMPDIR/$3
    kctl exec --config "$(only "$1")" lone-1 -- sh -c "echo up; exec sleep $3" \
        >"$said" &
    pid=$!
    await 10 grep -q up "$said"
    kill -9 "$(pgrep -f "kmaster --name $2 .*$WORK")"
    wait $pid || status=$?
    [ "$status" = 125 ]
    await 10 bash -c "! pgrep -f '[s]leep $3'"
}

# The last one: no majority is left.
@test "exec: 125 when a master on the way dies: who leads, or who was asked" {
    on_this_machine
    local node=n1 asked leader
    [ "$(pod_field pair-1 .node)" != n1 ] || node=n2 # the other's knode was killed
    kctl schedule "$IMAGE" --name lone --cpu 50m --mem 16M --node $node -- sleep 1000 >/dev/null
    asked=$(a_master_that follower)
    leader=$(a_master_that leader)
    lost_with "$asked" "$leader" 2972
    await 10 a_master_that leader
    lost_with "$asked" "$asked" 2973
}
