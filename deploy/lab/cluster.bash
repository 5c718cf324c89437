# cluster.bash - from an image to a cluster that is ready.

MASTERS=(m1 m2 m3)
NODES=(n1 n2)

# A list of `FORMAT`, in which NAME and ADDRESS stand for each machine's,
# divided by commas.
list() { # FORMAT NAME...
    local format=$1 name out=
    shift
    for name in "$@"; do
        local item=${format//NAME/$name}
        out+=,${item//ADDRESS/${ADDRESS[$name]}}
    done
    echo "${out#,}"
}

kontor_uid() { awk -F: '$1 == "kontor" {print $3}' "$OUT/root/etc/passwd"; }

# Certificates, options and the enabled unit of each machine. The emulated
# processors are slow and share two real ones: masters wait longer for each
# other than they do by default.
cluster_make() {
    local masters nodes name pki unit options owner
    masters=$(list --master=NAME=ADDRESS:7400 "${MASTERS[@]}")
    nodes=$(list --node=NAME=ADDRESS:7500 "${NODES[@]}")
    # shellcheck disable=SC2086 # one word each
    kctl pki init "$WORK/pki" ${masters//,/ } ${nodes//,/ } >/dev/null
    export KONTOR_CONFIG=$WORK/pki/config.json
    for name in "${MASTERS[@]}" "${NODES[@]}"; do
        unit=knode
        owner=root
        options="--name $name --listen ${ADDRESS[$name]}:7500 --masters $(
            list ADDRESS:7400 "${MASTERS[@]}") --insecure-registry $REGISTRY_HOST:$REGISTRY_PORT \
            --net 1G" # a virtual card does not know its speed
        if [[ $name == m* ]]; then
            unit=kmaster
            owner=$(kontor_uid)
            options="--name $name --members $(list NAME=ADDRESS:7400 \
                "${MASTERS[@]}") --election-timeout 1s --heartbeat 200ms --lost-after 8s"
        fi
        pki=$(files "$name")/etc/kontor/pki
        mkdir -p "$pki" "$(files "$name")/etc/systemd/system/multi-user.target.wants"
        cp "$WORK/pki"/{ca.crt,"$name.crt","$name.key"} "$pki"
        chown -R "$owner" "$pki"
        echo "${unit^^}_OPTIONS=$options" >"$pki/../$unit.conf"
        ln -s "/usr/local/lib/systemd/system/$unit.service" \
            "$(files "$name")/etc/systemd/system/multi-user.target.wants/"
    done
}

boot() {
    local name
    for name in "${!ADDRESS[@]}"; do
        await 300 inside "$name" true || {
            tail -n 20 "$WORK/$name.console"
            return 1
        }
        [ "$(inside "$name" 'stat -fc %T /sys/fs/cgroup')" = cgroup2fs ]
        [ "$(inside "$name" 'cat /proc/1/comm')" = systemd ]
    done
    note "Linux $(inside m1 'uname -r') on $ACCELERATOR"
}

leader() { kctl masters | awk '$3 == "leader" {print $1}'; }

masters_are() { # how many are not down
    [ "$(kctl masters | awk '$3 ~ /^(leader|follower)$/' | wc -l)" = "$1" ] &&
        [ -n "$(leader)" ]
}

node_is() { # NODE STATUS
    kctl get nodes | awk -v name="$1" '$1 == name {print $2}' | grep -qix "$2"
}

cluster_ready() {
    await 60 masters_are 3
    await 60 node_is n1 ready
    await 60 node_is n2 ready
    kctl get nodes
}
