# refusals.bats - bad input gets an error that names the thing, and kctl the
# exit code of that kind of error (client/README.md). What happens to masters
# with a full disk and damaged files stands in disks.bats.

load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    mkdir "$WORK/outside" "$WORK/bad"
    cluster_up --nodes 1
    (
        cd "$WORK/cluster/pki"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes \
            -subj "/O=kontor/OU=ca/CN=other" -days 2 -keyout other.key \
            -out other.crt
        certificate admin expired ca 20200101000000Z 20200102000000Z
        certificate admin stranger other 20200101000000Z 20910101000000Z
        certificate admin nobody ca 20200101000000Z 20910101000000Z
        certificate master old ca 20200101000000Z 20200102000000Z
        rm nobody.crt
    ) 2>"$WORK/openssl.log"
}

teardown_file() {
    cluster_down
    registry_down
    work_remove
}

schedule() { # CODE IMAGE [OPTIONS]: kctl says it in $output
    expect "$1" schedule --timeout 20s --restart never "${@:2}"
}

says() { # WORDS... that $output has
    local words
    for words in "$@"; do
        if [[ $output != *"$words"* ]]; then
            echo "\"$words\" is not said: $output" >&2
            return 1
        fi
    done
}

# An image of bad_image.py's KIND is refused with WORDS, and nothing of it is
# outside: `bad KIND WORDS...`.
bad() {
    local kind=$1
    /usr/bin/python3 "$BATS_TEST_DIRNAME/bad_image.py" "$kind" \
        "$WORK/bad/$kind" "$WORK/outside/escaped"
    schedule 1 "oci:$WORK/bad/$kind:latest" --name bad
    says "${@:2}"
    [ -z "$(ls "$WORK/outside")" ]
}

as() { # IDENTITY: config.json of somebody else, as $CONFIG
    CONFIG=$WORK/cluster/$1.json
    sed "s/\"admin\"/\"$1\"/" "$KONTOR_CONFIG" >"$CONFIG"
}

# ---- images ----

@test "an unknown image" {
    schedule 1 "127.0.0.1:$REGISTRY_PORT/nothing:1"
    says "registry 127.0.0.1:$REGISTRY_PORT has no manifest 1 in nothing"
}

@test "an unknown tag, in a registry and in a layout" {
    schedule 1 "127.0.0.1:$REGISTRY_PORT/busybox:nine"
    says "registry 127.0.0.1:$REGISTRY_PORT has no manifest nine in busybox"
    schedule 1 "oci:$WORK/image:nine"
    says 'no image is tagged "nine"' "$WORK/image"
}

@test "a layout that is not there" {
    schedule 1 "oci:$WORK/nothing:latest"
    says "OCI layout $WORK/nothing: No such file or directory"
}

@test "a reference that is none" {
    schedule 1 "127.0.0.1:$REGISTRY_PORT/Busy//box"
    says "127.0.0.1:$REGISTRY_PORT/Busy//box" "lower-case"
}

@test "a registry that is down is tried again, and named" {
    local port
    port=$(free_port)
    expect 124 schedule "127.0.0.1:$port/web:1" --name later --timeout 2s
    says "registry 127.0.0.1:$port" "connect"
    expect 0 get pods
    says "registry 127.0.0.1:$port" "next attempt in"
    expect 0 stop later
}

