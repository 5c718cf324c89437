# images.bash - the figures of pulls: half of containerd's time with gzip, a quarter
# with zstd, and 32 MB with 16 more for each of four layers in flight.

part() { awk -v part="$1" -v of="$2" 'BEGIN {printf "%.0f", of / part}'; }

measure_images() {
    local peer
    RUNS=${RUNS:-5} test/bench/image >>"$log"
    peer=$(said 'containerd gzip' median)
    figure '200 MB image of 6 gzip layers, pull and unpack' \
        "$(said 'kontor gzip' median) ms" "<= $(part 2 "$peer") ms" \
        "containerd: $peer ms, skopeo + umoci: $(said 'skopeo + umoci gzip' median) ms"
    peer=$(said 'containerd zstd' median)
    figure '  the same, zstd' "$(said 'kontor zstd' median) ms" \
        "<= $(part 4 "$peer") ms" "containerd: $peer ms"
    peer="containerd: $(said 'containerd memory:' '') MB"
    figure '  memory at most, gzip' "$(said 'kontor gzip memory:' '') MB" '<= 96 MB' "$peer"
    figure '  memory at most, zstd' "$(said 'kontor zstd memory:' '') MB" '<= 96 MB' "$peer"
}
