# lab.bats - what the lab decides before it boots anything: whether KVM is usable.
# QEMU is a script of the test's, the device a file: no machine runs.

load lib.bash

setup() {
    PATH=$BATS_TEST_TMPDIR:$PATH
    device=$BATS_TEST_TMPDIR/kvm
    touch "$device"
}

qemu() { # SCRIPT, in which $serial is the console's file
    cat >"$BATS_TEST_TMPDIR/qemu-system-x86_64" <<SH
#!/bin/sh
echo \$\$ >"$BATS_TEST_TMPDIR/ran"
for word; do
    case \$word in file:*) serial=\${word#file:} ;; esac
done
$1
SH
    chmod +x "$BATS_TEST_TMPDIR/qemu-system-x86_64"
}

decides() { # ACCELERATOR
    [ "$(KVM=${KVM-1} KVM_SECONDS=2 "$ROOT/deploy/lab/accelerator" /nowhere "$device")" = "$1" ]
}

@test "a machine that came up proves KVM" {
    qemu 'printf "noise\r\nproven\r\n" >"$serial"'
    decides kvm
}

@test "one that says nothing of the kind does not" {
    qemu 'echo "Kernel command line: rdinit=/bin/busybox -- echo proven" >"$serial"'
    decides tcg
    qemu 'echo "Could not access KVM kernel module" >&2; exit 1'
    decides tcg
}

@test "one that hangs is given up in time, and nobody waits for it" {
    local began=$SECONDS
    qemu 'trap "" TERM; exec sleep 1000'
    decides tcg
    [ $((SECONDS - began)) -le 4 ]
    await 5 gone "$(cat "$BATS_TEST_TMPDIR/ran")"
}

@test "nothing is tried unless asked for, and where there is no device" {
    qemu 'echo proven >"$serial"'
    KVM= decides tcg
    rm "$device"
    decides tcg
    [ ! -e "$BATS_TEST_TMPDIR/ran" ]
}
