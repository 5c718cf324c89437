# image.bats - images by other people's tools (umoci builds, skopeo pushes,
# docker-registry serves), pulled by kpull: what overlayfs makes of
# the layers is what umoci unpacks.

load lib.bash

setup_file() {
    work_make
    registry_up
    layout=$WORK/layout
    umoci init --layout "$layout"
    umoci new --image "$layout:one"
    umoci unpack --image "$layout:one" "$WORK/b" >/dev/null 2>&1
    root=$WORK/b/rootfs
    mkdir -p "$root"/{bin,etc/old,var/cache,tmp}
    chmod 1777 "$root/tmp"
    cp /bin/busybox "$root/bin/busybox"
    chmod 4755 "$root/bin/busybox"
    ln "$root/bin/busybox" "$root/bin/sh"
    ln -s ../bin "$root/etc/link"
    echo one >"$root/etc/gone"
    echo one >"$root/etc/old/file"
    echo one >"$root/var/cache/file"
    echo one >"$root/etc/Főtanúsítvány.crt"
    chown -R 1000:1000 "$root/var/cache"
    python3 -c 'import os, sys; os.setxattr(sys.argv[1], "user.note", b"hi")' \
        "$root/etc/gone"
    umoci repack --image "$layout:one" "$WORK/b" >/dev/null 2>&1
    umoci repack --refresh-bundle --image "$layout:one" "$WORK/b" >/dev/null 2>&1
    rm "$root/etc/gone"
    rm -r "$root/etc/old"
    rm -r "$root/var/cache"
    mkdir -m 0700 "$root/var/cache"
    echo two >"$root/var/cache/new"
    umoci repack --image "$layout:two" "$WORK/b" >/dev/null 2>&1
    rm -r "$WORK/b"
    umoci unpack --image "$layout:two" "$WORK/b" >/dev/null 2>&1
}

teardown_file() {
    registry_down
    work_remove
}

setup() {
    STORE=$BATS_TEST_TMPDIR/store
}

teardown() {
    mountpoint -q "$BATS_TEST_TMPDIR/merged" && umount "$BATS_TEST_TMPDIR/merged"
    return 0
}

push() { # NAME [skopeo's options]
    local name=$1
    shift
    skopeo copy -q --dest-tls-verify=false "$@" "oci:$WORK/layout:two" \
        "docker://127.0.0.1:$REGISTRY_PORT/$name:1"
}

pull() { # REFERENCE
    "${PULLER:-kpull}" image-pull --store "$STORE" --work "$RANDOM" "$1" \
        >"$BATS_TEST_TMPDIR/records"
}

# Mode, owner, size and time of everything but folders' sizes and the root.
listing() {
    (cd "$1" && find . -mindepth 1 ! -type d -printf '%p %M %U:%G %s %T@ %l\n' \
        -o -type d -printf '%p %M %U:%G\n' | sort)
}

# The layers as kpull's answer lists them, the uppermost first, for overlayfs.
lowerdir() {
    python3 -c '
import re, struct, sys
data = sys.stdin.buffer.read()
while data[:1] != b"I":
    data = data[5 + struct.unpack_from("<I", data, 1)[0]:]
layers = re.findall(rb"layers/sha256/[0-9a-f]{64}", data)
print(":".join(sys.argv[1] + "/" + layer.decode() for layer in layers[::-1]))' \
        "$STORE" <"$BATS_TEST_TMPDIR/records"
}

# What overlayfs makes of the layers in the store is what umoci unpacked.
same_as_umoci() { # [what it unpacked]
    local merged=$BATS_TEST_TMPDIR/merged rootfs=${1:-$WORK/b}/rootfs
    mkdir -p "$merged"
    mount -t overlay overlay -o "ro,lowerdir=$(lowerdir)" "$merged"
    diff -r "$merged" "$rootfs"
    diff <(listing "$merged") <(listing "$rootfs")
    umount "$merged"
}

@test "an OCI image with gzip layers" {
    push gzip
    pull "127.0.0.1:$REGISTRY_PORT/gzip:1"
    same_as_umoci
}

@test "an OCI image with zstd layers" {
    push zstd --dest-compress-format zstd
    pull "127.0.0.1:$REGISTRY_PORT/zstd:1"
    same_as_umoci
}

@test "a Docker v2 schema 2 image" {
    push docker --format v2s2
    pull "127.0.0.1:$REGISTRY_PORT/docker:1"
    same_as_umoci
}

@test "an OCI layout" {
    pull "oci:$WORK/layout:two"
    same_as_umoci
}

@test "an OCI archive, plain and compressed" {
    skopeo copy -q "oci:$WORK/layout:two" "oci-archive:$BATS_TEST_TMPDIR/a.tar:two"
    pull "oci-archive:$BATS_TEST_TMPDIR/a.tar:two"
    same_as_umoci
    gzip "$BATS_TEST_TMPDIR/a.tar"
    pull "oci-archive:$BATS_TEST_TMPDIR/a.tar.gz"
    same_as_umoci
}

