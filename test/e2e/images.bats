# images.bats - the images of a cluster's nodes: listed, pulled, removed, swept,
# and those that are file systems.

load lib.bash

setup_file() {
    work_make
    registry_up
    image_push
    cluster_up
}

teardown_file() {
    cluster_down
    registry_down
    work_remove
}

# IMAGE under another tag: the same layers.
tag() {
    skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:latest" \
        "docker://127.0.0.1:$REGISTRY_PORT/busybox:$1"
}

# What `image ls` says of a node's images: `images NODE .in_use` ...
images() {
    kctl image ls --node "$1" -o json | python3 -c '
import json, sys
for image in json.load(sys.stdin)["nodes"][0]["images"]:
    print(image[sys.argv[1].strip(".")], *image["references"])' "$2"
}

@test "an image is pulled to every node, listed and removed" {
    expect 0 image pull "$IMAGE"
    [ "$(grep -c "^n[12]  sha256:[0-9a-f]\{64\}" <<<"$output")" = 2 ]
    expect 0 image ls
    [ "$(grep -c "$IMAGE" <<<"$output")" = 2 ]
    expect 0 df
    [[ ${lines[0]} == NODE*DISK*UNUSED ]]
    [[ ${lines[1]} == n1* ]] && [[ ${lines[2]} == n2* ]]
    expect 0 image rm "$IMAGE" --node n1
    [[ $output == *"n1  removed $IMAGE"* ]]
    expect 4 image rm "$IMAGE" --node n1
    expect 0 image rm "$IMAGE"
    [[ $output != *n1* ]] && [[ $output == *"n2  removed"* ]]
    expect 4 image rm "$IMAGE"
    [[ $output == *"no node has image $IMAGE"* ]]
    [ -z "$(images n1 .layers)$(images n2 .layers)" ]
    [ -z "$(ls "$WORK"/cluster/n?/images/layers/sha256 | grep -v :)" ]
}

@test "what a pod uses stays until it is gone" {
    kctl schedule "$IMAGE" --name user --node n1 --cpu 100m --mem 32M -- /bin/sleep 1000
    [ "$(images n1 .in_use)" = "True $IMAGE" ]
    expect 5 image rm "$IMAGE" --node n1
    [[ $output == *"in use by a pod"* ]]
    expect 0 image prune --node n1
    [ "$(images n1 .in_use)" = "True $IMAGE" ]
    kctl image ls -o json | python3 -c '
import json, sys
n1 = json.load(sys.stdin)["nodes"][0]
assert n1["unused_bytes"] == 0 and n1["layer_bytes"] > 0, n1'
    kctl stop user
    await_pod user-1 'phase == "stopped"' >/dev/null
    [ "$(images n1 .in_use)" = "False $IMAGE" ]
    expect 0 image prune --unused-for 1h --node n1
    [ "$(images n1 .in_use)" = "False $IMAGE" ]
    expect 0 image prune --node n1
    [ -z "$(images n1 .in_use)" ]
}

@test "one layer of two images is counted once" {
    tag 2
    kctl image pull "$IMAGE" --node n2
    kctl image pull "${IMAGE%:*}:2" --node n2
    kctl image ls --node n2 -o json | python3 -c '
import json, sys
n2 = json.load(sys.stdin)["nodes"][0]
image, = n2["images"]
assert len(image["references"]) == 2, n2
assert image["bytes"] == image["own_bytes"] == n2["layer_bytes"], n2'
    expect 0 image rm "${IMAGE%:*}:2" --node n2
    [ "$(images n2 .layers)" = "1 $IMAGE" ]
}

@test "a viewer may look and not touch" {
    python3 - "$KONTOR_CONFIG" "$WORK/viewer.json" <<'PY'
import json, os, sys
config = json.load(open(sys.argv[1]))
config["pki"] = os.path.join(os.path.dirname(sys.argv[1]), config["pki"])
config["identity"] = "viewer"
json.dump(config, open(sys.argv[2], "w"))
PY
    expect 0 image ls --config "$WORK/viewer.json"
    expect 6 image prune --config "$WORK/viewer.json" --node n1
    expect 6 image pull "$IMAGE" --config "$WORK/viewer.json" --node n1
}

@test "what cannot be is said" {
    expect 4 image ls --node n9
    [[ $output == *'no node is called "n9"'* ]]
    expect 4 image pull "${IMAGE%:*}:none" --node n1
    [[ $output == *"has no manifest none"* ]]
    expect 2 image rm
    expect 2 image pull "squashfs:/etc/passwd" --node n1
    [[ $output == *"node n1: image squashfs:/etc/passwd: /etc/passwd holds no squashfs"* ]]
}

@test "pods on file systems, and no loop device is left" {
    umoci unpack --image "$WORK/image:latest" "$WORK/b" >/dev/null 2>&1
    mksquashfs "$WORK/b/rootfs" "$WORK/root.squashfs" -quiet -no-progress
    mkfs.erofs "$WORK/root.erofs" "$WORK/b/rootfs" >/dev/null
    truncate -s 32M "$WORK/root.ext4"
    mkfs.ext4 -q -d "$WORK/b/rootfs" "$WORK/root.ext4"
    for type in squashfs erofs ext4; do
        kctl schedule "$type:$WORK/root.$type" --name "$type" --node n1 \
            --cpu 100m --mem 32M --restart never -- /bin/sh -c \
            "echo new >/new && cat /new && ls -d /bin/busybox" >/dev/null 2>&1 || true
        await_pod "$type-1" 'phase == "succeeded"' >/dev/null
        run kctl logs "$type-1"
        [ "$output" = "$(printf 'new\n/bin/busybox')" ]
    done
    [[ $(images n1 .layers) == *"1 squashfs:$WORK/root.squashfs"* ]]
    [ -z "$(grep -l "$WORK" /sys/block/loop*/loop/backing_file 2>/dev/null)" ]
    kctl image prune --node n1
    [ -z "$(ls "$WORK/cluster/n1/images/files")" ]
}

images_are() { # NODE WHAT
    [ "$(images "$1" .in_use)" = "$2" ]
}

@test "an image that nobody used for --image-keep goes, what a pod uses stays" {
    local other=127.0.0.1:$REGISTRY_PORT/other:1
    umoci insert --image "$WORK/image:latest" --tag other "$BATS_TEST_FILENAME" /other
    skopeo copy -q --dest-tls-verify=false "oci:$WORK/image:other" "docker://$other"
    knode_again n1 --image-keep 1s
    await 20 kctl image pull "$other" --node n1
    kctl schedule "$IMAGE" --name keeps --node n1 --cpu 100m --mem 32M --stop-grace 300ms \
        -- sleep 1000 >/dev/null
    await 10 images_are n1 "True $IMAGE"
    kctl stop keeps
    await_pod keeps-1 'phase == "stopped"' >/dev/null
    await 10 images_are n1 ""
}
