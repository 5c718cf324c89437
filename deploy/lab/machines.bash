# machines.bash - the lab's virtual machines: their network, their power and a
# shell in them. Runs inside namespaces of its own (deploy/lab/run), so that
# all of it ends with the script.

declare -A ADDRESS=([m1]=10.77.0.1 [m2]=10.77.0.2 [m3]=10.77.0.3
    [n1]=10.77.0.11 [n2]=10.77.0.12)
REGISTRY_HOST=10.77.0.100 # and the address of the lab itself
REGISTRY_PORT=5000

# A switch, and a cable to it for each machine.
network_up() {
    ip link set lo up
    ip link add lab type bridge stp_state 0 forward_delay 0
    ip address add "$REGISTRY_HOST/24" dev lab
    ip link set lab up
    for name in "${!ADDRESS[@]}"; do
        ip tuntap add "cable-$name" mode tap
        ip link set "cable-$name" master lab up
    done
}

# What of a machine's files is not the image's: `files NAME` is a folder that
# is laid over its disk when it boots.
files() { echo "$WORK/$1.files"; }

machine_make() { # NAME
    local files
    files=$(files "$1")
    mkdir -p "$files/etc"
    echo "$1" >"$files/etc/hostname"
    md5sum <<<"$1" | cut -c 1-32 >"$files/etc/machine-id"
    qemu-img create -q -f qcow2 -F raw -b "$OUT/disk.ext4" "$WORK/$1.disk"
}

# While it boots the kernel measures its time stamp counter and whether the
# timer ticks. On an emulator that waits for a processor just then, the one is
# wrong by far and the other a panic: tsc=unstable, no_timer_check.
power_on() { # NAME
    local name=$1 work options
    options="console=ttyS0 quiet panic=1 tsc=unstable no_timer_check"
    options+=" cryptomgr.notests lab.address=${ADDRESS[$name]}/24"
    work=$(mktemp -d -p "$WORK")
    mkdir "$work/lab"
    cp -a "$(files "$name")/." "$work/lab/"
    cp "$OUT/initrd" "$WORK/$name.initrd" # an initrd may be several archives
    (cd "$work" && find lab | busybox cpio -o -H newc 2>/dev/null) \
        >>"$WORK/$name.initrd"
    rm -r "$work"
    qemu-system-x86_64 -accel "$ACCELERATOR" -cpu max -m 640 \
        -nodefaults -display none -no-reboot \
        -kernel "$OUT/vmlinuz" -initrd "$WORK/$name.initrd" \
        -append "$options" \
        -drive "file=$WORK/$name.disk,if=virtio,cache=unsafe" \
        -netdev "tap,id=net,ifname=cable-$name,script=no,downscript=no" \
        -device "virtio-net-pci,netdev=net,mac=$(printf 52:54:00:00:00:%02d "${ADDRESS[$name]##*.}")" \
        -serial "file:$WORK/$name.console" 2>"$WORK/$name.qemu" &
    echo $! >"$WORK/$name.pid"
    disown # or bash would tell of its end
}

# As if the plug was pulled.
power_off() { # NAME
    local pid
    pid=$(cat "$WORK/$1.pid")
    kill -KILL "$pid"
    tail --pid="$pid" -s 0.05 -f /dev/null
}

link_cut() { ip link set "cable-$1" down; }
link_heal() { ip link set "cable-$1" up; }

# Run a script in a machine and have its output and exit status:
# `inside NAME SCRIPT`. 255: the machine does not answer.
inside() {
    local said status
    said=$(printf '(%s\n) 2>&1\necho "status $?"\nexit\n' "$2" |
        timeout "${3:-60}" busybox nc "${ADDRESS[$1]}" 7)
    status=${said##*status }
    said=${said%status *}
    printf '%s' "$said"
    return "${status:-255}"
}

# The last words of the machines' daemons.
daemons_say() {
    local name
    for name in "${!ADDRESS[@]}"; do
        echo "$name:"
        inside "$name" 'journalctl -q -o cat -n 3 -u kmaster -u knode' 10
    done
}
