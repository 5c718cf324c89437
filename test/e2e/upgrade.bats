# upgrade.bats - knode, kpod and kpull are replaced by other files, as a package
# does it, while pods run: none ends, no exit code and no byte of output is lost.

load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    # Programs of our own, to be replaced.
    mkdir "$WORK/bin"
    cp "$B"/bin/* "$WORK/bin"
    PATH=$WORK/bin:$PATH
    cluster_up
}

teardown_file() {
    PATH=$WORK/bin:$PATH
    [ -e "$WORK/knode.pid" ] && kill "$(cat "$WORK/knode.pid")" 2>/dev/null
    cluster_down
    registry_down
    work_remove
}

# Other files under the same names: what runs keeps the ones it has.
replace_programs() {
    local name
    for name in knode kpod kpull; do
        cp "$WORK/bin/$name" "$WORK/bin/$name.new"
        echo "of the next version" >>"$WORK/bin/$name.new"
        mv "$WORK/bin/$name.new" "$WORK/bin/$name"
    done
}

knode_pid() {
    python3 -c '
import json, sys
print(*(n["pid"] for n in json.load(open(sys.argv[1]))["nodes"] if n["name"] == "n1"))' \
        "$WORK/cluster/state.json"
}

gone() { # PID
    ! grep -q '^State:[[:space:]]*[^ZX]' "/proc/$1/status" 2>/dev/null
}

# Numbers without end, a line each; `count LINES` of output, none missing.
counts_without_gap() { # POD
    kctl logs "$1" | awk '$1 != NR { exit 1 } END { exit NR < 100 }'
}

@test "programs are replaced under running pods" {
    PATH=$WORK/bin:$PATH
    kctl schedule "$IMAGE" --cpu 200m --mem 32M --disk 32M --name count --node n1 \
        -- sh -c 'i=0; while :; do i=$((i+1)); echo $i; usleep 1000; done'
    kctl schedule "$IMAGE" --cpu 50m --mem 32M --name job --node n1 --restart never \
        -- sh -c 'echo one; until [ -e /tmp/go ]; do sleep 0.02; done; echo two; exit 6'
    process=$(pod_process count-1)
    job=$(pod_process job-1)
    address=$(pod_field count-1 .status.address)
    knode=$(knode_pid)
    mapfile -d '' words <"/proc/$knode/cmdline"
    kill "$knode"
    await 10 gone "$knode"
    replace_programs
    touch "/proc/$job/root/tmp/go"
    await 5 gone "$job"
    setsid nsenter --net=/run/netns/kdev-n1 "${words[@]}" \
        >>"$WORK/cluster/n1.log" 2>&1 </dev/null 3>&- &
    echo $! >"$WORK/knode.pid"
    await_pod job-1 'phase == "failed" and status["exit_code"] == 6'
    [ "$(kctl logs job-1)" = $'one\ntwo' ]
    await_pod count-1 'phase == "running" and status["restarts"] == 0'
    [ "$(pod_process count-1)" = "$process" ]
    [ "$(pod_field count-1 .status.address)" = "$address" ]
    await 10 counts_without_gap count-1
    # New ones begin with the new programs, and old ones end as ever.
    kctl schedule "$IMAGE" --cpu 50m --mem 32M --name new --node n1 -- sleep 1000
    kctl stop count
    kctl stop new
    await_pod count-1 'phase == "stopped"'
    await_pod new-1 'phase == "stopped"'
    [ "$(node_traces n1)" = "" ]
    ! grep -lF "$WORK/" /sys/block/loop*/loop/backing_file
}