@test "a blob that the registry has damaged" {
    skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:latest" \
        "docker://127.0.0.1:$REGISTRY_PORT/damaged:1"
    local digest file
    digest=$(skopeo inspect --raw "oci:$WORK/image:latest" |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["layers"][0]["digest"])')
    file=$(echo "$WORK"/registry/docker/registry/v2/blobs/sha256/*/"${digest#sha256:}"/data)
    cp "$file" "$WORK/blob"
    # Eight bytes: one might have been what it becomes.
    dd if=/dev/zero of="$file" bs=1 count=8 seek=5000 conv=notrunc status=none
    schedule 1 "127.0.0.1:$REGISTRY_PORT/damaged:1"
    cp "$WORK/blob" "$file"
    says "$digest" "127.0.0.1:$REGISTRY_PORT/damaged:1"
    # As it should be, it is taken.
    schedule 0 "127.0.0.1:$REGISTRY_PORT/damaged:1" -- true
}

@test "a blob of a layout that was changed" {
    bad digest "layer sha256:"
}

@test "a layer that is not what the image's config says" {
    bad diff_id "layer sha256:" "the image's config says sha256:"
}

@test "a layer that climbs by .." {
    bad parent "layer sha256:" 'path has ".."'
    bad parent_inside "layer sha256:" 'path has ".."'
}

@test "a layer that climbs by a symbolic link" {
    bad symlink '"out" leads out of the layer'
    bad symlink_parent '"out" leads out of the layer'
    bad symlink_chain '"b" leads out of the layer'
}

@test "a layer that climbs by a hard link" {
    bad hardlink 'entry "out", hard link to' "neither this layer nor one below"
    bad hardlink_parent 'entry "out": hard link to' 'path has ".."'
    bad hardlink_symlink 'entry "in": hard link to' "leads out of the layer"
}

@test "absolute names and replaced links stay inside" {
    # Nothing is wrong with them but that the program is missing.
    bad absolute "exec /no/such/program: no such file in the image"
    bad symlink_itself "exec /no/such/program: no such file in the image"
}

@test "a manifest, a config and a layer of a wrong type" {
    bad manifest_type "docker.plugin" "is not an image's"
    bad config_type "vnd.cncf.helm+json" "not a container image"
    bad layer_type "application/x-rar" "layer 0"
}

# What a pod has and may, whatever its number: seen from the machine.
holdings() { # POD
    local process kind file
    process=$(pod_process "$1")
    awk '{print $4 == "/" ? "" : "part", $5, $6}' "/proc/$process/mountinfo"
    grep -E '^(Uid|Gid|Groups|Cap.*|NoNewPrivs|Seccomp):' "/proc/$process/status"
    (cd "/proc/$process/root" && ls -1 . dev && ls -l dev/null)
    tr '\0' '\n' <"/proc/$process/environ" | grep -v ^HOSTNAME=
    for kind in cgroup ipc mnt net pid user uts; do
        [ "/proc/$process/ns/$kind" -ef "/proc/self/ns/$kind" ] && echo "$kind"
    done
    for file in cpu/cpu.cfs_quota_us cpu.max memory/memory.limit_in_bytes \
        memory.max pids/pids.max pids.max devices/devices.list; do
        cat "$(pod_group "$1" "${file%/*}")/${file#*/}" 2>/dev/null || true
    done
    kctl describe pod "$1" -o json | python3 -c '
import json, sys
pod = json.load(sys.stdin)
print(pod["node"], pod["spec"].get("resources"), pod["spec"].get("cap_add"))'
}

# CVE-2022-23648: a volume took what its path led to on the machine along.
# CVE-2026-53488: an image's labels became those by which the agent is told.
@test "volumes, labels and annotations of an image change nothing" {
    local kind
    echo secret >"$WORK/outside/secret"
    for kind in box volumes labels annotations; do
        /usr/bin/python3 "$BATS_TEST_DIRNAME/bad_image.py" "$kind" \
            "$WORK/bad/$kind" "$WORK/outside/escaped"
        schedule 0 "oci:$WORK/bad/$kind:latest" --name "plain-$kind" --cpu 50m \
            --mem 32M -- sleep 1000
    done
    holdings plain-box-1 >"$WORK/box"
    [ "$(wc -l <"$WORK/box")" -gt 40 ]
    for kind in volumes labels annotations; do
        diff "$WORK/box" <(holdings "plain-$kind-1")
    done
    [ -z "$(find "$WORK/cluster" "$WORK/outside" -name secret -newer "$WORK/outside/secret")" ]
    for kind in box volumes labels annotations; do
        expect 0 stop "plain-$kind"
    done
    [ "$(ls "$WORK/outside")" = secret ]
    rm "$WORK/outside/secret"
}

@test "no such program in the image" {
    schedule 1 "$IMAGE" -- /no/such
    says "exec /no/such: no such file in the image"
}

# ---- requests ----

