# lib.bash - what the benchmarks of whole clusters share: a network and mount
# namespace of their own, processes that are ended by their pid whatever
# happens, the table of figures, three masters and a node that runs nothing.
#
#   B          where the programs were built (default build/release)
#   BENCH_DIR  the disk that is measured (default /var/tmp)
set -euo pipefail
B=${B:-build/release}
case $B in /*) ;; *) B=$PWD/$B ;; esac
if [ "${BENCH_ALONE:-}" != yes ]; then
    exec env BENCH_ALONE=yes B="$B" unshare --net --mount sh -c '
        ip link set lo up
        mkdir -p /run/netns && mount -t tmpfs none /run/netns
        exec "$1"' sh "$PWD/test/bench/$(basename "$0")"
fi
PATH=$B/bin:$PATH
export BENCH_DIR=${BENCH_DIR:-/var/tmp}
work=$(mktemp -d "$BENCH_DIR/kontor-bench-XXXXXX")
log=$work/log # what the single benchmarks said
declare -A pid

# ---- how it ends, whatever happens ------------------------------------------

started() { # name pid
    pid[$1]=$2
    disown "$2" # bash announces whom a signal ended, and that is no news
}

stop_one() { # name in pid
    [ -n "${pid[$1]:-}" ] || return 0
    kill -9 "${pid[$1]}" 2>/dev/null || true
    while kill -0 "${pid[$1]}" 2>/dev/null; do sleep 0.01; done
    unset "pid[$1]"
}

clean_up() {
    local status=$?
    trap - EXIT
    if [ $status -ne 0 ]; then
        echo "bench: it went wrong; the ends of the logs:" >&2
        tail -v -n 4 "$work"/*.log "$work"/cluster/*.log >&2 2>/dev/null || true
    fi
    [ ! -d "$work/cluster" ] || kctl dev down --dir "$work/cluster" >/dev/null || status=1
    for name in "${!pid[@]}"; do stop_one "$name"; done
    umount -l "$work/pki" "$work/engine" 2>/dev/null || true
    rm -rf "$work"
    exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM

await() { # SECONDS COMMAND...
    local deadline=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        if [ $SECONDS -ge "$deadline" ]; then
            echo "bench: waited in vain for: $*" >&2
            return 1
        fi
        sleep 0.05
    done
}

# ---- how it talks -----------------------------------------------------------

rows=()

# One figure: `figure WHAT OURS TARGET PEERS`. TARGET is "<= 30 ms" or "300 m +- 5 %",
# or "" when there is none; only numbers of one unit are compared.
figure() {
    local met=
    if [ -n "$3" ]; then
        met=$(awk -v ours="$2" -v target="$3" 'BEGIN {
            split(target, t, " "); split(ours, o, " ")
            off = o[1] > t[1] + 0 ? o[1] - t[1] : t[1] - o[1]
            if (t[3] == "+-") ok = off * 100 <= t[1] * t[4]
            else ok = t[1] == "<=" ? o[1] + 0 <= t[2] + 0 : o[1] + 0 >= t[2] + 0
            print ok ? "yes" : "NO"}')
    fi
    printf '  %-44s %-12s %-16s %-4s %s\n' "$1" "$2" "${3:--}" "${met:--}" "$4"
    rows+=("| $1 | $2 | ${3:--} | ${met:--} | $4 |")
}

# A number from the log: `said LABEL KEY`, the word after KEY in the line that
# begins with LABEL; KEY "" is the first word.
said() {
    awk -v label="$1" -v key="$2" '
        index($0, label) == 1 {
            $0 = substr($0, length(label) + 1)
            if (key == "") {print $1; exit}
            for (i = 1; i < NF; i++) if ($i == key) {print $(i + 1); exit}
        }' "$log"
}

median() { sort -n | awk '{t[NR] = $1} END {print t[int((NR + 1) / 2)]}'; }
greatest() { sort -n | tail -n 1; }
resident() { # pids on stdin; the greatest, in MB
    while read -r one; do awk '/^VmRSS/ {print $2 / 1000}' "/proc/$one/status"; done | greatest
}

# ---- three masters and nodes that run nothing -------------------------------

master_options=() # beside what each needs
node_options=()   # of bench_hollow_nodes

port() { echo $((7390 + 10 * ${1#m})); }
members=m1=127.0.0.1:7400,m2=127.0.0.1:7410,m3=127.0.0.1:7420

start_master() {
    kmaster --name "$1" --members "$members" --data "$work/$1" \
        --pki "$work/pki" "${master_options[@]}" >>"$work/$1.log" 2>&1 &
    started "$1" $!
}

start_nodes() {
    "$B/test/bench/bench_hollow_nodes" --pki "$work/pki" \
        --masters "${members//m?=/}" "${node_options[@]}" \
        >"$work/nodes.log" 2>&1 &
    started nodes $!
    await 900 nodes_registered_or_gone
    grep -q ^registered "$work/nodes.log"
}

nodes_registered_or_gone() {
    grep -q ^registered "$work/nodes.log" || ! kill -0 "${pid[nodes]}"
}

start_masters() {
    mkdir "$work/pki"
    mount -t tmpfs none "$work/pki" # gone with the namespace
    kctl pki init "$work/pki" --master m1=127.0.0.1:7400 \
        --master m2=127.0.0.1:7410 --master m3=127.0.0.1:7420 >/dev/null
    export KONTOR_CONFIG=$work/pki/config.json
    for name in m1 m2 m3; do start_master "$name"; done
    await 20 leader
    await 20 caught_up
}

stop_masters() {
    for name in m1 m2 m3 nodes; do stop_one "$name"; done
}

masters_say() { # a Python expression of `masters`
    kctl masters -o json | python3 -c '
import json, sys
masters = json.load(sys.stdin)["masters"]
print(eval(sys.argv[1]))' "$1"
}

leader() { # HOST:PORT
    masters_say '[m["address"] for m in masters if m["role"] == "leader"][0]'
}

# All that was in the log when this was asked is applied everywhere.
caught_up() {
    local last
    last=$(masters_say 'max(m["last_index"] for m in masters)')
    [ "$(masters_say 'min((m["role"] in ("leader", "follower")) * m["applied_index"] for m in masters)')" -ge "$last" ]
}

schedule() { # concurrency count
    "$B/test/bench/bench_calls" schedule --pki "$work/pki" --at "$at" \
        --concurrency "$1" --count "$2" >>"$log"
}

# kill -9 of the leader, and the same master started again: `failover SECONDS
# OPTION...` (bench_failover's), in which it has caught up.
failover() {
    local name seconds=$1
    shift
    timeout 60 "$B/test/bench/bench_failover" --pki "$work/pki" "$@" \
        --master "m1=127.0.0.1:7400=${pid[m1]}" \
        --master "m2=127.0.0.1:7410=${pid[m2]}" \
        --master "m3=127.0.0.1:7420=${pid[m3]}" >"$work/gap"
    name=$(cut -d' ' -f1 "$work/gap")
    cat "$work/gap" >>"$work/gaps"
    stop_one "$name"
    start_master "$name"
    await "$seconds" caught_up
}
gap() { cut -d' ' -f"$1" "$work/gaps" | "$2"; } # column median|greatest

# The table once more, for a page.
print_rows() {
    printf '\n| what | ours | target | met | peers |\n|---|---|---|---|---|\n'
    printf '%s\n' "${rows[@]}"
}
