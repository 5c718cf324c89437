# drills.bash - plugs are pulled.

# How long a request waits for its acknowledgement, in ms.
acknowledged_ms() { # NAME
    local began
    began=$(now_ms)
    kctl schedule "$IMAGE" "${SMALL[@]}" --name "$1" --node n1 --detach >&2
    echo $(($(now_ms) - began))
}

pods_untouched() {
    [ "$(pod_field one-1 .status.restarts)" = 0 ]
    [ "$(pod_field two-1 .status.restarts)" = 0 ]
}

leader_dies() {
    local name
    name=$(leader)
    echo "$name" >"$WORK/old-leader"
    power_off "$name"
    note "$name off; acknowledged after $(acknowledged_ms survived) ms"
    await 30 masters_are 2
    [ "$(leader)" != "$name" ]
    await_pod survived-1 'phase == "running"' 30
    kctl stop survived
    pods_untouched
}

master_returns() {
    power_on "$(cat "$WORK/old-leader")"
    await 120 masters_are 3
    await 10 all_equal
}

all_equal() { kctl masters | awk 'NR > 1 && $7 ~ /^[1-9]/ {exit 1}'; }

# The leader neither hears nor is heard, and comes back to find another one.
leader_cut_off() {
    local name
    name=$(leader)
    link_cut "$name"
    note "$name cut off; acknowledged after $(acknowledged_ms apart) ms"
    [ "$(leader)" != "$name" ]
    link_heal "$name"
    await 30 masters_are 3
    await 10 all_equal
    kctl stop apart
    pods_untouched
}

# A pod that may run anywhere, and is on NODE now.
roam_to() { # NAME NODE OTHER
    kctl node cordon "$3"
    kctl schedule "$IMAGE" "${SMALL[@]}" --name "$1"
    kctl node uncordon "$3"
    [ "$(pod_node "$1-1")" = "$2" ]
}

node_cut_off() {
    local began
    roam_to roams n2 n1
    began=$(now_ms)
    link_cut n2
    await_pod roams-1 'phase == "running" and pod["node"] == "n1"' 60
    note "on n1 after $(($(now_ms) - began)) ms"
    link_heal n2
    await 60 node_is n2 ready
    # What was replaced is stopped; what nobody could take over runs on.
    await 20 replaced_is_gone n2 roams-1
    await_pod two-1 'phase == "running" and status["restarts"] == 0' 30
}

replaced_is_gone() { # NODE POD
    ! traces "$1" | grep "pod-$(pod_field "$2" .id)\$"
}

node_dies() {
    local began
    roam_to flees n1 n2
    began=$(now_ms)
    power_off n1
    await_pod flees-1 'phase == "running" and pod["node"] == "n2"' 60
    note "on n2 after $(($(now_ms) - began)) ms"
}

node_returns() {
    power_on n1
    await 120 node_is n1 ready
    await_pod one-1 'phase == "running" and pod["node"] == "n1"' 60
    replaced_is_gone n1 flees-1
}

run_drills() {
    check "the leader's machine is powered off" leader_dies
    [ "${SHORT:-}" = 1 ] || {
        check "it is powered on, and catches up" master_returns
        check "the leader's link is cut, and healed" leader_cut_off
        check "a node's link is cut: its pods move; and healed" node_cut_off
    }
    check "a node's machine is powered off: its pods move" node_dies
    [ "${SHORT:-}" = 1 ] ||
        check "it is powered on: its pods come back, nothing is left" node_returns
}