@test "more than any node could ever hold" {
    expect 3 schedule "$IMAGE" --name huge --cpu 900 --timeout 1s
    says "no node could ever hold it: asks 900 cpu"
    expect 0 stop huge
}

@test "quantities that are none" {
    expect 2 schedule "$IMAGE" --mem 512m
    says '"512m" would be thousandths of a byte; did you mean 512M?'
    expect 2 schedule "$IMAGE" --cpu two
    says '--cpu: "two" is no amount of cpu'
    expect 2 schedule "$IMAGE" --net 1Gx
    says '--net: "1Gx": "Gx" is no unit'
    expect 2 schedule "$IMAGE" --disk -1
    says '--disk'
    expect 2 schedule "$IMAGE" --io 512K
    says 'spec.io_bytes is 524288, 1Mi to 2^50 a second are allowed'
}

@test "a name that is taken" {
    expect 0 schedule "$IMAGE" --name taken
    expect 5 schedule "$IMAGE" --name taken
    says "app taken has a pod that lives"
    expect 0 stop taken
}

@test "pods and nodes that are not there" {
    for verb in "stop" "why" "logs" "describe pod" "describe node"; do
        # shellcheck disable=SC2086
        expect 4 $verb ghost
        says '"ghost"'
    done
}

@test "a word that is no verb" {
    expect 2 shedule web:1
    says 'did you mean "schedule"?'
}

# ---- certificates ----

@test "kctl with a role that may not" {
    as viewer
    expect 0 get pods --config "$CONFIG"
    expect 6 stop ghost --config "$CONFIG"
    says "viewer may not call" "Stop"
    as n1
    expect 6 get pods --config "$CONFIG"
    says "node n1 may not call"
}

@test "kctl with an expired, a strange or no certificate" {
    as expired
    expect 6 get pods --config "$CONFIG"
    says "pki/expired.crt is valid from" "2020"
    as stranger
    expect 6 get pods --config "$CONFIG"
    says "refused the connection" "unknown ca"
    as nobody
    expect 6 get pods --config "$CONFIG"
    says "pki/nobody.crt: No such file or directory"
}

@test "kctl without a configuration, and with no master there" {
    expect 2 get pods --config "$WORK/none.json"
    says "$WORK/none.json"
    sed 's/10\.77\.0\.1:74[0-9]*/127.0.0.1:1/' "$KONTOR_CONFIG" \
        >"$WORK/cluster/down.json"
    expect 7 get pods --config "$WORK/cluster/down.json"
    says "no master can be reached" "127.0.0.1:1" "connection refused"
}

daemon() { # PROGRAM NAME: started with what would be right, it ends in time
    case $1 in
    kmaster) set -- "$@" --members "$2=127.0.0.1:7900" ;;
    knode) set -- "$@" --listen 127.0.0.1:7900 --masters 127.0.0.1:7901 ;;
    esac
    run timeout 20 "$1" --name "$2" --data "$WORK/unused" \
        --pki "$WORK/cluster/pki" "${@:3}"
    [ "$status" = 6 ]
    [ ! -e "$WORK/unused" ]
}

@test "kmaster and knode with certificates that are not theirs" {
    daemon kmaster old
    says "pki/old.crt is valid from" "2020"
    daemon kmaster n1
    says "pki/n1.crt is for node n1, not for master n1"
    daemon kmaster none
    says "pki/none.crt: No such file or directory"
    daemon knode expired
    says "pki/expired.crt is valid from" "2020"
    daemon knode m1
    says "pki/m1.crt is for master m1, not for node m1"
    daemon knode none
    says "pki/none.crt: No such file or directory"
    cp "$WORK/cluster/pki/other.key" "$WORK/cluster/pki/wrong.key"
    cp "$WORK/cluster/pki/m1.crt" "$WORK/cluster/pki/wrong.crt"
    daemon kmaster wrong
    says "pki/wrong.key is not the key of" "pki/wrong.crt"
}

# Last: what was refused left nothing behind.
@test "nothing is left of what was refused" {
    expect 0 get pods
    [[ $output != *Running* ]]
    [ -z "$(ls "$WORK/outside")" ]
    expect 0 masters
    [[ $output != *down* ]]
}