@test "an archive as docker saves it" {
    skopeo copy -q "oci:$WORK/layout:two" "docker-archive:$BATS_TEST_TMPDIR/d.tar:web:two"
    pull "docker-archive:$BATS_TEST_TMPDIR/d.tar"
    same_as_umoci
    pull "docker-archive:$BATS_TEST_TMPDIR/d.tar:web:two"
    run pull "docker-archive:$BATS_TEST_TMPDIR/d.tar:web:one"
    [ "$status" = 1 ]
    grep -qa "holds no image library/web:one but" "$BATS_TEST_TMPDIR/records"
}

@test "hard links, attributes and removed files are kept as they were" {
    pull "oci:$WORK/layout:two"
    for layer in "$STORE"/layers/sha256/*; do
        if [ -e "$layer/bin/sh" ]; then first=$layer; else second=$layer; fi
    done
    [ "$first/bin/sh" -ef "$first/bin/busybox" ]
    [ "$(python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.note").decode())' \
        "$first/etc/gone")" = hi ]
    [ -c "$second/etc/gone" ]
    [ "$(stat -c %t:%T "$second/etc/gone")" = 0:0 ]
    [ -e "$first/etc/Főtanúsítvány.crt" ]
}

# umoci ends such a layer in its last file: no padding, no end of the archive.
# It lists the file and not its folder, which a layer below made 0700.
@test "a layer that umoci inserts" {
    echo three >"$BATS_TEST_TMPDIR/three"
    umoci insert --image "$WORK/layout:two" --tag three \
        "$BATS_TEST_TMPDIR/three" /var/cache/three
    umoci unpack --image "$WORK/layout:three" "$BATS_TEST_TMPDIR/b" >/dev/null 2>&1
    pull "oci:$WORK/layout:three"
    same_as_umoci "$BATS_TEST_TMPDIR/b"
    [ "$(cat "$STORE"/layers/sha256/*/var/cache/three)" = three ]
    [ "$(stat -c %a "$BATS_TEST_TMPDIR/b/rootfs/var/cache")" = 700 ]
}

@test "an unknown tag is named" {
    run pull "127.0.0.1:$REGISTRY_PORT/gzip:none"
    [ "$status" = 1 ]
    grep -qa "has no manifest none in gzip" "$BATS_TEST_TMPDIR/records"
}

# A registry with TLS, known by a name and a certificate that only this mount
# namespace knows.
@test "https, and a certificate that nobody signed" {
    cd "$BATS_TEST_TMPDIR"
    port=$(free_port)
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
        -days 1 -subj /CN=registry.test -addext subjectAltName=DNS:registry.test \
        -keyout key.pem -out cert.pem 2>/dev/null
    echo "127.0.0.1 registry.test" >hosts
    cat >tls.yml <<YAML
version: 0.1
log: {level: error}
storage: {filesystem: {rootdirectory: $WORK/registry}}
http: {addr: 127.0.0.1:$port, tls: {certificate: $PWD/cert.pem, key: $PWD/key.pem}}
YAML
    push tls
    docker-registry serve tls.yml >tls.log 2>&1 3>&- &
    tls_pid=$!
    await 10 curl -fsk "https://127.0.0.1:$port/v2/"
    inside() { # the puller with arguments; $CA is what it trusts, or ""
        unshare --mount sh -c 'mount --bind hosts /etc/hosts
            [ -z "$CA" ] || mount --bind "$CA" /etc/ssl/certs/ca-certificates.crt
            exec "$@"' sh "${PULLER:-kpull}" image-pull "$@" >records
    }
    export CA=cert.pem
    inside --store "$STORE" --work 1 "registry.test:$port/tls:1" && good=0 || good=1
    mv records pulled
    CA=
    inside --store "$STORE.2" --work 1 "registry.test:$port/tls:1" && bad=0 || bad=1
    kill "$tls_pid"
    wait "$tls_pid" || true
    [ "$good" = 0 ]
    [ "$bad" = 1 ]
    grep -qa "registry registry.test:$port: SSL certificate problem" records
    mv pulled records
    same_as_umoci
}

@test "every program answers --help in text" {
    for program in kmaster knode "knode remove" kpod kpull "kpull image-pull" kctl; do
        $program --help >"$BATS_TEST_TMPDIR/help"
        grep -q "^[a-z: ]*$program " "$BATS_TEST_TMPDIR/help"
        [ -z "$(LC_ALL=C grep '[^[:print:][:space:]]' "$BATS_TEST_TMPDIR/help")" ]
    done
    run kpull image-pull
    [ "$status" = 2 ]
    [[ $output == *"kpull --help"* ]]
}
