# tunnel.bats - nodes whose pods reach each other through VXLAN alone, as where there is
# a router between all of them: what pods and nodes see of it.

load lib.bash

setup_file() {
    local name
    work_make
    registry_up
    image_push
    cluster_up
    for name in n1 n2; do
        knode_again $name --overlay always
    done
    for name in n1 n2; do
        await 20 has_tunnel $name
    done
    kctl schedule "$IMAGE" --cpu 100m --mem 32M --name near --node n1 >/dev/null
    kctl schedule "$IMAGE" --cpu 100m --mem 32M --name far --node n2 >/dev/null
}

teardown_file() {
    cluster_down
    registry_down
    work_remove
}

on() { # NODE COMMAND...
    ip netns exec "kdev-$1" "${@:2}"
}

# The way to the other node's pods is the tunnel's.
has_tunnel() { # NODE
    on "$1" ip route | grep -q "dev $(tunnel "$1") .*onlink"
}

tunnel() { # NODE: the interface's name
    on "$1" ip -j link show type vxlan | field_of_first ifname
}

field_of_first() {
    python3 -c 'import json, sys; print(json.load(sys.stdin)[0][sys.argv[1]])' "$1"
}

address() { pod_field "$1-1" .status.address; }

says_hello() { # COMMAND...
    [ "$("$@")" = "hello from a pod" ]
}

# Frames that a node's tunnel sent and received.
frames() { # NODE
    on "$1" cat "/sys/class/net/$(tunnel "$1")/statistics"/{t,r}x_packets
}

@test "pods answer each other, both ways, and each other's node" {
    await 10 says_hello kctl exec near-1 -- wget -q -O - "http://$(address far)/"
    await 10 says_hello kctl exec far-1 -- wget -q -O - "http://$(address near)/"
    says_hello on n1 curl -fs "http://$(address far)/"
    says_hello on n2 curl -fs "http://$(address near)/"
}

@test "there is room for the tunnel's headers: much comes through whole" {
    local mtu before after sum
    mtu=$(on n1 cat /sys/class/net/eth0/mtu)
    [ "$(kctl exec near-1 -- cat /sys/class/net/eth0/mtu)" = $((mtu - 50)) ]
    mapfile -t before < <(frames n1)
    sum=$(kctl exec near-1 -- sh -c 'head -c 4000000 /dev/urandom | tee /www/much | sha256sum')
    [ "$(kctl exec far-1 -- sh -c "wget -q -O - http://$(address near)/much | sha256sum")" = "$sum" ]
    mapfile -t after < <(frames n1)
    # No frame is larger than 64 KiB, whoever splits it.
    [ $((after[0] - before[0])) -ge $((4000000 / 65536)) ]
    [ $((after[1] - before[1])) -ge 1 ]
}
